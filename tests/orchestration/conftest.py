from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

from benchlib.results import ArtifactRef
from benchlib.spec import CompileRequest, LoadSpec, MeasureRequest, ModelSpec

PRELUDE = r"""#!{python} -S
import json, os, signal, subprocess, sys, time
stage, request_file, result_file = sys.argv[4], sys.argv[5], sys.argv[7]
request = json.load(open(request_file))
def leave(result):
    with open(result_file, "w") as file:
        json.dump(result, file)
def leave_pid(path, pid):
    with open(path, "w") as file:
        file.write("%d\n" % pid)
ENVIRONMENT = dict(hardware=False, device="fake", fingerprint="f")
ARTIFACT = dict(key="a" * 64, filename="model_batch_size_%d.pt" % request["batch_size"], sha256="b" * 64, size_bytes=1)
COMPILED = dict(batch_size=request["batch_size"], backend="cpu", precision="fp32", artifact=ARTIFACT,
                cache_hit=False, compile_duration_s=0.5, environment=ENVIRONMENT)
"""


@pytest.fixture
def make_python(tmp_path: Path) -> Callable[[str], Path]:
    """An "interpreter" of the data plane that runs the given lines whatever it is asked to run."""

    def make(body: str) -> Path:
        script = tmp_path / f"python-{len(list(tmp_path.iterdir()))}"
        script.write_text(PRELUDE.replace("{python}", sys.executable) + dedent(body))
        script.chmod(0o755)
        return script

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
