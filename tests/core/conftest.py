from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import dataplane


@dataclass
class Bench:
    """A folder with an artifact store, and the command line of the data plane."""

    folder: Path
    env: dict[str, str] = field(default_factory=dataplane.environment)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def write(self, request: dict[str, Any]) -> Path:
        return self.write_as_is({"artifact_url": f"file://{self.store}", "batch_size": 2, **request})

    def write_as_is(self, request: dict[str, Any]) -> Path:
        path = self.folder / "request.json"
        path.write_text(json.dumps(request))
        return path

    def run(self, command: str, request: dict[str, Any], **variables: str) -> tuple[Any, dict[str, Any]]:
        """The finished process, and the result that it left."""
        return self._run(command, self.write(request), **variables)

    def run_as_is(self, command: str, request: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return self._run(command, self.write_as_is(request))

    def _run(self, command: str, request: Path, **variables: str) -> tuple[Any, dict[str, Any]]:
        result = self.folder / "result.json"
        result.unlink(missing_ok=True)
        env = {**self.env, **variables}
        done = dataplane.benchlib(command, request, "--result", result, env=env)
        assert result.exists(), done.stderr
        return done, json.loads(result.read_text())

    def compile(self, **request: Any) -> tuple[Any, dict[str, Any]]:
        model = {"name": "config:bert-tiny", "sequence_length": 16}
        return self.run("compile", {"model": model, **request})

    def measure_request(self, compiled: dict[str, Any], **load: Any) -> dict[str, Any]:
        quick = {"batches_per_worker": 20, "warmup_batches": 2, "rounds": 2}
        return {
            "artifact": compiled["artifact"],
            "backend": compiled["backend"],
            "load": {**quick, **load},
        }


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, dict[str, Any]]:
    """A compiled program that tests read and none changes."""
    bench = Bench(tmp_path_factory.mktemp("compiled"))
    done, result = bench.compile()
    assert done.returncode == 0, done.stderr
    return bench, result


@pytest.fixture
def copied(compiled: tuple[Bench, dict[str, Any]], bench: Bench) -> tuple[Bench, dict[str, Any]]:
    """The same program in a store of the test's own."""
    shutil.copytree(compiled[0].store, bench.store)
    return bench, compiled[1]


FAULTY = """
import contextlib, os
import torch
from benchlib.backends.base import Watch
from benchlib.backends.cpu import CpuBackend
from benchlib.results import Check

class Offered(CpuBackend):
    name = "faulty"

    def describe(self):
        import dataclasses
        return dataclasses.replace(super().describe(), cores=2)

    def worker_cpus(self, core):
        return None

    @contextlib.contextmanager
    def watch(self, workdir, cores):
        watch = Watch()
        yield watch
        fault = os.environ.get("FAULT")
        watch.checks = (Check(name="cores_used", passed=fault != "idle", figure=cores, advice="-"),)

    def try_out(self, artifact, example):
        return None

    def load(self, artifact, core):
        replica = super().load(artifact, core)
        fault, calls = os.environ.get("FAULT"), []

        def faulty(*example):
            calls.append(core)
            output = replica(*example)
            if core == 1 and fault == "raise" and len(calls) == 10:
                raise RuntimeError("the core is gone")
            if core == 1 and fault == "nan" and len(calls) > 10:
                output = output * float("nan")
            if core == 1 and fault == "wrong":
                output = output + 1
            return output

        return faulty
"""


@pytest.fixture
def faulty(bench: Bench) -> Bench:
    """A bench with a backend that goes wrong as the variable FAULT says."""
    folder = bench.folder / "plugins"
    folder.mkdir()
    bench.env = dataplane.environment(dataplane.install_backend(folder, "faulty", FAULTY))
    return bench
