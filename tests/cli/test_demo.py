"""`bench demo` with a data plane that does as it is told; the real one is in tests/e2e."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine, text

from benchlib.orchestration.sweep_params import PARAMETERS
from tests.orchestration.conftest import is_running, wait_until
from tests.orchestration.fake_python import OBEDIENT, failing, write_fake_python

from .conftest import Bench

ROOT = Path(__file__).parents[2]
UsePython = Callable[[str], None]


@pytest.fixture
def use_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UsePython:
    def use(body: str) -> None:
        monkeypatch.setenv("BENCH_DATA_PYTHON", str(write_fake_python(tmp_path / "python", body)))

    return use


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--batch-sizes", "0"), "batch_sizes: '0' is not allowed; allowed: distinct whole numbers from 1"),
        (("--batch-sizes", "1,1"), "this one is named twice"),
        (("--rounds", "many"), "rounds: 'many' is not allowed; allowed: a whole number from 1 to 1000"),
        (("--workers", "0"), "workers: '0' is not allowed; allowed: a whole number from 1 to 1024, or auto"),
        (("--precision", "fp8"), "precision: 'fp8' is not allowed; allowed: one of auto, fp32, bf16"),
        (
            ("--scenario", "server"),
            "allowed: server with target_batches_per_s, or with latency_limit_ms to",
        ),
        (("--scenario", "burst"), "scenario: 'burst' is not allowed; allowed: one of offline, single_stream"),
        (("--stop", "never"), "stop: 'never' is not allowed; allowed: one of rounds, duration, precision"),
        (("--duration-s", "0"), "duration_s: '0' is not allowed; allowed: a number above 0, at most 86400"),
        (("--latency-limit-ms", "low"), "latency_limit_ms: 'low' is not allowed; allowed: a number above 0"),
        (("--target-batches-per-s", "5"), "target_batches_per_s: 5.0 is not allowed; allowed: none outside"),
        (("--profile", "fast"), "profile: 'fast' is not allowed; allowed: tutorial, aws-published"),
        (("--profile", "tutorial", "--rounds", "0"), "rounds: '0' is not allowed"),
        (("--model", "config:none"), "model: 'config:none' is not allowed; allowed: what there is"),
        (("--interpreter", "/no/python"), "interpreter: '/no/python' is not allowed"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence_and_nothing_is_written(
    bench: Bench, use_python: UsePython, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    use_python(OBEDIENT)
    code, out, error = bench("demo", *arguments)
    assert (code, out) == (2, "")
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("BENCH_HOME", "{file}/home"), ("BENCH_ARTIFACT_URL", "file://{file}/artifacts")],
)
def test_a_place_that_cannot_be_written_is_named(
    bench: Bench,
    use_python: UsePython,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
) -> None:
    use_python(OBEDIENT)
    (tmp_path / "file").touch()
    monkeypatch.setenv(variable, value.format(file=tmp_path / "file"))
    code, _, error = bench("demo")
    assert code == 2
    assert str(tmp_path / "file") in error
    assert len(error.splitlines()) == 1


def test_an_interpreter_without_the_data_planes_packages_is_an_error_of_its_own(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "bare-python"
    script.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'pydantic'\" >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(script))
    code, _, error = bench("demo")
    assert code == 1
    assert error == f"bench: {script} cannot run benchlib: ModuleNotFoundError: No module named 'pydantic'\n"


def test_a_precision_that_the_device_lacks_is_refused_before_anything_is_written(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "old-cpu"
    script.write_text("""#!/bin/sh
case "$*" in
*check-model*"--backend cpu --precision bf16"*)
    echo "ERROR precision: 'bf16' is not allowed; allowed: auto, fp32" >&2; exit 2 ;;
esac
exit 1
""")
    script.chmod(0o755)
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(script))
    code, out, error = bench("demo", "--precision", "bf16")
    assert (code, out) == (2, "")
    assert error == "bench: precision: 'bf16' is not allowed; allowed: auto, fp32\n"
    assert not (tmp_path / "home").exists()


def test_every_parameter_of_a_sweep_is_an_option_with_a_help(bench: Bench) -> None:
    code, out, _ = bench("demo", "--help")
    assert code == 0
    assert [name for name in PARAMETERS if f"--{name.replace('_', '-')} " not in out] == []


def test_a_batch_size_without_a_result_fails_the_command_after_the_table(
    bench: Bench, use_python: UsePython, tmp_path: Path
) -> None:
    use_python(failing("compile", 1))
    code, out, error = bench("demo", "--model", "config:tiny", "--batch-sizes", "1-3")
    (log,) = (tmp_path / "home" / "logs").iterdir()
    lines = out.splitlines()
    assert code == 1
    assert "batch 1: compile failed: batch size 1 does not fit" in lines
    assert "batch 3: measured: 3,000.0 inf/s" in lines
    assert any("model_batch_size_3.pt" in line and "peak" in line for line in lines)
    assert lines[-1] == f"Log: {log}"
    assert error == f"bench: no result for batch size 1: the details are in {log}\n"
    assert "ERROR" not in out
    assert "this one does not fit" in log.read_text()


def test_a_profile_covers_the_demos_own_defaults(bench: Bench, use_python: UsePython, engine: Engine) -> None:
    use_python(OBEDIENT)
    typed = ("--model", "config:tiny", "--batch-sizes", "8")
    assert bench("demo", "--profile", "aws-published", *typed)[0] == 0
    query = text("SELECT head, inputs, replicas, batch_sizes, rounds, batches_per_worker FROM sweep")
    with engine.connect() as connection:
        stored = connection.execute(query).one()
    assert tuple(stored) == ("encoder", "zeros_int32", 2, [8], 3, 12)


@pytest.mark.slow
def test_without_a_database_the_results_are_kept_and_the_way_back_is_named(
    bench: Bench, use_python: UsePython, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    use_python(OBEDIENT)
    monkeypatch.setenv("BENCH_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/bench")
    code, _, error = bench("demo", "--model", "config:tiny", "--batch-sizes", "2")
    assert code == 1
    assert "bench db replay" in error
    assert str(tmp_path / "home" / "spool") in error
    monkeypatch.setenv("BENCH_DATABASE_URL", database_url)
    assert bench("db", "replay")[0] == 0
    assert "2000.000" in bench("report")[1]


def test_ctrl_c_leaves_nothing_running(use_python: UsePython, tmp_path: Path, database_url: str) -> None:
    use_python(f"""
leave_pid("{tmp_path}/pid", os.getpid())
time.sleep(600)
""")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    demo = subprocess.Popen(
        [sys.executable, "-m", "benchlib.cli", "demo", "--model", "config:tiny", "--batch-sizes", "1"],
        env={
            **os.environ,
            "BENCH_HOME": str(tmp_path / "home"),
            "BENCH_DATABASE_URL": database_url,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(scratch),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until((tmp_path / "pid").exists, 60)
    started = psutil.Process(demo.pid).children(recursive=True)
    assert len(started) >= 2
    demo.send_signal(signal.SIGINT)
    _, error = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert error == "bench: stopped\n"
    assert [process for process in started if is_running(process.pid)] == []
    assert list(scratch.iterdir()) == []
