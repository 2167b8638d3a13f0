from __future__ import annotations

import threading
import uuid
from pathlib import Path

import pytest

from benchlib.artifacts import (
    ArtifactCorrupt,
    ArtifactStore,
    Ingredients,
    Manifest,
    artifact_key,
)
from benchlib.checksums import file_sha256
from benchlib.errors import BadInput, BenchError
from benchlib.results import ArtifactRef, Environment

INGREDIENTS = Ingredients(
    model=(("config", "{}"), ("seed", "0")),
    inputs=(("input_ids", "int64[4,128]"),),
    backend="cpu",
    precision="fp32",
    compiler_args=("-O2", "--model-type"),
    versions=(("torch", "2.13.0"),),
    traits=(),
)
FILENAME = "model_batch_size_4.pt"


def make_files(folder: Path, content: bytes = b"program") -> tuple[Path, Path, Manifest]:
    folder.mkdir(exist_ok=True)
    program, reference = folder / "compiled", folder / "answers"
    program.write_bytes(content)
    reference.write_bytes(b"reference")
    artifact = ArtifactRef(
        key=artifact_key(INGREDIENTS),
        filename=FILENAME,
        sha256=file_sha256(program),
        size_bytes=len(content),
    )
    manifest = Manifest(
        artifact=artifact,
        reference_sha256=file_sha256(reference),
        batch_size=4,
        ingredients=INGREDIENTS,
        compile_duration_s=1.5,
        peak_rss_bytes=1,
        environment=Environment(hardware=False, device="test", fingerprint="f"),
    )
    return program, reference, manifest


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    urls = {"file": f"file://{tmp_path}/store", "memory": f"memory://{uuid.uuid4().hex}"}
    return ArtifactStore(urls[request.param])


def test_what_was_put_is_found_and_fetched(store: ArtifactStore, tmp_path: Path) -> None:
    program, reference, manifest = make_files(tmp_path / "work")
    assert store.find(manifest.artifact.key) is None
    store.put(program, reference, manifest)
    assert store.find(manifest.artifact.key) == manifest
    bundle = store.fetch(manifest.artifact, tmp_path)
    assert bundle.program.name == FILENAME
    assert bundle.program.read_bytes() == b"program"
    assert bundle.reference.read_bytes() == b"reference"
    assert bundle.manifest == manifest


def test_a_local_program_is_used_where_it_lies(tmp_path: Path) -> None:
    store = ArtifactStore(f"file://{tmp_path}/store")
    store.put(*(files := make_files(tmp_path / "work")))
    into = tmp_path / "into"
    into.mkdir()
    assert (tmp_path / "store") in store.fetch(files[2].artifact, into).program.parents
    assert list(into.iterdir()) == []


def test_a_remote_program_is_copied(tmp_path: Path) -> None:
    store = ArtifactStore(f"memory://{uuid.uuid4().hex}")
    store.put(*(files := make_files(tmp_path / "work")))
    assert store.fetch(files[2].artifact, tmp_path).program == tmp_path / FILENAME


def stored_file(tmp_path: Path, name: str) -> Path:
    (found,) = (tmp_path / "store").rglob(name)
    return found


@pytest.mark.parametrize("name", [FILENAME, "reference.npz"])
def test_a_changed_or_missing_file_is_noticed(tmp_path: Path, name: str) -> None:
    store = ArtifactStore(f"file://{tmp_path}/store")
    store.put(*(files := make_files(tmp_path / "work")))
    stored_file(tmp_path, name).write_bytes(b"progrbm")
    with pytest.raises(ArtifactCorrupt, match="not what was stored"):
        store.fetch(files[2].artifact, tmp_path)
    stored_file(tmp_path, name).unlink()
    with pytest.raises(ArtifactCorrupt, match="missing"):
        store.fetch(files[2].artifact, tmp_path)


@pytest.mark.parametrize("content", [None, b"", b'{"artifact": '])
def test_without_a_whole_manifest_there_is_no_program(tmp_path: Path, content: bytes | None) -> None:
    store = ArtifactStore(f"file://{tmp_path}/store")
    store.put(*(files := make_files(tmp_path / "work")))
    manifest = stored_file(tmp_path, "manifest.json")
    manifest.unlink() if content is None else manifest.write_bytes(content)
    assert store.find(files[2].artifact.key) is None
    with pytest.raises(BenchError, match="has no program"):
        store.fetch(files[2].artifact, tmp_path)


def test_an_upload_that_breaks_off_leaves_nothing_to_find(store: ArtifactStore, tmp_path: Path) -> None:
    program, _, manifest = make_files(tmp_path / "work")
    with pytest.raises(BenchError, match=f"did not take {FILENAME}: "):
        store.put(program, tmp_path / "no reference", manifest)
    assert store.find(manifest.artifact.key) is None


def test_uploads_of_one_key_at_the_same_time_are_all_whole(store: ArtifactStore, tmp_path: Path) -> None:
    uploads = [make_files(tmp_path / f"work-{i}", content=bytes([i]) * 100_000) for i in range(4)]
    threads = [threading.Thread(target=store.put, args=files) for files in uploads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.find(uploads[0][2].artifact.key) in [manifest for _, _, manifest in uploads]
    for number, (program, _, manifest) in enumerate(uploads):
        into = tmp_path / str(number)
        into.mkdir()
        assert store.fetch(manifest.artifact, into).program.read_bytes() == program.read_bytes()


def test_a_discarded_program_is_gone_and_leaves_its_neighbour(store: ArtifactStore, tmp_path: Path) -> None:
    first, second = (make_files(tmp_path / str(i), content=bytes([i])) for i in range(2))
    store.put(*first)
    store.put(*second)
    store.discard(first[2].artifact)
    store.discard(first[2].artifact)
    assert store.find(first[2].artifact.key) == second[2]
    with pytest.raises(BenchError, match="has no program"):
        store.fetch(first[2].artifact, tmp_path)


def test_probing_leaves_no_trace(tmp_path: Path) -> None:
    ArtifactStore(f"file://{tmp_path}/new/store").probe()
    assert list((tmp_path / "new/store").iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"^artifact_url: .*can be written"):
        ArtifactStore(f"file://{tmp_path}/file/store").probe()


@pytest.mark.parametrize("url", ["nosuch://bucket/path", "abfs://no-driver-here/path"])
def test_a_url_that_fsspec_cannot_open_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match=r"^artifact_url: .*fsspec can open"):
        ArtifactStore(url)


@pytest.mark.parametrize(
    "change",
    [
        {"model": (("config", "{}"), ("seed", "1"))},
        {"inputs": (("input_ids", "int64[5,128]"),)},
        {"backend": "other"},
        {"precision": "bf16"},
        {"compiler_args": ("-O3", "--model-type")},
        {"compiler_args": ("--model-type", "-O2")},
        {"versions": (("torch", "2.13.1"),)},
        {"traits": (("target", "inf2"),)},
    ],
)
def test_whatever_shapes_the_program_changes_its_key(change: dict[str, object]) -> None:
    assert artifact_key(INGREDIENTS.model_copy(update=change)) != artifact_key(INGREDIENTS)


def test_equal_ingredients_have_one_key_across_processes_and_releases() -> None:
    again = Ingredients.model_validate_json(INGREDIENTS.model_dump_json())
    assert artifact_key(again) == artifact_key(INGREDIENTS)
    # A change of this literal means that every host compiles everything anew: raise ARTIFACT_FORMAT then.
    assert artifact_key(INGREDIENTS) == "00fd57b76fe4b478fb9353a218af59e22c3657989b5465cd6a07e641f7aa309b"
