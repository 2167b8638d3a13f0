"""Runs one step of the data plane under its own interpreter and brings back its result.

``python -m benchlib compile|measure REQUEST.json --result RESULT.json`` in a fresh process: one process
owns an accelerator core until it ends, a fork of a live runtime is broken, and compilers crash with signals.
"""

from __future__ import annotations

import collections
import logging
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NoReturn

from pydantic import ValidationError

from benchlib import progress
from benchlib.errors import BadInput, BenchError
from benchlib.neuron_failures import classify
from benchlib.orchestration.process_tree import MARK_VARIABLE, ProcessTree, dies_with_this_process
from benchlib.progress import Progress
from benchlib.results import CompileResult, Failure, FailureKind, InterleavedResult, Measurement
from benchlib.settings import PROJECT_ROOT
from benchlib.spec import CompileRequest, InterleavedRequest, MeasureRequest

Request = CompileRequest | MeasureRequest | InterleavedRequest
Measured = Measurement | InterleavedResult

TAIL_LINES = 40
_STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
_LONGEST_LINE_BYTES = 64 * 1024
_LOOK_FOR_THE_END_S = 0.2
_DRAIN_S = 1.0
_LEVEL = re.compile(r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b[:\s]*")
_NOT_FOR_THE_CHILD = re.compile(
    r"_*(AIRFLOW|PYTHON|VIRTUAL_ENV)"  # another interpreter's and another program's configuration
    r"|.*(BROKER_URL|RESULT_BACKEND|DATABASE_URL|SQL_ALCHEMY_CONN)$"  # these hold passwords
    r"|BENCH_AIRFLOW_|PGPASS"
)

log = logging.getLogger("benchlib.step")


class StepFailed(BenchError):
    """A step of the data plane has no result; ``failure`` says why."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.message)


class StepInterrupted(StepFailed):
    """The step was stopped from outside; what it had finished has been handed over."""


def run_step(
    python: Path,
    request: Request,
    *,
    timeout_s: float,
    on_progress: Callable[[Progress], None] = lambda _: None,
    grace_s: float = 5.0,
    keep_open: Sequence[int] = (),
    on_partial: Callable[[Measured], object] = lambda _: None,
    samples: Path | None = None,
) -> CompileResult | Measured:
    """Run the step that ``request`` asks for; its output goes to the log line by line while it runs.

    However this call ends, nothing that the step started is left running: SIGTERM, then SIGKILL after
    ``grace_s``. ``keep_open`` are file descriptors that the child inherits, such as a lock. When this process
    is itself told to stop, or the time is over, ``on_partial`` gets what the child had finished measuring.
    ``samples`` is a directory for the raw samples of a measurement; ``None``: none are kept.

    Returns:
        what the request is for: a `CompileResult`, a `Measurement` or an `InterleavedResult`.

    Raises:
        StepInterrupted: stopped, with something handed over.
        StepFailed: no usable result: an error, a crash, or no end within ``timeout_s``.
    """
    with tempfile.TemporaryDirectory(prefix="bench-step-") as directory:
        step = _Step(request, Path(directory), on_progress, samples)
        try:
            code = _run(step, python, timeout_s=timeout_s, grace_s=grace_s, keep_open=keep_open)
        except StepFailed as failed:
            if step.hand_over_partial(on_partial):
                raise StepInterrupted(failed.failure) from failed
            raise
        except BaseException:
            step.hand_over_partial(on_partial)
            raise
        if code in _STOPPED and step.hand_over_partial(on_partial):
            raise StepInterrupted(step.failure("error", "was stopped; its finished rounds are kept"))
        return step.result() if code == 0 else step.fail_by_exit(code)


def _run(step: _Step, python: Path, *, timeout_s: float, grace_s: float, keep_open: Sequence[int]) -> int:
    """Run the child to its end and return its exit status; a negative one is a signal's number."""
    mark = uuid.uuid4().hex
    child = _start(step, python, mark, keep_open)
    tree = ProcessTree(mark)
    tree.add(child.pid)
    try:
        for line in _lines(child, time.monotonic() + timeout_s):
            step.take(line)
        return child.wait()
    except subprocess.TimeoutExpired:
        step.fail("timeout", f"did not end within {timeout_s:g} s and was stopped")
    finally:
        # After an ordinary end too: what a step leaves behind would disturb the next measurement.
        tree.stop(grace_s)
        child.wait()
        if child.stdout:
            child.stdout.close()


def _start(step: _Step, python: Path, mark: str, keep_open: Sequence[int]) -> subprocess.Popen[bytes]:
    command = [str(python), "-u", "-m", "benchlib", step.command, str(step.request_file)]
    try:
        # In the task's process group: whoever stops a task signals its group.
        return subprocess.Popen(
            [*command, "--result", str(step.result_file), *step.options],
            env=child_environment(python, os.environ) | {MARK_VARIABLE: mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=keep_open,
            preexec_fn=dies_with_this_process(),
        )
    except OSError as error:
        allowed = f"a Python interpreter on this worker ({error.strerror})"
        raise StepFailed(
            Failure(
                stage=step.stage,
                kind="bad_input",
                message=str(BadInput("interpreter", str(python), allowed)),
            )
        ) from error


def child_environment(python: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a step: the interpreter's own, without this program's settings and secrets."""
    kept = {name: value for name, value in environ.items() if not _NOT_FOR_THE_CHILD.match(name)}
    return kept | {
        "PYTHONPATH": str(PROJECT_ROOT),
        # As in an activated environment: the compiler is a program beside the interpreter.
        "PATH": os.pathsep.join([str(python.parent), environ.get("PATH", os.defpath)]),
        # One thread per worker: the load is the workers' number, not a library's guess.
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def _lines(child: subprocess.Popen[bytes], deadline: float) -> Iterator[str]:
    """The child's output, line by line, until the child has ended.

    Raises:
        subprocess.TimeoutExpired: it had not ended at ``deadline`` (on the monotonic clock).
    """
    pending = b""
    for chunk in _chunks(child, deadline):
        # A carriage return ends a line too: progress bars write nothing else.
        *lines, pending = re.split(rb"[\r\n]+", pending + chunk)
        if len(pending) > _LONGEST_LINE_BYTES:
            lines, pending = [*lines, pending], b""
        yield from (line.decode(errors="replace") for line in lines if line)
    if pending:
        yield pending.decode(errors="replace")


def _chunks(child: subprocess.Popen[bytes], deadline: float) -> Iterator[bytes]:
    assert child.stdout
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while child.poll() is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise subprocess.TimeoutExpired(child.args, 0)
            if selector.select(min(left_s, _LOOK_FOR_THE_END_S)):
                chunk = os.read(child.stdout.fileno(), _LONGEST_LINE_BYTES)
                if not chunk:
                    child.wait(left_s)
                    return
                yield chunk
        # A process that the child left behind may hold the pipe open, or fill it, for ever.
        drain_until = time.monotonic() + _DRAIN_S
        while time.monotonic() < drain_until and selector.select(0):
            chunk = os.read(child.stdout.fileno(), _LONGEST_LINE_BYTES)
            if not chunk:
                return
            yield chunk


class _Step:
    """One request, the files that carry it, and what became of it."""

    def __init__(
        self,
        request: Request,
        directory: Path,
        on_progress: Callable[[Progress], None],
        samples: Path | None = None,
    ) -> None:
        self.stage: Literal["compile", "measure"] = (
            "compile" if isinstance(request, CompileRequest) else "measure"
        )
        self.command = "measure-in-turns" if isinstance(request, InterleavedRequest) else self.stage
        self.request_file = directory / "request.json"
        self.result_file = directory / "result.json"
        self.options = ["--samples", str(samples)] if samples and self.stage == "measure" else []
        self._request = request
        self._on_progress = on_progress
        self._tail: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)
        try:
            self.request_file.write_text(request.model_dump_json())
        except OSError as error:
            self.fail(
                "error",
                f"did not begin: its request could not be written to {directory}: {error.strerror}; make "
                "room there, or set TMPDIR to another disk",
            )

    def take(self, line: str) -> None:
        """One line of output: a step forward, or text for the log at the level that it names."""
        forward = progress.parse(line)
        if forward:
            self._on_progress(forward)
            return
        self._tail.append(line)
        match = _LEVEL.match(line)
        level = logging.getLevelNamesMapping()[match[1]] if match else logging.INFO
        log.log(level, "%s", line[match.end() :] if match else line)

    def result(self) -> CompileResult | Measured:
        """What the child left in the result file after an exit status of 0."""
        try:
            result = self._read()
        except FileNotFoundError:
            self.fail("error", "reported success but left no result")
        except (OSError, ValidationError) as error:
            self.fail(
                "error", f"reported success but left an unusable result: {' '.join(str(error).split())}"
            )
        if _sizes(result) != _sizes(self._request):
            self.fail("error", f"reported success but for {_named(_sizes(result))}")
        return result

    def _read(self) -> CompileResult | Measured:
        content = self.result_file.read_bytes()
        if self.command == "measure-in-turns":
            return InterleavedResult.model_validate_json(content)
        kind = CompileResult if self.command == "compile" else Measurement
        result: CompileResult | Measurement = kind.model_validate_json(content)
        return result

    def hand_over_partial(self, on_partial: Callable[[Measured], object]) -> bool:
        """Pass on the finished rounds of a measurement that was stopped; false: there are none."""
        try:
            result = self._read()
        except (OSError, ValidationError):
            return False
        if isinstance(result, CompileResult):
            return False
        on_partial(result)
        return True

    def fail_by_exit(self, code: int) -> NoReturn:
        """Raise the child's own explanation, or the best that can be said from its exit status."""
        try:
            failure = Failure.model_validate_json(self.result_file.read_bytes())
        except (OSError, ValidationError):
            self.fail("crashed", _how_it_ended(code, self._tail) + self._what_it_means(code))
        raise StepFailed(failure.model_copy(update={"log_tail": failure.log_tail or tuple(self._tail)}))

    def _what_it_means(self, code: int) -> str:
        is_neuron = _first(self._request).backend == "neuron"
        known = classify("\n".join(self._tail), code) if is_neuron else None
        return f". {known.sentence}" if known else ""

    def fail(self, kind: FailureKind, what: str) -> NoReturn:
        """Raise `StepFailed` with one sentence and the last lines of output."""
        raise StepFailed(self.failure(kind, what))

    def failure(self, kind: FailureKind, what: str) -> Failure:
        """One sentence and the last lines of output."""
        return Failure(
            stage=self.stage,
            kind=kind,
            message=f"{self.stage} of {_named(_sizes(self._request))} {what}",
            log_tail=tuple(self._tail),
        )


def _sizes(asked_or_done: Request | CompileResult | Measured) -> tuple[int, ...]:
    match asked_or_done:
        case InterleavedRequest(requests=parts) | InterleavedResult(measurements=parts):
            return tuple(part.batch_size for part in parts)
        case _:
            return (asked_or_done.batch_size,)


def _named(sizes: Sequence[int]) -> str:
    if len(sizes) == 1:
        return f"batch size {sizes[0]}"
    return f"batch sizes {', '.join(map(str, sizes))} in turns"


def _first(request: Request) -> CompileRequest | MeasureRequest:
    return request.requests[0] if isinstance(request, InterleavedRequest) else request


def _how_it_ended(code: int, tail: Sequence[str]) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (by kill -9 or, short of memory, by the kernel: see dmesg)" if name == "SIGKILL" else ""
        return f"was killed by {name}{hint}"
    last = f"; its last line: {tail[-1]}" if tail else ""
    return f"ended with status {code} and no explanation{last}"
