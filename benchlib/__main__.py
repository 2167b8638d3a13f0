"""The data plane's door: ``python -m benchlib compile|measure REQUEST.json --result RESULT.json``.

``measure-in-turns`` takes several programs. Exit status: 0 with a result; 1 with a `Failure` as the result;
2 when the request cannot be carried out as asked (with a `Failure` too, once the request could be read); 143
when told to stop (with the finished rounds as the result, if there are any). Whatever the outcome, the last
line of a failed run is one sentence. ``check-model NAME`` says in advance whether a model will do,
and with ``--backend`` whether that device computes in the precision.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

from pydantic import BaseModel, ValidationError

from benchlib.core.stopping import StopRequest, stop_on_signal
from benchlib.errors import EXIT_BAD_INPUT, EXIT_FAILED, BadInput, BenchError
from benchlib.results import CompileResult, Failure, InterleavedResult, Measurement, samples_filename
from benchlib.spec import CompileRequest, InterleavedRequest, MeasureRequest, ModelSpec, Precision

log = logging.getLogger("benchlib")

Request = CompileRequest | MeasureRequest | InterleavedRequest


EXIT_TERMINATED = 128 + signal.SIGTERM


class NoRoom(BenchError):
    """A result is there, but no disk to leave it on."""


@dataclass(frozen=True)
class _Job:
    """One of the jobs: what it is asked with, and who does it."""

    stage: Literal["compile", "measure"]
    request: type[Request]
    run: Callable[[Any, StopRequest, Path | None], BaseModel]
    stopping: Callable[[], AbstractContextManager[StopRequest]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command; returns the exit status."""
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stderr)
    log.setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, _terminate)
    asked = _parser().parse_args(arguments)
    try:
        if asked.command == "check-model":
            _check_model(asked)
            return 0
        job = _JOBS[asked.command]
        request = _read_request(job, asked.request)
        _check_result_path(asked.result)
        _check_samples_path(asked.samples)
    except BadInput as error:
        _say(str(error))
        return EXIT_BAD_INPUT
    return _carry_out(job, request, asked.result, asked.samples)


def _carry_out(job: _Job, request: Request, result: Path, samples: Path | None) -> int:
    with job.stopping() as told_to_stop:
        status = _attempt(job, request, result, samples, told_to_stop)
    return told_to_stop.exit_status or status


def _attempt(
    job: _Job, request: Request, result: Path, samples: Path | None, told_to_stop: StopRequest
) -> int:
    try:
        _leave(result, job.run(request, told_to_stop, samples), request, samples)
    except BadInput as error:
        _say(str(error))
        _write(result, Failure(stage=job.stage, kind="bad_input", message=str(error)))
        return EXIT_BAD_INPUT
    except Exception as error:
        sentence = _sentence(error)
        if told_to_stop():  # whoever did so expects no explanation
            _say(sentence)
            return EXIT_FAILED
        log.exception("%s failed", job.stage)
        _say(sentence)
        with suppress(NoRoom):  # then the last line has to do
            _write(result, Failure(stage=job.stage, kind="error", message=sentence))
        return EXIT_FAILED
    return 0


def _compile(request: CompileRequest, _told_to_stop: StopRequest, _samples: Path | None) -> CompileResult:
    from benchlib.core.compiling import compile_program

    return compile_program(request)


def _measure(request: MeasureRequest, told_to_stop: StopRequest, samples: Path | None) -> Measurement:
    from benchlib.core.measuring import measure_program

    return measure_program(request, told_to_stop, samples)


def _measure_in_turns(
    request: InterleavedRequest, told_to_stop: StopRequest, samples: Path | None
) -> InterleavedResult:
    from benchlib.core.interleaving import measure_in_turns

    return measure_in_turns(request, told_to_stop, samples)


_JOBS = {
    "compile": _Job("compile", CompileRequest, _compile, lambda: nullcontext(StopRequest())),
    # A measurement that is told to stop keeps its finished rounds.
    "measure": _Job("measure", MeasureRequest, _measure, stop_on_signal),
    "measure-in-turns": _Job("measure", InterleavedRequest, _measure_in_turns, stop_on_signal),
}


_PURPOSES = {
    "compile": "compile one program",
    "measure": "measure one compiled program",
    "measure-in-turns": "measure several compiled programs round by round in turns",
}


def _check_model(asked: argparse.Namespace) -> None:
    from benchlib import models
    from benchlib.backends import get_backend

    fields = {"name": asked.model, "revision": asked.revision, "sequence_length": asked.sequence_length}
    try:
        spec = ModelSpec.model_validate(fields)
    except ValidationError as error:
        raise BadInput.from_validation(error) from error
    models.check(spec)
    if asked.backend is not None:
        get_backend(asked.backend).resolve_precision(asked.precision)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchlib", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in _PURPOSES.items():
        command = commands.add_parser(name, help=what, allow_abbrev=False)
        command.add_argument("request", type=Path, metavar="REQUEST.json")
        command.add_argument("--result", type=Path, metavar="RESULT.json", required=True)
        keep = "also leave the clock readings of every measured batch there, as .npz"
        command.add_argument("--samples", type=Path, metavar="DIRECTORY", help=keep)
    check = commands.add_parser("check-model", help="say whether a model can be loaded", allow_abbrev=False)
    check.add_argument("model", metavar="MODEL", help=ModelSpec.model_fields["name"].description)
    check.add_argument("--revision", help=ModelSpec.model_fields["revision"].description)
    default = ModelSpec.model_fields["sequence_length"].default
    check.add_argument("--sequence-length", type=int, default=default, metavar="TOKENS")
    check.add_argument("--backend", help="ask this backend about the precision")
    check.add_argument("--precision", choices=get_args(Precision), default="auto")
    return parser


def _read_request(job: _Job, path: Path) -> Request:
    try:
        return job.request.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput("request", str(path), f"a readable JSON file ({error.strerror})") from error
    except ValidationError as error:
        raise BadInput.from_validation(error) from error


def _check_result_path(path: Path) -> None:
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise BadInput("result", str(path), "a file in a directory that exists and can be written")


def _check_samples_path(path: Path | None) -> None:
    if path is not None and not (path.is_dir() and os.access(path, os.W_OK)):
        raise BadInput("samples", str(path), "a directory that exists and can be written")


def _leave(path: Path, made: BaseModel, request: Request, samples: Path | None) -> None:
    """Write the result; the raw samples give way to it where there is no room for both."""
    try:
        _write(path, made)
    except NoRoom:
        if not _samples_removed(request, samples):
            raise
        _write(path, made)
        log.warning("the raw samples are not kept: there was no room for them beside the result")


def _samples_removed(request: Request, samples: Path | None) -> bool:
    parts = request.requests if isinstance(request, InterleavedRequest) else (request,)
    paths = [samples / samples_filename(part.batch_size) for part in parts] if samples else []
    there = [path for path in paths if path.exists()]
    for path in there:
        path.unlink()
    return bool(there)


def _write(path: Path, result: BaseModel) -> None:
    """Write so that a reader sees the whole file or none.

    Raises:
        NoRoom: the disk does not take it; the result is in the output.
    """
    part = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        part.write_text(result.model_dump_json(indent=1))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        log.error("the result that found no room: %s", result.model_dump_json())  # noqa: TRY400 - no traceback
        raise NoRoom(
            f"the result could not be written to {path}: {error.strerror}; make room there, or set TMPDIR to "
            "another disk, then run it again; the output has the result"
        ) from error


def _sentence(error: Exception) -> str:
    """What went wrong, in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, BenchError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _say(sentence: str) -> None:
    """The last line of a failed run, without a traceback."""
    log.error("%s", sentence)


def _terminate(_signal: int, _frame: object) -> NoReturn:
    # An exception, so that temporary files are removed and workers stopped on the way out.
    raise SystemExit(EXIT_TERMINATED)


if __name__ == "__main__":
    sys.exit(main())
