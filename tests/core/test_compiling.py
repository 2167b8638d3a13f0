from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchlib.progress import parse
from benchlib.results import CompileResult
from benchlib.spec import FORMAT_VERSION
from tests import dataplane
from tests.core.conftest import Bench

pytestmark = pytest.mark.dataplane


def states(stdout: str) -> list[tuple[str, str]]:
    steps = [step for line in stdout.splitlines() if (step := parse(line))]
    return [(step.stage, step.state) for step in steps]


def test_a_compiled_program_comes_with_inputs_and_the_reference_output(
    compiled: tuple[Bench, dict[str, Any]],
) -> None:
    bench, raw = compiled
    result = CompileResult.model_validate(raw)
    assert result.format_version == FORMAT_VERSION
    assert not result.cache_hit
    assert result.artifact.filename == "model_batch_size_2.pt"
    assert result.peak_rss_bytes is not None
    assert result.peak_rss_bytes > 50_000_000
    assert not result.environment.hardware
    assert result.environment.torch is not None
    (upload,) = (bench.store / result.artifact.key).iterdir()
    assert (upload / result.artifact.filename).stat().st_size == result.artifact.size_bytes
    with np.load(upload / "reference.npz") as stored:
        assert stored["input_ids"].shape == stored["token_type_ids"].shape == (2, 16)
        assert stored["output"].dtype == np.float32
        assert stored["output"].shape == (2, 2)


def test_an_encoder_with_two_inputs_is_compiled_and_measured(
    bench: Bench, compiled: tuple[Bench, dict[str, Any]]
) -> None:
    model = {"name": "config:bert-tiny", "sequence_length": 16, "head": "encoder", "inputs": "zeros_int32"}
    done, result = bench.compile(model=model)
    assert done.returncode == 0, done.stderr
    assert result["artifact"]["key"] != compiled[1]["artifact"]["key"]
    (upload,) = (bench.store / result["artifact"]["key"]).iterdir()
    with np.load(upload / "reference.npz") as stored:
        assert sorted(stored.files) == ["attention_mask", "input_ids", "output"]
        assert stored["input_ids"].dtype == np.int32
        assert stored["output"].shape == (2, 16, 128)
    done, measured = bench.run("measure", bench.measure_request(result))
    assert done.returncode == 0, done.stderr
    outputs = {check["name"]: check["passed"] for check in measured["checks"]}
    assert outputs["outputs_match_reference"]
    assert outputs["outputs_finite"]


BROKEN = """
import torch
from pathlib import Path
from benchlib import models
from benchlib.core.compiling import compile_program
from benchlib.errors import BenchError
from benchlib.spec import CompileRequest, ModelSpec

plain = models.load
def load(spec, batch_size):
    loaded = plain(spec, batch_size)
    loaded.module.model.classifier.weight.data.fill_(float("nan"))
    return loaded
models.load = load
request = CompileRequest(model=ModelSpec(name="config:bert-tiny", sequence_length=16), batch_size=1,
                         artifact_url="file://{store}")
try:
    compile_program(request)
except BenchError as error:
    facts = str(error)
"""


def test_a_model_that_answers_with_nan_by_itself_is_no_reference(tmp_path: Path) -> None:
    said = dataplane.facts(BROKEN.replace("{store}", str(tmp_path)))
    assert "own fp32 output on the CPU holds NaN" in said
    assert list(tmp_path.rglob("*.pt")) == []


NOTING = """
from benchlib.backends.base import CompileNotes
from benchlib.backends.cpu import CpuBackend

class Offered(CpuBackend):
    name = "noting"

    def compile_notes(self):
        return CompileNotes(("-O2",), ("the log shows nothing",))
"""


def test_what_a_backend_notes_of_a_program_stays_with_it(bench: Bench) -> None:
    plugins = bench.folder / "plugins"
    plugins.mkdir()
    bench.env = dataplane.environment(dataplane.install_backend(plugins, "noting", NOTING))
    for hit in (False, True):
        _, result = bench.compile(backend="noting")
        assert (result["cache_hit"], result["warnings"]) == (hit, ["the log shows nothing"])
    (manifest,) = bench.store.rglob("manifest.json")
    assert json.loads(manifest.read_text())["applied_flags"] == ["-O2"]


def test_a_known_program_is_found_without_torch(
    compiled: tuple[Bench, dict[str, Any]], tmp_path: Path
) -> None:
    bench, first = compiled
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise AssertionError('torch was imported')")
    again = Bench(bench.folder, dataplane.environment(tmp_path))
    done, result = again.compile()
    assert done.returncode == 0, done.stderr
    assert result["cache_hit"]
    assert {**result, "cache_hit": False} == first
    assert states(done.stdout) == [("compile", "started"), ("compile", "cached")]


def test_a_damaged_program_is_compiled_anew_and_said_so(copied: tuple[Bench, dict[str, Any]]) -> None:
    bench, first = copied
    (program,) = bench.store.rglob("*.pt")
    content = bytearray(program.read_bytes())
    content[len(content) // 2] ^= 1
    program.write_bytes(content)
    done, result = bench.compile()
    assert done.returncode == 0
    assert states(done.stdout) == [("compile", "started"), ("compile", "done")]
    assert not result["cache_hit"]
    assert "not what was stored" in result["warnings"][0]
    assert any(line.startswith("WARNING compiled again") for line in done.stderr.splitlines())
    assert result["artifact"]["key"] == first["artifact"]["key"]
    assert bench.compile()[1]["cache_hit"]


def test_a_program_that_computes_something_else_is_not_stored(faulty: Bench) -> None:
    wrong = FAULTY_AT_CORE_0
    (faulty.folder / "plugins" / "faulty_backend.py").write_text(wrong)
    done, result = faulty.compile(backend="faulty")
    assert done.returncode == 1
    assert result["kind"] == "error"
    assert "was not stored" in result["message"]
    assert list(faulty.store.rglob("*.pt")) == []


FAULTY_AT_CORE_0 = """
from benchlib.backends.cpu import CpuBackend

class Offered(CpuBackend):
    name = "faulty"

    def load(self, artifact, core):
        replica = super().load(artifact, core)
        return lambda *example: replica(*example).flip(1)
"""

SLOW = """
import time
from benchlib.backends.cpu import CpuBackend

class Offered(CpuBackend):
    name = "slow"

    def compile(self, program, workdir, filename):
        (workdir / "half a program").write_text("")
        print("COMPILING", flush=True)
        while True:
            time.sleep(0.01)
"""


def test_being_told_to_stop_leaves_nothing_behind(bench: Bench) -> None:
    plugins, scratch = bench.folder / "plugins", bench.folder / "scratch"
    plugins.mkdir()
    scratch.mkdir()
    env = dataplane.environment(dataplane.install_backend(plugins, "slow", SLOW), TMPDIR=str(scratch))
    model = {"name": "config:bert-tiny", "sequence_length": 16}
    request, result = bench.write({"model": model, "backend": "slow"}), bench.folder / "result.json"
    command = [dataplane.PYTHON, "-m", "benchlib", "compile", str(request), "--result", str(result)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert any(line.startswith("COMPILING") for line in process.stdout)
        assert list(scratch.rglob("half a program"))
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 143
    assert not result.exists()
    assert list(scratch.glob("bench-*")) == []
    assert list(bench.store.iterdir()) == []
