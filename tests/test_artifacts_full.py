"""An artifact store, or a host, whose disk is full."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from benchlib.artifacts import ArtifactStore, Manifest
from benchlib.errors import BenchError
from tests.full_disk import NO_ROOM, on_full_disk
from tests.test_artifacts import FILENAME, make_files

ROOM_BYTES = 64 * 1024
TOO_MUCH_BYTES = 2 * ROOM_BYTES


def upload(disk: str, program: str, reference: str, manifest: str) -> dict[str, Any]:
    what = Manifest.model_validate_json(Path(manifest).read_bytes())
    store = ArtifactStore(f"file://{disk}/store")
    with pytest.raises(BenchError) as caught:
        store.put(Path(program), Path(reference), what)
    return {
        "sentence": str(caught.value),
        "files": [str(path) for path in Path(disk).rglob("*") if path.is_file()],
        "found": store.find(what.artifact.key) is not None,
    }


@pytest.mark.parametrize("too_large", ["program", "reference", "manifest"])
def test_a_program_that_does_not_fit_is_never_found_and_takes_no_room(tmp_path: Path, too_large: str) -> None:
    program, reference, manifest = make_files(tmp_path / "work")
    if too_large == "manifest":
        manifest = manifest.model_copy(update={"warnings": ("-" * TOO_MUCH_BYTES,)})
    else:
        {"program": program, "reference": reference}[too_large].write_bytes(bytes(TOO_MUCH_BYTES))
    described = tmp_path / "manifest"
    described.write_text(manifest.model_dump_json())
    facts = on_full_disk(tmp_path / "disk", ROOM_BYTES, upload, program, reference, described)
    assert re.fullmatch(
        f"the artifact store file://{tmp_path}/disk/store did not take {FILENAME}: {NO_ROOM}; "
        "make room there, or set BENCH_ARTIFACT_URL to another place, then run it again",
        facts["sentence"],
    )
    assert facts["files"] == []
    assert facts["found"] is False


def fetch_from_afar(disk: str, program: str, reference: str, manifest: str) -> str:
    what = Manifest.model_validate_json(Path(manifest).read_bytes())
    store = ArtifactStore("memory://afar")
    store.put(Path(program), Path(reference), what)
    with pytest.raises(BenchError) as caught:
        store.fetch(what.artifact, Path(disk))
    return str(caught.value)


def test_a_program_that_does_not_fit_on_the_host_is_said_with_the_place(tmp_path: Path) -> None:
    program, reference, manifest = make_files(tmp_path / "work", content=bytes(TOO_MUCH_BYTES))
    described = tmp_path / "manifest"
    described.write_text(manifest.model_dump_json())
    sentence = on_full_disk(tmp_path / "disk", ROOM_BYTES, fetch_from_afar, program, reference, described)
    assert re.search(f"memory://afar did not bring {FILENAME} to {tmp_path}/disk: {NO_ROOM}; ", sentence)
