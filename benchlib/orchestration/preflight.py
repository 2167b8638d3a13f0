"""The first step of a sweep on its device host: what would stop it is found in seconds, not after hours."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from benchlib.errors import BenchError
from benchlib.orchestration.device_lock import DeviceBusy, device_lock
from benchlib.orchestration.doctor import HOST_CHECKS, Finding, examine
from benchlib.orchestration.job import DEVICE_TIMEOUT_S, interpreter_of
from benchlib.orchestration.launcher import StepFailed
from benchlib.orchestration.shelf import open_shelf
from benchlib.records import CompilationRecord, SweepRecord
from benchlib.results import Failure
from benchlib.settings import Settings

ONLY_TOLD = ("database", "spool copies", "neuron disk", "neuron cores", "neuron instance")
"""Findings that stop no sweep: its results can wait in the spool of this host alone, a small model needs
little room, a step waits until the device is free, and in a container firmware may not tell the instance."""

log = logging.getLogger(__name__)


def preflight_sweep(sweep: SweepRecord, *, attempt: int) -> None:
    """Examine this host for this sweep: what is in order and what is only a warning goes to the log.

    Raises:
        StepFailed: something would stop the sweep; says what, why and what mends it. Stored as the reason of
            every batch size that has no figure.
    """
    settings = Settings.from_environment()
    findings = tuple(_findings(sweep, settings))
    for finding in findings:
        level = {"ok": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}[finding.status]
        log.log(level, "%s", _sentence(finding))
    blocking = [each for each in findings if each.status == "error" and each.name not in ONLY_TOLD]
    if blocking:
        told = "; ".join(_sentence(finding) for finding in blocking)
        failure = Failure(stage="compile", kind="error", message=f"this host is not ready: {told}")
        _keep(sweep, settings, failure, attempt)
        raise StepFailed(failure)


def _findings(sweep: SweepRecord, settings: Settings) -> Iterator[Finding]:
    spec, environ = sweep.spec, dict(os.environ)
    settings = replace(settings, backend=spec.backend)
    try:
        if spec.interpreter != "auto":
            python = interpreter_of(spec, settings)
            settings = replace(settings, data_python=python)
            environ["BENCH_DATA_PYTHON"] = str(python)
    except BenchError as error:
        yield Finding("interpreter", "error", str(error), "it compiles and measures", "name another one")
        return
    try:
        with _beside_no_measurement(sweep, settings):
            yield from examine(settings, environ, HOST_CHECKS)
    except DeviceBusy as busy:
        yield Finding(
            "device", "error", str(busy), "nothing runs beside a measurement", "wait, or end that step"
        )
    except OSError as error:
        remedy = "make it writable, or set BENCH_HOME to another folder"
        found = f"{settings.home} cannot be used: {error.strerror}"
        yield Finding("BENCH_HOME", "error", found, "results are kept there first", remedy)


@contextmanager
def _beside_no_measurement(sweep: SweepRecord, settings: Settings) -> Iterator[None]:
    what = f"preflight, run {sweep.run_id}"
    with device_lock(settings.device_lock, exclusive=False, what=what, timeout_s=DEVICE_TIMEOUT_S):
        yield


def _sentence(finding: Finding) -> str:
    why = f" ({finding.why})" if finding.why else ""
    remedy = f"; to mend it: {finding.remedy}" if finding.remedy else ""
    return f"{finding.name}: {finding.found}{why}{remedy}"


def _keep(sweep: SweepRecord, settings: Settings, failure: Failure, attempt: int) -> None:
    with open_shelf(settings) as shelf:
        for size in sweep.spec.batch_sizes:
            if shelf.figures(sweep, size) is None:
                now = datetime.now(UTC)
                shelf.keep(
                    CompilationRecord(
                        sweep=sweep, batch_size=size, attempt=attempt, failure=failure, recorded_at=now
                    )
                )
