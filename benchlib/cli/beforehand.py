"""What can be known to be wrong before anything is written."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import typer

from benchlib.artifacts import ArtifactStore
from benchlib.errors import EXIT_BAD_INPUT, BadInput, BenchError
from benchlib.orchestration.job import interpreter_of
from benchlib.orchestration.launcher import child_environment
from benchlib.settings import Settings
from benchlib.spec import SweepSpec

_CHECK_TIMEOUT_S = 120


def check_beforehand(spec: SweepSpec, settings: Settings) -> None:
    """Make sure that the model is there, that the backend can run it, and that results can be written.

    Raises:
        BadInput: the interpreter, the artifact store or ``BENCH_HOME`` will not do.
        typer.Exit: the model, the backend or the precision will not do; the data plane's sentence has been
            printed.
        BenchError: the interpreter lacks what the data plane needs.
    """
    _check_model(spec, interpreter_of(spec, settings))
    check_home(settings)
    ArtifactStore(settings.artifact_url).probe()


def check_home(settings: Settings) -> None:
    """Make the directory that everything local is kept in.

    Raises:
        BadInput: it cannot be made.
    """
    try:
        settings.logs_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        allowed = f"a directory that can be made and written ({error.strerror})"
        raise BadInput("BENCH_HOME", str(settings.home), allowed) from error


def _check_model(spec: SweepSpec, python: Path) -> None:
    model = spec.model
    options = ["--sequence-length", str(model.sequence_length)]
    options += ["--backend", spec.backend, "--precision", spec.precision]
    if model.revision:
        options += ["--revision", model.revision]
    try:
        checked = subprocess.run(
            [str(python), "-m", "benchlib", "check-model", *options, "--", model.name],
            env=child_environment(python, os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CHECK_TIMEOUT_S,
        )
    except OSError as error:
        allowed = f"a Python with torch and transformers ({error.strerror}), by BENCH_DATA_PYTHON"
        raise BadInput("interpreter", str(python), allowed) from error
    last = (checked.stderr.strip().splitlines() or ["it said nothing"])[-1].removeprefix("ERROR ")
    if checked.returncode == EXIT_BAD_INPUT:
        typer.echo(f"bench: {last}", err=True)
        raise typer.Exit(EXIT_BAD_INPUT)
    if checked.returncode:
        raise BenchError(f"{python} cannot run benchlib: {last}")
