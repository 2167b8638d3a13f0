"""A step whose request or result finds no room on the disk for temporary files."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from benchlib import __main__ as door
from benchlib.orchestration.launcher import StepFailed, run_step
from benchlib.results import Measurement, samples_filename
from benchlib.spec import CompileRequest, MeasureRequest, ModelSpec
from tests.full_disk import NO_ROOM, fill, on_full_disk
from tests.orchestration.fake_python import ARTIFACT, COMPILED, MEASURED

ROOM_BYTES = 32 * 1024
TOO_MUCH_BYTES = 2 * ROOM_BYTES - 4096
"""Fits into one line of a step's output."""

INTERPRETER = """#!%(python)s
import dataclasses, sys
from benchlib import __main__ as door
from benchlib.results import CompileResult
result = CompileResult.model_validate_json(%(result)r)
door._JOBS["compile"] = dataclasses.replace(door._JOBS["compile"], run=lambda *_: result)
sys.exit(door.main(sys.argv[4:]))
"""
"""The data plane's real door; what is behind it has finished with a result that is too large."""


def launch(disk: str, python: str, note_bytes: str) -> dict[str, Any]:
    os.environ["TMPDIR"] = tempfile.tempdir = disk
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("benchlib.step").addHandler(handler)
    request = CompileRequest(
        model=ModelSpec(name="config:tiny"),
        batch_size=1,
        artifact_url="file:///nowhere",
        compiler_args=("-" * int(note_bytes),),
    )
    with pytest.raises(StepFailed) as caught:
        run_step(Path(python), request, timeout_s=60)
    failure = caught.value.failure
    found = [line for line in lines if "found no room" in line]
    return {
        "message": failure.message,
        "kind": failure.kind,
        "left": [path.name for path in Path(disk).iterdir()],
        "lines": found,
    }


def test_a_request_that_finds_no_room_is_said_with_the_place(tmp_path: Path) -> None:
    facts = on_full_disk(tmp_path / "disk", ROOM_BYTES, launch, sys.executable, TOO_MUCH_BYTES)
    where = f"its request could not be written to {tmp_path}/disk/"
    assert re.search(rf"^compile of batch size 1 did not begin: {where}[^:]+: {NO_ROOM}; ", facts["message"])
    assert facts["left"] == []


def test_a_result_that_finds_no_room_is_in_the_log_and_the_sentence_says_where(tmp_path: Path) -> None:
    result = COMPILED.model_copy(update={"warnings": ("-" * TOO_MUCH_BYTES,)}).model_dump_json()
    python = tmp_path / "python"
    python.write_text(INTERPRETER % {"python": sys.executable, "result": result})
    python.chmod(0o755)
    facts = on_full_disk(tmp_path / "disk", ROOM_BYTES, launch, python, 1)
    where = f"the result could not be written to {tmp_path}/disk/"
    assert re.search(rf"^{where}[^:]+: {NO_ROOM}; make room there, or set TMPDIR", facts["message"])
    assert facts["kind"] == "error"
    assert facts["left"] == []
    (line,) = facts["lines"]
    assert line.endswith(result)


def measure_with_samples(disk: str) -> dict[str, Any]:
    """Through the data plane's door: the samples take all the room that there is."""
    folder = Path(disk)
    request = MeasureRequest(artifact=ARTIFACT, artifact_url="file:///nowhere", batch_size=1)
    (folder / "request.json").write_text(request.model_dump_json())

    def run(_request: object, _stop: object, samples: Path) -> Measurement:
        fill(samples)
        (samples / "filler").rename(samples / samples_filename(1))
        return MEASURED

    door._JOBS["measure"] = dataclasses.replace(door._JOBS["measure"], run=run)
    asked = ["measure", f"{disk}/request.json", "--result", f"{disk}/result.json", "--samples", disk]
    status = door.main(asked)
    return {"status": status, "result": (folder / "result.json").read_text()}


def test_raw_samples_give_way_to_the_result(tmp_path: Path) -> None:
    facts = on_full_disk(tmp_path / "disk", ROOM_BYTES, measure_with_samples)
    assert facts["status"] == 0
    assert Measurement.model_validate_json(facts["result"]) == MEASURED
