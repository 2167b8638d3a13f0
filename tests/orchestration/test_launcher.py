"""What a step of the data plane may do wrong, done by real processes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

from benchlib.neuron_failures import classify
from benchlib.orchestration.launcher import StepFailed, StepInterrupted, child_environment, run_step
from benchlib.progress import Progress
from benchlib.results import Failure, Measurement
from benchlib.spec import CompileRequest, MeasureRequest

from .conftest import PROJECT, is_running, pid_in, wait_until

MakePython = Callable[[str], Path]


def failure_of(python: Path, request: CompileRequest | MeasureRequest, **limits: float) -> Failure:
    with pytest.raises(StepFailed) as caught:
        run_step(python, request, **({"timeout_s": 30} | limits))
    assert str(caught.value) == caught.value.failure.message
    return caught.value.failure


def test_brings_back_the_result(make_python: MakePython, request_4: CompileRequest) -> None:
    python = make_python("leave(COMPILED)")
    result = run_step(python, request_4, timeout_s=30)
    assert (result.batch_size, result.artifact.filename) == (4, "model_batch_size_4.pt")


def test_asks_for_what_the_request_is(make_python: MakePython, measure_4: MeasureRequest) -> None:
    python = make_python("""
        failure = dict(stage=stage, kind="bad_input", message=" ".join([*sys.argv[1:5], request["scenario"]]))
        leave(failure)
        sys.exit(2)
    """)
    failure = failure_of(python, measure_4)
    assert (failure.stage, failure.kind) == ("measure", "bad_input")
    assert failure.message == "-u -m benchlib measure offline"


def test_output_reaches_the_log_while_the_step_runs(
    make_python: MakePython, request_4: CompileRequest, tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    python = make_python(f"""
        print("WARNING: slow disk")
        print("ERROR out of cores")
        print("plain\\rbar 50%\\rbar 100%", end="")
        sys.stdout.flush()
        while not os.path.exists({str(go_on)!r}):
            time.sleep(0.01)
        leave(COMPILED)
    """)
    seen: list[tuple[int, str]] = []

    class Watcher(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((record.levelno, record.getMessage()))
            if record.getMessage() == "bar 50%":
                go_on.touch()

    logger, watcher = logging.getLogger("benchlib.step"), Watcher()
    logger.addHandler(watcher)
    logger.setLevel(logging.INFO)
    try:
        run_step(python, request_4, timeout_s=30)
    finally:
        logger.removeHandler(watcher)
    assert seen == [
        (logging.WARNING, "slow disk"),
        (logging.ERROR, "out of cores"),
        (logging.INFO, "plain"),
        (logging.INFO, "bar 50%"),
        (logging.INFO, "bar 100%"),
    ]


def test_progress_is_told_and_kept_out_of_the_tail(
    make_python: MakePython, request_4: CompileRequest
) -> None:
    python = make_python("""
        print('BENCH-PROGRESS {"stage": "compile", "state": "running", "fraction": 0.5}')
        print("BENCH-PROGRESS not json")
        sys.exit(3)
    """)
    told: list[Progress] = []
    with pytest.raises(StepFailed) as caught:
        run_step(python, request_4, timeout_s=30, on_progress=told.append)
    assert told == [Progress(stage="compile", state="running", fraction=0.5)]
    assert caught.value.failure.log_tail == ("BENCH-PROGRESS not json",)


def test_an_unexplained_exit_quotes_the_last_line(make_python: MakePython, request_4: CompileRequest) -> None:
    failure = failure_of(make_python("raise ImportError('no pydantic here')"), request_4)
    assert failure.kind == "crashed"
    assert failure.message == (
        "compile of batch size 4 ended with status 1 and no explanation; "
        "its last line: ImportError: no pydantic here"
    )
    assert failure.log_tail[0].startswith("Traceback")


@pytest.mark.parametrize(("name", "hint"), [("SIGSEGV", ""), ("SIGKILL", "short of memory")])
def test_a_crash_is_named_by_its_signal(
    make_python: MakePython, request_4: CompileRequest, name: str, hint: str
) -> None:
    python = make_python(f"""
        print("loading", flush=True)
        os.kill(os.getpid(), signal.{name})
    """)
    failure = failure_of(python, request_4)
    assert failure.kind == "crashed"
    assert failure.message.startswith(f"compile of batch size 4 was killed by {name}")
    assert hint in failure.message
    assert failure.log_tail == ("loading",)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("pass", "left no result"),
        ("open(result_file, 'w').write('{')", "unusable result"),
        ("leave(COMPILED | {'compile_duration_s': -1})", "unusable result"),
        ("leave(COMPILED | {'batch_size': 5})", "for batch size 5"),
    ],
)
def test_success_without_a_usable_result_is_a_failure(
    make_python: MakePython, request_4: CompileRequest, body: str, complaint: str
) -> None:
    failure = failure_of(make_python(body), request_4)
    assert failure.kind == "error"
    assert complaint in failure.message


def test_a_crash_on_a_neuron_host_says_what_it_means(
    make_python: MakePython, request_4: CompileRequest
) -> None:
    python = make_python("""
        print("ERROR NRT:nrt_init Incompatible runtime state: NRT_STATE_CHILD", flush=True)
        os.abort()
    """)
    known = classify("Incompatible runtime state: NRT_STATE_CHILD")
    assert known is not None
    on_neuron = failure_of(python, request_4.model_copy(update={"backend": "neuron"}))
    assert on_neuron.message == f"compile of batch size 4 was killed by SIGABRT. {known.sentence}"
    assert known.sentence not in failure_of(python, request_4).message


def test_a_missing_interpreter_is_bad_input(tmp_path: Path, request_4: CompileRequest) -> None:
    failure = failure_of(tmp_path / "none", request_4)
    assert failure.kind == "bad_input"
    assert failure.message.startswith(f"interpreter: '{tmp_path}/none' is not allowed")


def test_huge_output_neither_blocks_nor_piles_up(make_python: MakePython, request_4: CompileRequest) -> None:
    python = make_python("""
        sys.stdout.write("x" * 5_000_000)
        sys.stdout.write("\\n" + "line\\n" * 50_000)
        sys.exit(9)
    """)
    logging.getLogger("benchlib.step").setLevel(logging.CRITICAL)
    try:
        failure = failure_of(python, request_4, timeout_s=60)
    finally:
        logging.getLogger("benchlib.step").setLevel(logging.NOTSET)
    assert failure.log_tail == ("line",) * 40


def test_a_silent_step_that_ignores_sigterm_is_stopped_with_all_its_children(
    make_python: MakePython, request_4: CompileRequest, tmp_path: Path
) -> None:
    python = make_python(f"""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sleeper = ["sleep", "600"]
        leave_pid("{tmp_path}/child", subprocess.Popen(sleeper).pid)
        leave_pid("{tmp_path}/session", subprocess.Popen(sleeper, start_new_session=True).pid)
        leave_pid("{tmp_path}/self", os.getpid())
        while True:
            time.sleep(1)
    """)
    failure = failure_of(python, request_4, timeout_s=1, grace_s=0.2)
    assert failure.kind == "timeout"
    assert failure.message == "compile of batch size 4 did not end within 1 s and was stopped"
    assert not any(is_running(pid_in(tmp_path / name)) for name in ("child", "session", "self"))


def test_an_orphan_with_the_output_open_neither_hangs_the_step_nor_survives_it(
    make_python: MakePython, request_4: CompileRequest, tmp_path: Path
) -> None:
    python = make_python(f"""
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                leave_pid("{tmp_path}/orphan", os.getpid())
                time.sleep(600)
            os._exit(0)
        os.wait()
        while not os.path.exists("{tmp_path}/orphan"):
            time.sleep(0.01)
        print("done", flush=True)
        leave(COMPILED)
    """)
    assert run_step(python, request_4, timeout_s=30).batch_size == 4
    assert not is_running(pid_in(tmp_path / "orphan"))


def test_a_step_that_closes_its_output_is_still_waited_for(
    make_python: MakePython, request_4: CompileRequest
) -> None:
    python = make_python("""
        os.close(1), os.close(2)
        time.sleep(0.3)
        leave(COMPILED)
        os._exit(0)
    """)
    assert run_step(python, request_4, timeout_s=30).batch_size == 4


class Interrupted(BaseException):
    pass


def test_any_interruption_takes_the_step_down(
    make_python: MakePython, request_4: CompileRequest, tmp_path: Path
) -> None:
    python = make_python(f"""
        leave_pid("{tmp_path}/self", os.getpid())
        time.sleep(600)
    """)

    with interrupted_by_pid_file(tmp_path / "self"), pytest.raises(Interrupted):
        run_step(python, request_4, timeout_s=60)
    assert not is_running(pid_in(tmp_path / "self"))


def test_an_interrupted_measurement_hands_over_its_finished_rounds(
    make_python: MakePython, measure_4: MeasureRequest, tmp_path: Path
) -> None:
    python = make_python(f"""
        def finish(number, frame):
            leave(dict(MEASURED, batch_size=size, batches=7, inferences=28))
            sys.exit(143)
        signal.signal(signal.SIGTERM, finish)
        leave_pid("{tmp_path}/self", os.getpid())
        while True:
            time.sleep(600)
    """)
    kept: list[Measurement] = []
    with interrupted_by_pid_file(tmp_path / "self"), pytest.raises(Interrupted):
        run_step(python, measure_4, timeout_s=60, on_partial=kept.append)
    assert [measured.batches for measured in kept] == [7]


@pytest.mark.parametrize("status", [130, 143])
def test_a_measurement_stopped_by_a_signal_of_its_own_hands_over_its_rounds_too(
    make_python: MakePython, measure_4: MeasureRequest, status: int
) -> None:
    python = make_python(f"""
        leave(dict(MEASURED, batches=7, inferences=28))
        sys.exit({status})
    """)
    kept: list[Measurement] = []
    with pytest.raises(StepInterrupted, match="was stopped; its finished rounds are kept"):
        run_step(python, measure_4, timeout_s=30, on_partial=lambda part: kept.append(part))
    assert [measured.batches for measured in kept] == [7]


def test_a_measurement_that_takes_too_long_hands_over_its_rounds_too(
    make_python: MakePython, measure_4: MeasureRequest
) -> None:
    python = make_python("""
        def finish(number, frame):
            leave(dict(MEASURED, batches=7, inferences=28))
            sys.exit(143)
        signal.signal(signal.SIGTERM, finish)
        print("ready", flush=True)
        while True:
            time.sleep(600)
    """)
    kept: list[Measurement] = []
    with pytest.raises(StepInterrupted, match="did not end within 2 s"):
        run_step(python, measure_4, timeout_s=2, on_partial=lambda part: kept.append(part))
    assert [measured.batches for measured in kept] == [7]


def test_an_interrupted_measurement_without_a_round_hands_over_nothing(
    make_python: MakePython, measure_4: MeasureRequest, tmp_path: Path
) -> None:
    python = make_python(f"""
        leave_pid("{tmp_path}/self", os.getpid())
        time.sleep(600)
    """)
    kept: list[Measurement] = []
    with interrupted_by_pid_file(tmp_path / "self"), pytest.raises(Interrupted):
        run_step(python, measure_4, timeout_s=60, on_partial=kept.append)
    assert kept == []


@contextmanager
def interrupted_by_pid_file(path: Path) -> Iterator[None]:
    """Raise `Interrupted` in this thread as soon as a process has left its pid there."""

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    def send_when_started() -> None:
        pid_in(path)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    sender = threading.Thread(target=send_when_started)
    sender.start()
    try:
        yield
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)


LAUNCH = """
    import sys
    from pathlib import Path
    from benchlib.orchestration.launcher import run_step
    from benchlib.spec import CompileRequest, ModelSpec
    request = CompileRequest(model=ModelSpec(name="config:tiny"), batch_size=4, artifact_url="file:///nowhere")
    run_step(Path(sys.argv[1]), request, timeout_s=600)
"""


def test_a_step_does_not_outlive_a_task_that_is_killed(make_python: MakePython, tmp_path: Path) -> None:
    python = make_python(f"""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        leave_pid("{tmp_path}/self", os.getpid())
        time.sleep(600)
    """)
    task = subprocess.Popen([sys.executable, "-c", dedent(LAUNCH), str(python)], env=PROJECT)
    step = pid_in(tmp_path / "self")
    assert os.getpgid(step) == os.getpgid(task.pid)
    task.kill()
    task.wait()
    wait_until(lambda: not is_running(step))


def test_the_child_gets_neither_our_settings_nor_our_secrets(
    make_python: MakePython, request_4: CompileRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = {
        "AIRFLOW__CORE__FERNET_KEY": "s",
        "AIRFLOW_HOME": "/a",
        "__AIRFLOW_SUPERVISOR_FD": "7",
        "_AIRFLOW_PROCESS_CONTEXT": "x",
        "PYTHONWARNINGS": "ignore",
        "VIRTUAL_ENV": "/v",
        "BENCH_DATABASE_URL": "postgresql://u:secret@h/db",
        "BENCH_AIRFLOW_PASSWORD": "s",
        "MY_BROKER_URL": "redis://:secret@h",
        "PGPASSWORD": "s",
    }
    kept = {"HF_HOME": "/hf", "AWS_REGION": "us-east-1", "NEURON_RT_LOG_LEVEL": "ERROR"}
    for name, value in (hidden | kept).items():
        monkeypatch.setenv(name, value)
    python = make_python("""
        print(json.dumps(dict(os.environ)))
        print("stdin:", repr(sys.stdin.read()))
        sys.exit(1)
    """)
    environment, stdin = failure_of(python, request_4).log_tail
    assert not [name for name in hidden if f'"{name}"' in environment]
    assert all(f'"{name}": "{value}"' in environment for name, value in kept.items())
    assert '"OMP_NUM_THREADS": "1"' in environment
    assert '"MKL_NUM_THREADS": "1"' in environment
    assert stdin == "stdin: ''"


def test_programs_beside_the_interpreter_are_found() -> None:
    path = child_environment(Path("/opt/neuron/bin/python"), {"PATH": "/usr/bin"})["PATH"]
    assert path == "/opt/neuron/bin:/usr/bin"


def test_a_killed_tree_is_never_a_strangers(make_python: MakePython, request_4: CompileRequest) -> None:
    """What another step started is left alone: only this step's own mark counts."""
    other = subprocess.Popen(["sleep", "600"], env={**os.environ, "BENCH_PROCESS_TREE": "another"})
    try:
        run_step(make_python("leave(COMPILED)"), request_4, timeout_s=30)
        assert is_running(other.pid)
    finally:
        other.kill()
        other.wait()


def test_nothing_of_a_step_is_left_behind(
    make_python: MakePython, request_4: CompileRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    python = make_python("sys.exit(1)")
    failure_of(python, request_4)
    open_files = psutil.Process().num_fds()
    failure_of(python, request_4)
    assert psutil.Process().num_fds() == open_files
    assert list(scratch.iterdir()) == []
