"""Programs in a bucket, over the real S3 API: one server for all hosts, found by the standard variables."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from s3fs import S3FileSystem

from benchlib.artifacts import ArtifactCorrupt, ArtifactStore
from benchlib.errors import BadInput, BenchError
from benchlib.orchestration.doctor import examine
from benchlib.results import ArtifactRef
from benchlib.settings import Settings
from tests import dataplane
from tests.s3_server import SECRET, S3Server, s3_server
from tests.test_artifacts import FILENAME, make_files

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


def told_of(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a new bucket on a server that this process is told of."""
    told_of(server, monkeypatch)
    name = f"programs-{next(_numbers)}"
    S3FileSystem().mkdir(name)
    return name


@pytest.fixture
def store(bucket: str) -> ArtifactStore:
    return ArtifactStore(f"s3://{bucket}/nightly/bert")


def test_what_was_put_is_found_and_fetched(store: ArtifactStore, tmp_path: Path) -> None:
    program, reference, manifest = make_files(tmp_path / "work", content=b"\0\1" * 3_000_000)
    assert store.find(manifest.artifact.key) is None
    store.put(program, reference, manifest)
    assert store.find(manifest.artifact.key) == manifest
    bundle = store.fetch(manifest.artifact, tmp_path)
    assert bundle.program == tmp_path / FILENAME
    assert bundle.program.read_bytes() == program.read_bytes()
    assert bundle.reference.read_bytes() == b"reference"


def test_what_another_host_puts_is_seen_by_one_that_has_looked_before(bucket: str, tmp_path: Path) -> None:
    store, ours = ArtifactStore(f"s3://{bucket}/x"), make_files(tmp_path / "ours")
    store.put(*ours)
    assert store.find(ours[2].artifact.key) == ours[2]
    other = (
        "import sys; from pathlib import Path; from benchlib.artifacts import ArtifactStore; "
        "from tests.test_artifacts import make_files; "
        "ArtifactStore(sys.argv[1]).put(*make_files(Path(sys.argv[2]), b'theirs'))"
    )
    command = [sys.executable, "-c", other, f"s3://{bucket}/x", tmp_path / "theirs"]
    subprocess.run(command, cwd=dataplane.ROOT, check=True)
    theirs = make_files(tmp_path / "as theirs", b"theirs")[2].artifact
    assert store.fetch(theirs, tmp_path).program.read_bytes() == b"theirs"


@pytest.mark.parametrize("name", [FILENAME, "reference.npz"])
def test_an_object_that_was_changed_or_removed_is_refused(
    store: ArtifactStore, bucket: str, tmp_path: Path, name: str
) -> None:
    store.put(*(files := make_files(tmp_path / "work")))
    (path,) = S3FileSystem().glob(f"{bucket}/**/{name}")
    S3FileSystem().pipe_file(path, b"progrbm")
    with pytest.raises(ArtifactCorrupt, match=f"{name} in the artifact store is not what was stored"):
        store.fetch(files[2].artifact, tmp_path)
    S3FileSystem().rm_file(path)
    with pytest.raises(ArtifactCorrupt, match=f"{name} is missing"):
        store.fetch(files[2].artifact, tmp_path)


def test_a_discarded_program_leaves_no_object(store: ArtifactStore, bucket: str, tmp_path: Path) -> None:
    store.put(*(files := make_files(tmp_path / "work")))
    store.discard(files[2].artifact)
    assert S3FileSystem().find(bucket) == []


def test_probing_leaves_no_object(store: ArtifactStore, bucket: str) -> None:
    store.probe()
    assert S3FileSystem().find(bucket) == []


def test_a_bucket_that_is_not_there_is_refused_and_not_made(bucket: str, tmp_path: Path) -> None:
    store = ArtifactStore("s3://slip-of-the-pen/x")
    with pytest.raises(BadInput, match=r"^artifact_url: 's3://slip-of-the-pen/x' .*bucket does not exist"):
        store.probe()
    with pytest.raises(BenchError, match="bucket does not exist"):
        store.put(*make_files(tmp_path))
    assert "slip-of-the-pen" not in S3FileSystem().ls("")


Use = Callable[[ArtifactStore, Path], object]
USES: Mapping[str, Use] = {
    "find": lambda store, _: store.find("a" * 64),
    "probe": lambda store, _: store.probe(),
    "put": lambda store, folder: store.put(*make_files(folder / "work")),
    "fetch": lambda store, folder: store.fetch(make_files(folder / "work")[2].artifact, folder),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_server_that_is_away_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: S3Server, use: Use
) -> None:
    told_of(replace(server, url="http://127.0.0.1:1"), monkeypatch)
    with pytest.raises(BenchError) as caught:
        use(ArtifactStore("s3://programs/x"), tmp_path)
    sentence = str(caught.value)
    assert sentence.startswith("the artifact store s3://programs/x ")
    assert "http://127.0.0.1:1/programs" in sentence
    assert "see that this host can reach it" in sentence
    assert "\n" not in sentence
    assert SECRET not in sentence


def test_credentials_that_are_refused_are_said_so_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(INITIAL_NO_AUTH_ACTION_COUNT="0") as strict:
        told_of(strict, monkeypatch)
        store = ArtifactStore("s3://programs/x")
        with pytest.raises(BadInput) as refused:
            store.probe()
        with pytest.raises(BenchError) as unread:
            store.find("a" * 64)
    for sentence in (str(refused.value), str(unread.value)):
        assert "Access Key Id you provided does not exist" in sentence
        assert SECRET not in sentence


def test_a_password_in_the_url_is_not_shown() -> None:
    with pytest.raises(BenchError, match=r"store ftp://\.\.\.@127\.0\.0\.1:1/x cannot be opened") as caught:
        ArtifactStore("ftp://someone:open-sesame@127.0.0.1:1/x")
    assert "open-sesame" not in str(caught.value)


def artifact_finding(url: str, tmp_path: Path) -> tuple[str, str]:
    settings = Settings.from_environment({"BENCH_HOME": str(tmp_path), "BENCH_ARTIFACT_URL": url})
    (found,) = [finding for finding in examine(settings, {}) if finding.name == "artifact store"]
    return found.status, found.found


def test_the_doctor_looks_into_the_bucket(
    bucket: str, server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert artifact_finding(f"s3://{bucket}/x", tmp_path) == ("ok", f"s3://{bucket}/x")
    assert S3FileSystem().find(bucket) == []
    told_of(replace(server, url="http://127.0.0.1:1"), monkeypatch)
    status, found = artifact_finding(f"s3://{bucket}/x", tmp_path)
    assert status == "error"
    assert "Could not connect" in found
    assert SECRET not in found


@dataclass(frozen=True)
class Host:
    """A host with a folder of its own and the data plane's own interpreter."""

    folder: Path
    env: Mapping[str, str]

    def start(self, command: str, request: Mapping[str, Any]) -> subprocess.Popen[str]:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "request.json").write_text(json.dumps(request))
        (self.folder / "result.json").unlink(missing_ok=True)
        arguments = [command, self.folder / "request.json", "--result", self.folder / "result.json"]
        return subprocess.Popen(
            [dataplane.PYTHON, "-m", "benchlib", *map(str, arguments)],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def outcome(self, process: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
        """The result and the output; no secret is in either."""
        output, _ = process.communicate()
        result = (self.folder / "result.json").read_text()
        assert SECRET not in output + result
        return json.loads(result), output

    def run(self, command: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return self.outcome(self.start(command, request))[0]


@pytest.mark.slow
@pytest.mark.dataplane
def test_hosts_share_programs_through_a_bucket(bucket: str, server: S3Server, tmp_path: Path) -> None:
    """Two compile the same at once, a third measures; an object is changed; the server goes away."""
    env = dataplane.environment(**server.variables)
    first, second, third = (Host(tmp_path / name, env) for name in ("first", "second", "third"))
    where: dict[str, Any] = {"artifact_url": f"s3://{bucket}/shared", "batch_size": 1}
    compiling = {**where, "model": {"name": "config:bert-tiny", "sequence_length": 16}}
    at_work = [(host, host.start("compile", compiling)) for host in (first, second)]
    compiled = [host.outcome(process)[0] for host, process in at_work]
    assert {result["artifact"]["key"] for result in compiled} == {compiled[0]["artifact"]["key"]}
    store = ArtifactStore(where["artifact_url"])
    for (host, _), result in zip(at_work, compiled, strict=True):
        store.fetch(ArtifactRef.model_validate(result["artifact"]), host.folder)
    load = {"batches_per_worker": 20, "warmup_batches": 2, "rounds": 2}
    measuring = {**where, "artifact": compiled[1]["artifact"], "load": load}
    assert third.run("measure", measuring)["batches"] > 0

    for path in S3FileSystem().glob(f"{bucket}/**/*.pt"):
        S3FileSystem().pipe_file(path, b"something else")
    assert "is not what was stored" in third.run("measure", measuring)["message"]

    away = replace(third, env={**env, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    failure = away.run("compile", compiling)
    assert failure["kind"] == "error"
    assert f"the artifact store s3://{bucket}/shared cannot be read" in failure["message"]
