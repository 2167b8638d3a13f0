"""The steps of a sweep over a real database, with a data plane that does as it is told."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from benchlib.artifacts import ArtifactStore
from benchlib.errors import BadInput, BenchError
from benchlib.orchestration.device_lock import DeviceBusy, device_lock
from benchlib.orchestration.job import interpreter_of, is_retryable
from benchlib.orchestration.launcher import StepFailed
from benchlib.orchestration.progress_file import PROGRESS_FILE_VARIABLE, ProgressReader
from benchlib.orchestration.steps import (
    compile_batch_size,
    measure_batch_size,
    plan_sweep,
    report_sweep,
    sweep_record,
)
from benchlib.records import SweepRecord
from benchlib.results import Failure
from benchlib.settings import Settings
from benchlib.store.errors import DatabaseUnreachable, RecordRejected
from benchlib.store.spool import Spool
from tests.standin.neuron_standin.builder import build_host

from .fake_python import ARTIFACT, OBEDIENT, failing

MakePython = Callable[[str], Path]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ARTIFACT_1 = ARTIFACT.model_dump(mode="json")
NOBODY = "postgresql://nobody@127.0.0.1:1/bench"


@pytest.fixture
def settings(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BENCH_DATABASE_URL", database_url)
    monkeypatch.setenv(PROGRESS_FILE_VARIABLE, str(tmp_path / "progress"))
    return Settings.from_environment()


@pytest.fixture
def sweep(settings: Settings, make_python: MakePython, monkeypatch: pytest.MonkeyPatch) -> SweepRecord:
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(OBEDIENT)))
    return a_sweep()


def a_sweep(**params: Any) -> SweepRecord:
    given = {"model": "config:tiny", "batch_sizes": [2, 1], **params}
    return sweep_record(given, dag_id="inf2_batch_sweep", run_id="r1", created_at=NOON)


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def told(tmp_path: Path) -> list[tuple[str, str, int | None, str]]:
    steps = ProgressReader(tmp_path / "progress").news()
    return [(step.stage, step.state, step.batch_size, step.message) for step in steps]


def test_a_whole_sweep(
    sweep: SweepRecord, tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    sizes = plan_sweep(sweep)
    assert sizes == [1, 2]
    artifacts = [compile_batch_size(sweep, size, attempt=1) for size in sizes]
    figures = [
        measure_batch_size(sweep, size, ref, attempt=1) for size, ref in zip(sizes, artifacts, strict=True)
    ]
    assert figures == [
        {"throughput_inf_per_s": 1000.0 * size, "p50_ms": 1.0, "valid": True} for size in sizes
    ]
    with caplog.at_level(logging.INFO):
        comparison = report_sweep(sweep)
    assert comparison.sweep_id == sweep.sweep_id
    assert [row.throughput_inf_per_s for row in comparison.rows] == [1000.0, 2000.0]
    assert any("model_batch_size_2.pt" in line and "2000.000" in line for line in caplog.messages)
    assert Spool(settings.spool_dir).pending() == ()
    assert told(tmp_path) == [
        ("plan", "started", None, ""),
        ("plan", "done", None, ""),
        ("compile", "started", 1, ""),
        ("compile", "running", 1, "round 1 of 2, 900.0 inf/s"),
        ("compile", "done", 1, ""),
        ("compile", "started", 2, ""),
        ("compile", "running", 2, "round 1 of 2, 1800.0 inf/s"),
        ("compile", "done", 2, ""),
        ("measure", "started", 1, ""),
        ("measure", "running", 1, "round 1 of 2, 900.0 inf/s"),
        ("measure", "done", 1, "1,000.0 inf/s"),
        ("measure", "started", 2, ""),
        ("measure", "running", 2, "round 1 of 2, 1800.0 inf/s"),
        ("measure", "done", 2, "2,000.0 inf/s"),
        ("report", "done", None, ""),
    ]


def test_every_task_of_a_run_has_the_same_sweep_and_bad_parameters_have_none(settings: Settings) -> None:
    assert a_sweep() == a_sweep()
    with pytest.raises(BadInput, match="rounds: 0 is not allowed"):
        a_sweep(rounds=0)
    assert not settings.home.exists()


def test_a_failure_is_stored_with_its_reason_before_it_is_raised(
    settings: Settings,
    make_python: MakePython,
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(failing("measure", 1))))
    with pytest.raises(StepFailed, match="batch size 1 does not fit"):
        measure_batch_size(a_sweep(), 1, ARTIFACT_1, attempt=2)
    stored = rows(engine, "SELECT batch_size, attempt, failure_kind, failure_message FROM measurement")
    assert stored == [(1, 2, "bad_input", "batch size 1 does not fit")]
    assert told(tmp_path)[-1] == ("measure", "failed", 1, "batch size 1 does not fit")


def test_a_device_that_stays_busy_is_a_stored_failure_too(
    sweep: SweepRecord, settings: Settings, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.setattr("benchlib.orchestration.job.DEVICE_TIMEOUT_S", 0.0)
    with (
        device_lock(settings.device_lock, exclusive=False, what="another compile", timeout_s=0),
        pytest.raises(StepFailed, match="another compile"),
    ):
        measure_batch_size(sweep, 1, ARTIFACT_1, attempt=1)
    assert rows(engine, "SELECT failure_kind FROM measurement") == [("timeout",)]


@pytest.mark.parametrize(("stage", "is_alone"), [("compile", False), ("measure", True)])
def test_the_step_itself_holds_the_device(
    settings: Settings, make_python: MakePython, monkeypatch: pytest.MonkeyPatch, stage: str, is_alone: bool
) -> None:
    """The child tries a shared lock of its own, and that its inherited copy is the one that is held."""
    body = f"""
import fcntl
path = {str(settings.device_lock)!r}
inherited = [fd for fd in os.listdir("/proc/self/fd") if os.path.realpath("/proc/self/fd/" + fd) == path]
try:
    fcntl.flock(open(path), fcntl.LOCK_SH | fcntl.LOCK_NB)
    alone = False
except BlockingIOError:
    alone = True
leave(dict(stage=stage, kind="error", message="inherited %d, alone %s" % (len(inherited), alone)))
sys.exit(1)
"""
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(body)))
    steps = {
        "compile": partial(compile_batch_size, a_sweep(), 1, attempt=1),
        "measure": partial(measure_batch_size, a_sweep(), 1, ARTIFACT_1, attempt=1),
    }
    with pytest.raises(StepFailed, match=f"inherited 1, alone {is_alone}"):
        steps[stage]()


@pytest.fixture
def counted_python(make_python: MakePython, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data plane that leaves a line per measurement in the file that is returned."""
    count = tmp_path / "count"
    count.touch()
    python = make_python(f"open({str(count)!r}, 'a').write(stage + '\\n')\n{OBEDIENT}")
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(python))
    return count


def test_what_is_stored_is_not_measured_again(settings: Settings, counted_python: Path) -> None:
    first = measure_batch_size(a_sweep(), 1, ARTIFACT_1, attempt=1)
    assert measure_batch_size(a_sweep(), 1, ARTIFACT_1, attempt=2) == first
    measure_batch_size(a_sweep(), 2, ARTIFACT_1, attempt=1)
    assert counted_python.read_text() == "measure\n" * 2


def test_a_failed_try_is_measured_again(
    settings: Settings, make_python: MakePython, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(failing("measure", 1))))
    with pytest.raises(StepFailed):
        measure_batch_size(a_sweep(), 1, ARTIFACT_1, attempt=1)
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(OBEDIENT)))
    assert measure_batch_size(a_sweep(), 1, ARTIFACT_1, attempt=2)["throughput_inf_per_s"] == 1000.0


def test_without_a_database_the_task_succeeds_and_the_result_waits(
    settings: Settings,
    database_url: str,
    counted_python: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    engine: Engine,
) -> None:
    monkeypatch.setenv("BENCH_DATABASE_URL", NOBODY)
    monkeypatch.setattr("benchlib.store.repository.FIRST_WAIT_S", 0.01)
    sweep = a_sweep()
    assert plan_sweep(sweep) == [1, 2]
    first = measure_batch_size(sweep, 1, ARTIFACT_1, attempt=1)
    assert measure_batch_size(sweep, 1, ARTIFACT_1, attempt=2) == first
    assert counted_python.read_text() == "measure\n"
    assert any("the result waits in" in message for message in caplog.messages)
    with pytest.raises(DatabaseUnreachable):
        report_sweep(sweep)

    monkeypatch.setenv("BENCH_DATABASE_URL", database_url)
    compile_batch_size(sweep, 2, attempt=1)
    assert rows(engine, "SELECT batch_size, status FROM measurement") == [(1, "ok")]
    assert Spool(settings.spool_dir).pending() == ()


def test_a_damaged_file_in_the_spool_stops_nothing(sweep: SweepRecord, settings: Settings) -> None:
    settings.spool_dir.mkdir(parents=True)
    (settings.spool_dir / "20260101T000000.000000Z-measurement-1-x.json").write_bytes(b"cut")
    assert measure_batch_size(sweep, 1, ARTIFACT_1, attempt=1)["valid"]


def failed(kind: str, message: str = "", tail: tuple[str, ...] = ()) -> StepFailed:
    return StepFailed(
        Failure.model_validate({"stage": "compile", "kind": kind, "message": message, "log_tail": tail})
    )


@pytest.mark.parametrize(
    ("error", "is_worth_a_try"),
    [
        (failed("bad_input"), False),
        (failed("crashed", "killed by SIGSEGV"), True),
        (failed("timeout"), True),
        (failed("error", "unknown"), True),
        (failed("error", tail=("Uncorrectable memory error is detected on HBM",)), False),
        (BadInput("rounds", 0, "more"), False),
        (RecordRejected("no"), False),
        (DatabaseUnreachable("away"), True),
        (DeviceBusy("busy"), True),
    ],
)
def test_only_what_may_end_differently_is_tried_again(error: BenchError, is_worth_a_try: bool) -> None:
    assert is_retryable(error) == is_worth_a_try


TIMEOUT = "Failed to execute the model status=5 message=Timeout Exceeded"
ECC = "Uncorrectable HBM memory error is detected"
TAKEN = "NeuronCore(s) not available - Requested:nc1-nc1 Available:0"


@pytest.mark.parametrize(
    ("tail", "attempt", "is_worth_a_try"),
    [
        (TIMEOUT, 1, True),
        (TIMEOUT, 2, False),
        (ECC, 1, False),
        (TAKEN, 1, True),
        (TAKEN, 2, True),
        ("neuronx-cc failed with -9", 1, True),
        ("neuronx-cc failed with -9", 2, False),
        ("something new", 2, True),
    ],
)
def test_a_cure_that_did_not_help_is_not_tried_twice(tail: str, attempt: int, is_worth_a_try: bool) -> None:
    assert is_retryable(failed("error", tail=(tail,)), attempt) == is_worth_a_try


@pytest.mark.parametrize(
    ("said", "attempt", "is_bad"), [(ECC, 1, True), (TIMEOUT, 1, False), (TIMEOUT, 2, True)]
)
def test_a_bad_host_is_to_be_taken_out(
    settings: Settings,
    make_python: MakePython,
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    said: str,
    attempt: int,
    is_bad: bool,
) -> None:
    body = f"leave(dict(stage=stage, kind='error', message='no result: {said}.'))\nsys.exit(1)"
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(body)))
    with pytest.raises(StepFailed) as failure:
        measure_batch_size(a_sweep(), 1, ARTIFACT_1, attempt=attempt)
    assert ("Take this host out" in str(failure.value)) == is_bad
    assert str(failure.value).startswith(f"no result: {said}.")
    assert rows(engine, "SELECT failure_message FROM measurement") == [(str(failure.value),)]


def test_a_neuron_sweep_with_a_python_without_neuron_is_refused_in_one_sentence(
    settings: Settings, engine: Engine
) -> None:
    for interpreter, why in (("/nowhere/python", "No such file"), (sys.executable, "has no torch-neuronx")):
        sweep = a_sweep(backend="neuron", interpreter=interpreter)
        with pytest.raises(
            StepFailed, match=f"interpreter: .* a Python with torch-neuronx .*{why}"
        ) as failure:
            compile_batch_size(sweep, 1, attempt=1)
        assert not is_retryable(failure.value)
        assert "\n" not in str(failure.value)
    assert rows(engine, "SELECT DISTINCT failure_kind FROM compilation") == [("bad_input",)]


def test_a_neuron_sweep_takes_a_virtual_environment_by_its_directory(tmp_path: Path) -> None:
    host = build_host(tmp_path, Path(sys.executable))
    spec = a_sweep(backend="neuron", interpreter=str(host.python.parent.parent)).spec
    assert interpreter_of(spec, Settings.from_environment({})) == host.python


def test_a_device_result_of_a_published_workload_is_held_against_it(
    settings: Settings, make_python: MakePython, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    """The fake's 1,000 inf/s at batch size 1 are half of what AWS published; a CPU's are nobody's."""
    on_device = """
MEASURED["backend"], MEASURED["precision"], MEASURED["replicas"], MEASURED["workers"] = "neuron", "bf16", 2, 2
MEASURED["environment"].update(hardware=True, device="Inferentia2", instance_type="inf2.xlarge")
"""
    model = {"name": "bert-base-uncased", "head": "encoder", "inputs": "zeros_int32"}
    sweep = a_sweep()
    spec = sweep.spec.model_copy(update={"model": sweep.spec.model.model_validate(model)})
    sweep = sweep.model_copy(update={"spec": spec})
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(OBEDIENT)))
    assert measure_batch_size(sweep, 1, ARTIFACT_1, attempt=1)["valid"]
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(on_device + OBEDIENT)))
    other = sweep.model_copy(update={"sweep_id": uuid.uuid4(), "run_id": "r2"})
    assert not measure_batch_size(other, 1, ARTIFACT_1, attempt=1)["valid"]
    stored = rows(engine, "SELECT check_name FROM failed_check")
    assert stored == [("published_band",)]


@pytest.mark.parametrize(
    ("params", "environ", "python"),
    [
        ({}, {}, "/data/python"),
        ({"backend": "neuron"}, {"BENCH_DATA_PYTHON": "/data/python"}, "/data/python"),
        (
            {"interpreter": "/opt/venv/bin/python"},
            {"BENCH_DATA_PYTHON": "/data/python"},
            "/opt/venv/bin/python",
        ),
    ],
)
def test_the_interpreter_is_the_one_asked_for_or_the_hosts(
    params: Mapping[str, Any], environ: Mapping[str, str], python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENCH_DATA_PYTHON", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_environment({"BENCH_DATA_PYTHON": "/data/python"})
    assert interpreter_of(a_sweep(**params).spec, settings) == Path(python)


def test_a_neuron_sweep_never_falls_back_to_another_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_DATA_PYTHON", raising=False)
    with pytest.raises(BenchError, match="torch-neuronx"):
        interpreter_of(a_sweep(backend="neuron").spec, Settings.from_environment({}))


LEAVES_SAMPLES = """
if stage == "measure":
    with open(os.path.join(command[5], "samples_batch_size_%d.npz" % size), "wb") as file:
        file.write(b"readings of %d" % size)
"""


def test_raw_samples_are_stored_and_the_row_says_where(
    settings: Settings, make_python: MakePython, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(LEAVES_SAMPLES + OBEDIENT)))
    sweep = a_sweep()
    measure_batch_size(sweep, 2, ARTIFACT_1, attempt=3)
    ((url,),) = rows(engine, "SELECT samples_url FROM measurement")
    assert url == f"{settings.artifact_url}/samples/{sweep.sweep_id}/batch_size_2_offline_attempt_3.npz"
    assert Path(url.removeprefix("file://")).read_bytes() == b"readings of 2"


def test_samples_that_cannot_be_stored_cost_no_measurement(
    settings: Settings,
    make_python: MakePython,
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(LEAVES_SAMPLES + OBEDIENT)))
    monkeypatch.setenv("BENCH_ARTIFACT_URL", "file:///proc/none")
    measure_batch_size(a_sweep(), 2, ARTIFACT_1, attempt=1)
    assert rows(engine, "SELECT status, samples_url FROM measurement") == [("ok", None)]
    assert any("raw samples of batch size 2 are not kept" in message for message in caplog.messages)


class Killed(BaseException):
    """The process ends here."""


def test_a_store_that_hangs_until_the_process_is_killed_costs_no_measurement(
    settings: Settings, make_python: MakePython, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    def hang(*_: object) -> str:
        raise Killed

    monkeypatch.setenv("BENCH_DATA_PYTHON", str(make_python(LEAVES_SAMPLES + OBEDIENT)))
    monkeypatch.setattr(ArtifactStore, "put_samples", hang)
    with pytest.raises(Killed):
        measure_batch_size(a_sweep(), 2, ARTIFACT_1, attempt=1)
    assert rows(engine, "SELECT status, samples_url FROM measurement") == [("ok", None)]
