"""Old programs go, from a folder and from a bucket; those in use and strangers' files stay."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from s3fs import S3FileSystem
from sqlalchemy import Engine, text

from benchlib.artifacts import ArtifactStore
from benchlib.errors import BenchError
from benchlib.orchestration import stored_programs
from benchlib.orchestration.device_lock import device_lock
from benchlib.orchestration.retention import Rule
from benchlib.orchestration.stored_programs import prune_store
from benchlib.results import ArtifactRef
from benchlib.settings import Settings
from benchlib.store.errors import DatabaseUnreachable
from benchlib.store.experiments import record_outcome, record_pairs
from benchlib.store.repository import Repository
from benchlib.store.spool import Spool
from tests.s3_server import S3Server, s3_server
from tests.store import experiments, samples
from tests.test_artifacts import make_files

NOW = datetime.now(UTC)
ALL_OLD = Rule(before=NOW + timedelta(hours=1))
"""Objects in a bucket cannot be made older: the clock is moved instead."""

OLD, USED = "1" * 64, "2" * 64


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, s3_server() as server:
        tell_of(server, patch)
        S3FileSystem().mkdir("programs")
        yield "s3://programs"
        S3FileSystem.clear_instance_cache()


def tell_of(server: S3Server, patch: pytest.MonkeyPatch) -> None:
    for name, value in server.variables.items():
        patch.setenv(name, value)
    S3FileSystem.clear_instance_cache()


@pytest.fixture(params=["folder", "bucket"])
def settings(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Settings:
    url = f"file://{tmp_path}/store"
    if request.param == "bucket":
        url = f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    return Settings(tmp_path / "home", database_url, url, Path("/nowhere"))


def put(settings: Settings, key: str, work: Path) -> ArtifactRef:
    program, reference, manifest = make_files(work)
    artifact = manifest.artifact.model_copy(update={"key": key})
    ArtifactStore(settings.artifact_url).put(
        program, reference, manifest.model_copy(update={"artifact": artifact})
    )
    return artifact


def use(engine: Engine, artifact: ArtifactRef, at: datetime, **changes: object) -> None:
    result = samples.compiled().model_copy(update={"artifact": artifact})
    Repository(engine).record(
        samples.compilation(recorded_at=at, **changes).model_copy(update={"result": result})
    )


def names(settings: Settings) -> list[str]:
    fs, root = fsspec.core.url_to_fs(settings.artifact_url, use_listings_cache=False)
    return sorted({path[len(root) + 1 :].partition("/")[0] for path in fs.find(root)})


def test_what_was_not_used_lately_goes_and_the_rest_stays(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    old, used = put(settings, OLD, tmp_path / "a"), put(settings, USED, tmp_path / "b")
    use(engine, old, ALL_OLD.before - timedelta(days=1))
    use(engine, used, ALL_OLD.before - timedelta(days=1), sweep=samples.sweep("then"))
    use(engine, used, ALL_OLD.before + timedelta(minutes=1), sweep=samples.sweep("now"))
    fs, root = fsspec.core.url_to_fs(settings.artifact_url)
    fs.pipe_file(f"{root}/{OLD}/readme.txt", b"not a file of a program")
    put(settings, "3" * 64, tmp_path / "c")
    fs.rm_file(fs.glob(f"{root}/{'3' * 64}/*/manifest.json")[0])  # as an interrupted upload leaves it

    would = prune_store(settings, replace(ALL_OLD, dry_run=True))
    assert names(settings) == [OLD, USED, "3" * 64]
    pruned = prune_store(settings, ALL_OLD)
    assert would == pruned
    assert len(pruned.removed) == 2
    assert pruned.removed[0].startswith(f"{settings.artifact_url}/{OLD}/")
    assert names(settings) == [OLD, USED]  # the stranger's file keeps a name there
    assert ArtifactStore(settings.artifact_url).find(OLD) is None
    assert ArtifactStore(settings.artifact_url).find(USED) is not None
    assert prune_store(settings, ALL_OLD).removed == []
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM compilation")) == 3


def test_a_young_program_stays_though_no_row_speaks_of_it(settings: Settings, tmp_path: Path) -> None:
    put(settings, OLD, tmp_path / "a")
    assert prune_store(settings, Rule.keeping(1)).removed == []
    assert names(settings) == [OLD]


def test_old_samples_go_and_their_rows_forget_them(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    file, sweep = tmp_path / "samples.npz", samples.sweep()
    file.write_bytes(b"readings")
    store = ArtifactStore(settings.artifact_url)
    urls = {size: store.put_samples(file, str(sweep.sweep_id), f"{size}.npz") for size in (1, 2)}
    assert urls[1] == f"{settings.artifact_url}/samples/{sweep.sweep_id}/1.npz"
    for size, url in urls.items():
        Repository(engine).record(samples.measurement(size).model_copy(update={"samples_url": url}))
    assert prune_store(settings, Rule.keeping(1)).removed == []
    assert prune_store(settings, replace(ALL_OLD, dry_run=True)).removed == list(urls.values())
    assert kept(engine) == list(urls.values())
    assert fsspec.filesystem(settings.artifact_url.partition(":")[0]).cat_file(urls[1]) == b"readings"
    assert prune_store(settings, ALL_OLD).removed == list(urls.values())
    assert kept(engine) == [None, None]
    assert names(settings) == []


def kept(engine: Engine) -> list[str | None]:
    with engine.connect() as connection:
        return list(connection.scalars(text("SELECT samples_url FROM measurement ORDER BY batch_size")))


@pytest.fixture
def local(database_url: str, tmp_path: Path) -> Settings:
    settings = Settings(tmp_path / "home", database_url, f"file://{tmp_path}/store", Path("/nowhere"))
    put(settings, OLD, tmp_path / "a")
    return settings


def test_nothing_goes_while_a_sweep_is_unfinished(local: Settings, engine: Engine) -> None:
    sweep = samples.sweep("running", created_at=NOW - timedelta(minutes=5))
    Repository(engine).record(samples.measurement(1, sweep=sweep))
    assert prune_store(local, ALL_OLD).removed == []
    Repository(engine).record(samples.compilation(2, sweep=sweep, failure=samples.failure()))
    assert len(prune_store(local, ALL_OLD).removed) == 1


def test_nothing_goes_while_a_comparison_is_unfinished(local: Settings, engine: Engine) -> None:
    old = experiments.experiment(created_at=NOW - timedelta(days=3))
    record_pairs(engine, old, [experiments.pair(recorded_at=NOW - timedelta(hours=50))])
    assert len(prune_store(local, replace(ALL_OLD, dry_run=True)).removed) == 1  # given up
    record_pairs(engine, old, [experiments.pair(2, recorded_at=NOW - timedelta(hours=1))])
    assert prune_store(local, ALL_OLD).removed == []
    record_outcome(engine, old, experiments.outcome())
    assert len(prune_store(local, ALL_OLD).removed) == 1


def test_a_program_that_is_found_after_the_store_was_listed_stays(
    local: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = stored_programs.open_runs

    def meanwhile(engine: Engine) -> tuple[str, ...]:
        use(engine, ArtifactRef(key=OLD, filename="m.pt", sha256="b" * 64, size_bytes=1), NOW)
        return asked(engine)

    monkeypatch.setattr(stored_programs, "open_runs", meanwhile)
    rule = replace(ALL_OLD, before=NOW)
    for file in Path(local.artifact_url.removeprefix("file://")).rglob("*"):
        os.utime(file, (0, 0))
    assert prune_store(local, rule).removed == []
    assert names(local) == [OLD]


def test_samples_that_went_before_a_fault_are_forgotten_and_no_password_is_said(
    local: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, store = samples.sweep(), ArtifactStore(local.artifact_url)
    for size in (1, 2):
        (tmp_path / "samples.npz").write_bytes(b"readings")
        url = store.put_samples(tmp_path / "samples.npz", str(sweep.sweep_id), f"{size}.npz")
        Repository(engine).record(samples.measurement(size).model_copy(update={"samples_url": url}))
    remove = LocalFileSystem.rm_file

    def refuse(self: LocalFileSystem, path: str) -> None:
        if path.endswith("2.npz"):
            raise RuntimeError("https://ana:secret@host/x said no")
        remove(self, path)

    monkeypatch.setattr(LocalFileSystem, "rm_file", refuse)
    with pytest.raises(BenchError, match="said no") as refusal:
        prune_store(local, ALL_OLD)
    assert "secret" not in str(refusal.value)
    first, second = kept(engine)
    assert (first, second is not None) == (None, True)


def test_nothing_goes_while_a_step_runs_on_this_host(local: Settings) -> None:
    with device_lock(local.device_lock, exclusive=False, what="compile", timeout_s=1):
        assert prune_store(local, ALL_OLD).removed == []
    assert len(prune_store(local, ALL_OLD).removed) == 1


def test_nothing_goes_while_results_wait_that_may_have_used_it(local: Settings) -> None:
    waiting = Spool(local.spool_dir).write(samples.compilation())
    assert prune_store(local, ALL_OLD).removed == []
    waiting.unlink()
    assert len(prune_store(local, ALL_OLD).removed) == 1


def test_without_the_database_nothing_is_known_and_nothing_goes(local: Settings) -> None:
    away = replace(local, database_url="postgresql://u:secret@127.0.0.1:1/none")
    with pytest.raises(DatabaseUnreachable):
        prune_store(away, ALL_OLD)
    assert names(local) == [OLD]
