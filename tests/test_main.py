"""The command line, under an interpreter without torch: nothing here may need it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchlib.results import Failure
from tests import dataplane

COMPILE = {"model": {"name": "config:bert-tiny"}, "batch_size": 4}
ARTIFACT = {"key": "a" * 64, "filename": "model_batch_size_4.pt", "sha256": "b" * 64, "size_bytes": 1}

BROKEN = """
from benchlib.backends.base import Backend

class Offered(Backend):
    name = "broken"

    def resolve_precision(self, asked):
        raise RuntimeError("the driver\\n  said no")
"""


def ask(tmp_path: Path, command: str, request: dict[str, Any] | str, **options: Any) -> Any:
    path = tmp_path / "request.json"
    path.write_text(request if isinstance(request, str) else json.dumps(request))
    result = options.pop("result", tmp_path / "result.json")
    return dataplane.benchlib(
        command,
        path,
        "--result",
        result,
        python=dataplane.CONTROL_PYTHON,
        env=dataplane.environment(tmp_path),
    )


def failure(tmp_path: Path) -> Failure:
    return Failure.model_validate_json((tmp_path / "result.json").read_text())


def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/store"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format_version": 2}, "format_version"),
        ({"surprise": 1}, "surprise"),
        ({"batch_size": 0}, "batch_size"),
        ({"model": {"name": "config:bert-tiny", "sequence_length": 1}}, "model.sequence_length"),
        ({"artifact_url": None}, "artifact_url"),
    ],
)
def test_a_request_that_is_not_understood_is_refused_in_one_sentence(
    tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    done = ask(tmp_path, "compile", {**COMPILE, "artifact_url": url(tmp_path), **change})
    assert done.returncode == 2
    assert done.stderr.startswith(f"ERROR {complaint}: ")
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["request.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_file_that_is_no_request_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    done = ask(tmp_path, "measure", text)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "result.json").exists()


def test_a_missing_request_is_refused_in_one_sentence(tmp_path: Path) -> None:
    arguments = ("compile", tmp_path / "none.json", "--result", tmp_path / "result.json")
    done = dataplane.benchlib(*arguments, python=dataplane.CONTROL_PYTHON)
    assert done.returncode == 2
    assert done.stderr.startswith("ERROR request: ")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("result", ["nowhere/result.json", "."])
def test_a_result_that_could_not_be_written_is_refused_before_any_work(tmp_path: Path, result: str) -> None:
    request = {**COMPILE, "artifact_url": url(tmp_path)}
    done = ask(tmp_path, "compile", request, result=tmp_path / result)
    assert done.returncode == 2
    assert done.stderr.startswith("ERROR result: ")
    assert "BENCH-PROGRESS" not in done.stdout


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model": {"name": "config:bort"}}, "model: 'config:bort'"),
        ({"backend": "gpu"}, "backend: 'gpu'"),
        ({"compiler_args": ["-O2"]}, "compiler_args: '-O2'"),
        ({"artifact_url": "nosuch://bucket"}, "artifact_url: 'nosuch://bucket'"),
    ],
)
def test_a_request_that_cannot_be_met_leaves_a_failure_and_nothing_else(
    tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    done = ask(tmp_path, "compile", {**COMPILE, "artifact_url": url(tmp_path), **change})
    assert done.returncode == 2
    assert done.stderr.startswith(f"ERROR {complaint} is not allowed; allowed: ")
    assert "Traceback" not in done.stderr
    left = failure(tmp_path)
    assert (left.stage, left.kind) == ("compile", "bad_input")
    assert left.message in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["request.json", "result.json"]


def test_measuring_what_the_store_does_not_have_fails_in_one_sentence(tmp_path: Path) -> None:
    request = {"artifact": ARTIFACT, "batch_size": 4, "artifact_url": url(tmp_path)}
    dataplane.install_backend(tmp_path, "broken", BROKEN)
    done = ask(tmp_path, "measure", {**request, "backend": "absent"})
    assert done.returncode == 2
    assert (failure(tmp_path).stage, failure(tmp_path).kind) == ("measure", "bad_input")


def test_an_unexpected_error_shows_its_traceback_and_ends_in_one_sentence(tmp_path: Path) -> None:
    dataplane.install_backend(tmp_path, "broken", BROKEN)
    done = ask(tmp_path, "compile", {**COMPILE, "artifact_url": url(tmp_path), "backend": "broken"})
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.splitlines()[-1] == "ERROR RuntimeError: the driver said no"
    left = failure(tmp_path)
    assert (left.kind, left.message) == ("error", "RuntimeError: the driver said no")


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["config:bert-tiny"], 0, ""),
        (["config:bert-tiny", "--sequence-length", "513"], 2, "sequence_length: 513"),
        (["config:bert-tiny", "--sequence-length", "1"], 2, "sequence_length: 1"),
        (["config:bort"], 2, "model: 'config:bort'"),
        (["/no/such/directory"], 2, "model: '/no/such/directory'"),
        (["config:bert-tiny", "--revision", "main"], 2, "revision: 'main'"),
        (["config:bert-tiny", "--backend", "none"], 2, "backend: 'none'"),
        (["config:bert-tiny", "--backend", "cpu", "--precision", "fp32"], 0, ""),
    ],
)
def test_a_model_can_be_checked_in_advance(arguments: list[str], status: int, complaint: str) -> None:
    done = dataplane.benchlib("check-model", *arguments, python=dataplane.CONTROL_PYTHON)
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith(f"ERROR {complaint} is not allowed") if status else done.stderr == ""


WITHOUT_BF16 = """
from benchlib.backends.base import Backend
from benchlib.errors import BadInput

class Offered(Backend):
    name = "old"

    def resolve_precision(self, asked):
        if asked == "bf16":
            raise BadInput("precision", asked, "auto, fp32")
        return "fp32"
"""


@pytest.mark.parametrize(("precision", "status"), [("bf16", 2), ("fp32", 0), ("auto", 0)])
def test_a_precision_that_the_device_lacks_is_refused_in_advance(
    tmp_path: Path, precision: str, status: int
) -> None:
    dataplane.install_backend(tmp_path, "old", WITHOUT_BF16)
    asked = ("config:bert-tiny", "--backend", "old", "--precision", precision)
    done = dataplane.benchlib(
        "check-model", *asked, env=dataplane.environment(tmp_path), python=dataplane.CONTROL_PYTHON
    )
    assert done.returncode == status
    refusal = "ERROR precision: 'bf16' is not allowed; allowed: auto, fp32\n"
    assert done.stderr == (refusal if status else "")
