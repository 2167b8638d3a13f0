"""`bench compare`: two interpreters in turns on this host, or two stored sweeps as they are."""

from __future__ import annotations

import getpass
import inspect
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from benchlib.cli.beforehand import check_beforehand
from benchlib.cli.judging import reading
from benchlib.cli.signals import stopped_by_signals
from benchlib.cli.sweep_options import unwrapped
from benchlib.errors import EXIT_FAILED, BadInput, BenchError
from benchlib.experiments import ExperimentRecord
from benchlib.orchestration.comparing import (
    Step,
    compile_side,
    conclude,
    experiment_record,
    measure_pairs,
    plan_experiment,
    python_of,
)
from benchlib.orchestration.comparing_journal import SIDES, find_journal
from benchlib.orchestration.comparing_params import allowed, describe
from benchlib.orchestration.postgres import embedded_postgres, upgrade_results
from benchlib.report.comparing import (
    ComparisonReport,
    SweepPair,
    print_report,
    print_sweeps,
    render_report,
    render_sweeps,
)
from benchlib.report.table import SHORT_ID_CHARS, shorten
from benchlib.report.terminal import open_console
from benchlib.settings import Settings
from benchlib.store.database import open_repository
from benchlib.store.experiments import find_experiment, stored_experiment
from benchlib.store.repository import Repository
from benchlib.store.sweep_figures import (
    SweepFiguresRead,
    difference_of,
    read_sweep,
    set_against,
    unequal,
)

COMMAND = "bench compare"
"""Stands where a DAG's id stands for a run of a DAG."""

DEFAULTS = {"model": "config:bert-base-uncased", "batch_sizes": "1,4,8"}

PANELS = {
    "What is decided": ("pairs", "max_pairs", "min_effect", "p99_min_effect"),
    "What a turn measures": (
        "model", "batch_sizes", "sequence_length", "precision", "revision", "seed", "head", "inputs",
        "scenario", "replicas", "workers", "worker_mode", "batches_per_worker", "rounds", "warmup",
        "warmup_batches", "interleave", "backend", "compiler_args",
    ),
    "Kept with the result": ("label", "note"),
}  # fmt: skip

_LONGEST_MESSAGE = 60

Sweeps = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SWEEP SWEEP]", help="Two stored sweeps: run ids, or beginnings of sweep ids."),
]
Interpreters = Annotated[
    tuple[str, str] | None,
    typer.Option("--interpreters", metavar="OLD NEW", help="Pythons, or virtual environments, to compare."),
]
WithItself = Annotated[
    bool,
    typer.Option("--aa", help="Compare one with itself: what is found is the procedure's own error."),
]
Resume = Annotated[
    str | None, typer.Option("--resume", metavar="EXPERIMENT", help="Go on with one that was stopped.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON with all fields and full precision.")]
Fail = Annotated[bool, typer.Option("--fail", help="Exit with 1 unless the verdict is better or no worse.")]


def with_turn_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option per parameter of a comparison; its first argument maps those given."""
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    own_names = {parameter.name for parameter in own}
    names = [name for names in PANELS.values() for name in names]

    def run(**given: Any) -> None:
        rest = {name: value for name, value in given.items() if name in own_names}
        params = {name: given[name] for name in names if given[name] is not None}
        if "compiler_args" in params:
            params["compiler_args"] = shlex.split(params["compiler_args"])
        command(params, **rest)

    run.__name__, run.__annotations__ = command.__name__, {}
    run.__doc__ = unwrapped(inspect.getdoc(command) or "")
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        + [_parameter(name, panel) for panel, names in PANELS.items() for name in names]
    )
    return run


def _parameter(name: str, panel: str) -> inspect.Parameter:
    purpose, limits = describe(name), allowed(name)
    said = purpose if limits in purpose or limits.startswith("text") else f"{purpose.rstrip('.')}: {limits}"
    shown = f" Default: {DEFAULTS[name]}." if name in DEFAULTS else ""
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        help=f"{said[:1].upper()}{said[1:].rstrip('.')}.{shown}",
        metavar="TEXT" if limits.startswith("text") else "VALUE",
        rich_help_panel=panel,
    )
    # Text for all: what is wrong with a value is for the specification to say, here as anywhere.
    annotation = Annotated[str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


@with_turn_options
def compare(
    params: Mapping[str, Any],
    sweeps: Sweeps = None,
    interpreters: Interpreters = None,
    aa: WithItself = False,
    resume: Resume = None,
    as_json: AsJson = False,
    fail: Fail = False,
) -> None:
    """Say whether a new SDK is worse than the old one, or set two stored sweeps against each other.

    With --interpreters both are measured in turns on this host, old new new old, each turn in a fresh process
    of its own interpreter; pairs are added where nothing can be decided yet. Every pair is kept at once: what
    was stopped goes on with --resume. With two SWEEPs nothing is measured: that shows, but does not decide.

    Exit code 0: there is a verdict, whatever it is (see --fail). 1: there is none, or the database is away;
    pairs that were finished are kept. 2: what was asked cannot be done; nothing was written.
    """
    if sweeps:
        _refuse_beside_sweeps(sweeps, params, interpreters, aa, resume)
        _compare_sweeps(sweeps, as_json)
        return
    settings = Settings.from_environment()
    if resume is not None:
        record = _unfinished(settings, resume)
    else:
        record = _asked(settings, params, interpreters, aa)
        _check_sides(record, settings)
    report = _run(record, settings, quiet=as_json)
    _show(report, as_json)
    if report.verdict == "not compared" or (fail and report.verdict not in ("better", "no worse")):
        raise typer.Exit(EXIT_FAILED)


def _refuse_beside_sweeps(
    sweeps: list[str],
    params: Mapping[str, Any],
    interpreters: tuple[str, str] | None,
    aa: bool,
    resume: str | None,
) -> None:
    if len(sweeps) != 2:
        raise BadInput("sweeps", " ".join(sweeps), "two sweeps, or none and --interpreters OLD NEW")
    asked = [f"--{name.replace('_', '-')}" for name in params]
    asked += ["--interpreters"] * bool(interpreters) + ["--aa"] * aa + ["--resume"] * bool(resume)
    if asked:
        raise BadInput(
            "sweeps", " ".join(sweeps), f"none beside {asked[0]}: stored sweeps are measured already"
        )


def _asked(
    settings: Settings, params: Mapping[str, Any], interpreters: tuple[str, str] | None, aa: bool
) -> ExperimentRecord:
    if interpreters is None and not aa:
        raise BadInput("interpreters", None, "--interpreters OLD NEW, --aa, --resume, or two stored sweeps")
    old, new = interpreters or ("auto", "auto")
    if aa and old != new:
        raise BadInput("interpreters", f"{old} {new}", "the same one twice, or none, with --aa")
    now = datetime.now(UTC)
    given = {
        "backend": settings.backend,
        **DEFAULTS,
        **params,
        "old_interpreter": old,
        "new_interpreter": new,
    }
    return experiment_record(
        given,
        dag_id=COMMAND,
        run_id=f"manual__{now:%Y-%m-%dT%H:%M:%S.%f}",
        author=getpass.getuser(),
        created_at=now,
    )


def _check_sides(record: ExperimentRecord, settings: Settings) -> None:
    """Whatever either interpreter can say to be wrong, before anything is written."""
    pythons = {str(python_of(record.spec, side, settings)) for side in SIDES}
    for python in sorted(pythons):
        check_beforehand(record.spec.sweep.model_copy(update={"interpreter": python}), settings)


def _unfinished(settings: Settings, text: str) -> ExperimentRecord:
    """By its journal on this host or, when that is gone, from the database."""
    here = find_journal(settings, text)
    if here is not None:
        return here
    repository = open_repository(settings, start_embedded=True)
    stored = stored_experiment(repository.engine, find_experiment(repository.engine, text))
    assert stored is not None
    if stored.finished_at is not None:
        short = str(stored.record.experiment_id)[:SHORT_ID_CHARS]
        raise BadInput("experiment", text, f"one without a verdict: see bench experiment show {short}")
    return stored.record


def _run(record: ExperimentRecord, settings: Settings, quiet: bool) -> ComparisonReport:
    short = str(record.experiment_id)[:SHORT_ID_CHARS]
    embedded = embedded_postgres(settings) if settings.database_url is None else nullcontext()
    with stopped_by_signals(), embedded:
        upgrade_results(settings)
        plan_experiment(record)
        typer.echo(f"Experiment {short}; stopped, it goes on with: bench compare --resume {short}", err=True)
        with _progress(open_console(sys.stderr), quiet) as tell:
            sides = {side: compile_side(record, side, tell) for side in SIDES}
            measure_pairs(record, sides, tell)
        concluded = conclude(record, sides)
    if concluded.not_stored is not None:
        _show(concluded.report, as_json=False)
        raise BenchError(
            f"{concluded.not_stored}. Pairs and verdict are safe: when the database answers, "
            "`bench experiment list` brings them in"
        )
    return concluded.report


@contextmanager
def _progress(console: Console, quiet: bool) -> Iterator[Callable[[Step], None]]:
    """A bar on a terminal, a line for each step elsewhere, nothing beside JSON."""
    if quiet:
        yield lambda _: None
        return
    if not console.is_terminal:
        yield lambda step: console.print(Text(_words(step)))
        return
    # Drawn only when asked: a redraw ten times a second would be felt by a measurement on the same CPU.
    columns = (BarColumn(24), TextColumn("{task.description}", markup=False), TimeRemainingColumn())
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as bars:
        task = bars.add_task("starting", total=1.0)

        def show(step: Step) -> None:
            bars.update(
                task, description=shorten(_words(step), _LONGEST_MESSAGE), completed=step.fraction or 0.0
            )
            bars.refresh()

        yield show


def _words(step: Step) -> str:
    return f"batch size {step.batch_size}: {step.message}" if step.batch_size else step.message


def _show(report: ComparisonReport, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(render_report(report))
    else:
        print_report(report, open_console())


def _compare_sweeps(sweeps: list[str], as_json: bool) -> None:
    engine = reading()
    repository = Repository(engine)
    first, second = (read_sweep(engine, repository.find_sweep(each)) for each in sweeps)
    found = SweepPair(
        first=_title(first),
        second=_title(second),
        differences=set_against(first, second),
        environment=difference_of(engine, first.environment_id, second.environment_id),
        notes=unequal(first, second),
        provenance=_provenance(first, second),
    )
    if as_json:
        sys.stdout.write(render_sweeps(found))
    else:
        print_sweeps(found, open_console())


def _title(sweep: SweepFiguresRead) -> str:
    return f"sweep {str(sweep.sweep_id)[:SHORT_ID_CHARS]}, {sweep.title}"


def _provenance(first: SweepFiguresRead, second: SweepFiguresRead) -> str:
    if first.hardware and second.hardware:
        return ""
    stand_in = "a CPU" if "cpu" in (first.backend, second.backend) else "a stand-in"
    return f"Measured on {stand_in}: not an inf2 result."
