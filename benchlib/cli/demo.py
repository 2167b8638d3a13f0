"""`bench demo`: the whole job once on this machine."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from benchlib.analysis.comparison import Comparison
from benchlib.cli.beforehand import check_beforehand
from benchlib.cli.signals import stopped_by_signals
from benchlib.cli.sweep_display import open_display
from benchlib.cli.sweep_options import with_sweep_options
from benchlib.cli.verdict import raise_for_failures
from benchlib.errors import BenchError
from benchlib.orchestration.names import DAG_ID
from benchlib.orchestration.postgres import embedded_postgres, upgrade_results
from benchlib.orchestration.run_once import start_run
from benchlib.orchestration.sweep_params import flat_params, sweep_spec
from benchlib.profiles import expand
from benchlib.report.terminal import open_console, print_comparison
from benchlib.settings import Settings
from benchlib.spec import SweepSpec
from benchlib.store.database import open_repository
from benchlib.store.errors import DatabaseUnreachable
from benchlib.store.spool import Spool
from benchlib.store.spool_copies import with_copies

DEFAULTS = {
    "model": "config:bert-base-uncased",
    "batch_sizes": "1-10",
    "sequence_length": "128",
    "precision": "auto",
    "scenario": "offline",
    "replicas": "auto",
    "workers": "auto",
    "worker_mode": "auto",
    "batches_per_worker": "12",
    "rounds": "3",
    "warmup": "stable",
    "warmup_batches": "2",
    "stop": "rounds",
    "duration_s": "60",
    "relative_half_width": "0.005",
}
_LOOK_S = 0.25


@with_sweep_options(DEFAULTS)
def demo(params: Mapping[str, Any]) -> None:
    """Run the whole job once on this machine, and print its table.

    This is the nightly run itself, the DAG inf2_batch_sweep, without a scheduler: compile the model per batch
    size, measure each program alone, store the results and compare them. Without an accelerator it runs on
    the CPU, and says so. The first run also makes the database; compiled programs are kept and found again.

    Exit code 0: every batch size has a result. 1: one has none; the table names it. 2: what was asked cannot
    be done; nothing was written.
    """
    settings = Settings.from_environment()
    spec = sweep_spec(_expanded({"backend": settings.backend, **params}))
    check_beforehand(spec, settings)
    with (
        stopped_by_signals(),
        embedded_postgres(settings) if settings.database_url is None else nullcontext(),
    ):
        upgrade_results(settings)
        outcome = _run(spec, settings)
        comparison = _comparison(outcome, settings)
    print_comparison(comparison, open_console())
    typer.echo(f"Log: {outcome.log}")
    raise_for_failures(comparison, outcome.succeeded, str(outcome.log))


@dataclass(frozen=True)
class _Outcome:
    """How a run ended."""

    succeeded: bool
    sweep_id: uuid.UUID | None
    """``None``: it ended before it had planned anything."""
    log: Path


def _expanded(params: Mapping[str, Any]) -> dict[str, Any]:
    """A profile goes over this command's defaults and under what was typed."""
    typed = dict(params)
    profile = typed.pop("profile", None)
    return typed if profile is None else {**DEFAULTS, **expand(profile, typed)}


def _run(spec: SweepSpec, settings: Settings) -> _Outcome:
    log = settings.logs_dir / f"demo-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.log"
    sweep_id, succeeded = None, None
    with (
        start_run(DAG_ID, flat_params(spec), settings, log) as run,
        open_display(open_console(), spec.batch_sizes) as display,
    ):
        while succeeded is None:
            succeeded = run.wait(_LOOK_S)
            news = list(run.progress.news())
            sweep_id = next((step.sweep_id for step in news if step.sweep_id), sweep_id)
            display.show(news)
    return _Outcome(succeeded, uuid.UUID(sweep_id) if sweep_id else None, log)


def _comparison(outcome: _Outcome, settings: Settings) -> Comparison:
    if outcome.sweep_id is None:
        raise BenchError(f"the run ended before it had planned anything; why is at the end of {outcome.log}")
    spool = Spool(settings.spool_dir)
    try:
        repository = open_repository(settings, start_embedded=False)
        if spool.pending():
            with with_copies(spool, settings.spool_url):
                spool.replay(repository)
        return repository.comparison(outcome.sweep_id)
    except DatabaseUnreachable as error:
        raise BenchError(
            f"{error}. The results are safe in {spool.directory}: when the database answers, "
            f"`bench db replay` brings them in and `bench report` shows them. Log: {outcome.log}"
        ) from error
