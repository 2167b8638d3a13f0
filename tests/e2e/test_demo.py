"""`bench demo` over everything that is real: Airflow, PostgreSQL, torch on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def demo(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    hidden = ("AIRFLOW", "BENCH_HOME", "BENCH_DATABASE_URL", "BENCH_ARTIFACT_URL")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return subprocess.run(
        [sys.executable, "-m", "benchlib.cli", "demo", "--model", "config:bert-tiny", *arguments],
        env={**inherited, "BENCH_HOME": str(home), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.dataplane
def test_the_first_and_the_second_demo_of_a_new_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = demo(home, "--batch-sizes", "1,2", "--batches-per-worker", "40")
    assert (first.returncode, first.stderr) == (0, "")
    assert {"batch 1: compiled", "batch 2: compiled"} <= set(first.stdout.splitlines())
    assert "model_batch_size_2.pt" in first.stdout
    assert "not an inf2 result" in first.stdout
    assert not (home / "postgres" / "postmaster.pid").exists()

    second = demo(home, "--batch-sizes", "1,2", "--batches-per-worker", "40")
    assert second.returncode == 0
    assert {"batch 1: compiled before", "batch 2: compiled before"} <= set(second.stdout.splitlines())
    assert len(list((home / "logs").iterdir())) == 2
    assert list((home / "spool").glob("*.json")) == []
