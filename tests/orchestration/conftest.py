from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchlib.results import ArtifactRef
from benchlib.spec import CompileRequest, LoadSpec, MeasureRequest, ModelSpec

from .fake_python import write_fake_python


@pytest.fixture
def make_python(tmp_path: Path) -> Callable[[str], Path]:
    """An "interpreter" of the data plane that runs the given lines whatever it is asked to run."""

    numbers = itertools.count()

    def make(body: str) -> Path:
        return write_fake_python(tmp_path / f"python-{next(numbers)}", body)

    return make


@pytest.fixture
def request_4() -> CompileRequest:
    return CompileRequest(model=ModelSpec(name="config:tiny"), batch_size=4, artifact_url="file:///nowhere")


@pytest.fixture
def measure_4() -> MeasureRequest:
    artifact = ArtifactRef(key="a" * 64, filename="m.pt", sha256="b" * 64, size_bytes=1)
    return MeasureRequest(artifact=artifact, artifact_url="file:///nowhere", batch_size=4, load=LoadSpec())


def wait_until(condition: Callable[[], bool], deadline_s: float = 20) -> None:
    until = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < until, f"not within {deadline_s} s"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pid_in(file: Path) -> int:
    wait_until(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text())


PROJECT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
