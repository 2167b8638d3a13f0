"""Batch sizes measured in turns, and what an interruption leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from benchlib.orchestration.steps import measure_batch_size, plan_sweep
from benchlib.records import SweepRecord
from benchlib.results import Check

from .fake_python import ARTIFACT, OBEDIENT
from .test_launcher import Interrupted, interrupted_by_pid_file
from .test_steps import a_sweep, rows, settings  # noqa: F401 - a fixture

MakePython = Callable[[str], Path]
PROGRAM = ARTIFACT.model_dump(mode="json")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def noting(log: Path, body: str = OBEDIENT) -> str:
    return f"""
with open({str(log)!r}, "a") as log:
    log.write(" ".join([stage, *[str(part["batch_size"]) for part in parts]]) + "\\n")
{body}"""


def in_turns() -> SweepRecord:
    return a_sweep(batch_sizes=[1, 2, 4], interleave=True)


STORED = "SELECT batch_size, status, attempt, throughput_inf_per_s FROM measurement ORDER BY 1, 3"


@pytest.mark.usefixtures("settings")
def test_the_first_task_measures_all_sizes_and_the_others_find_theirs(
    make_python: MakePython, monkeypatch: pytest.MonkeyPatch, engine: Engine, log: Path
) -> None:
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(noting(log))))
    sweep = in_turns()
    plan_sweep(sweep)
    figures = [measure_batch_size(sweep, size, PROGRAM, attempt=1) for size in (2, 1, 4)]
    assert [figure["throughput_inf_per_s"] for figure in figures] == [2000.0, 1000.0, 4000.0]
    assert log.read_text().splitlines() == ["compile 1", "compile 4", "measure-in-turns 1 2 4"]
    assert rows(engine, STORED) == [(size, "ok", 1, 1000.0 * size) for size in (1, 2, 4)]


@pytest.mark.usefixtures("settings")
def test_a_size_that_does_not_compile_takes_no_turn(
    make_python: MakePython, monkeypatch: pytest.MonkeyPatch, engine: Engine, log: Path
) -> None:
    broken = """
if stage == "compile" and size == 4:
    sys.exit(1)
"""
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(noting(log, broken + OBEDIENT))))
    measure_batch_size(in_turns(), 1, PROGRAM, attempt=1)
    assert log.read_text().splitlines()[-1] == "measure-in-turns 1 2"
    assert [row[0] for row in rows(engine, STORED)] == [1, 2]
    assert rows(engine, "SELECT count(*) FROM compilation") == [(0,)]


@pytest.mark.usefixtures("settings")
def test_what_has_been_measured_is_not_measured_again(
    make_python: MakePython, monkeypatch: pytest.MonkeyPatch, engine: Engine, log: Path
) -> None:
    late = f"""
if stage == "compile" and size == 4 and not os.path.exists({str(log) + "-later"!r}):
    sys.exit(1)
"""
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(noting(log, late + OBEDIENT))))
    measure_batch_size(in_turns(), 1, PROGRAM, attempt=1)
    log.with_name(log.name + "-later").touch()
    measure_batch_size(in_turns(), 4, PROGRAM, attempt=1)
    assert log.read_text().splitlines()[-2:] == ["measure-in-turns 1 2", "measure 4"]
    assert [row[0] for row in rows(engine, STORED)] == [1, 2, 4]


@pytest.mark.usefixtures("settings")
def test_where_not_all_fit_each_size_is_measured_alone(
    make_python: MakePython, monkeypatch: pytest.MonkeyPatch, engine: Engine, log: Path
) -> None:
    full = """
if stage == "measure-in-turns":
    leave(dict(stage="measure", kind="error", message="Failed to alloc DEVICE memory"))
    sys.exit(1)
"""
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(noting(log, full + OBEDIENT))))
    figures = measure_batch_size(in_turns(), 2, PROGRAM, attempt=1)
    assert figures["throughput_inf_per_s"] == 2000.0
    assert log.read_text().splitlines()[-2:] == ["measure-in-turns 1 2 4", "measure 2"]
    assert rows(engine, STORED) == [(2, "ok", 1, 2000.0)]


INCOMPLETE = Check(name="complete", passed=False, advice="2 of 3 rounds.").model_dump_json()


@pytest.mark.usefixtures("settings")
def test_what_an_interruption_leaves_is_kept_and_measured_again(
    make_python: MakePython, monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path
) -> None:
    waiting = f"""
def finish(number, frame):
    leave(dict(MEASURED, checks=[json.loads({INCOMPLETE!r})]))
    sys.exit(143)
if os.path.exists("{tmp_path}/again"):
    leave(RESULT)
    sys.exit(0)
signal.signal(signal.SIGTERM, finish)
leave_pid("{tmp_path}/self", os.getpid())
while True:
    time.sleep(600)
"""
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(waiting)))
    sweep = a_sweep()
    with interrupted_by_pid_file(tmp_path / "self"), pytest.raises(Interrupted):
        measure_batch_size(sweep, 1, PROGRAM, attempt=1)
    assert rows(engine, STORED) == [(1, "invalid", 1, 1000.0)]
    (tmp_path / "again").touch()
    measure_batch_size(sweep, 1, PROGRAM, attempt=2)
    assert [row[:3] for row in rows(engine, STORED)] == [(1, "invalid", 1), (1, "ok", 2)]
    table = "SELECT throughput_inf_per_s FROM comparison_table WHERE batch_size = 1"
    assert rows(engine, table) == [(1000.0,)]
