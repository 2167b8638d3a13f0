"""`bench experiment`: the comparisons that were made, and which of them were accepted."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from benchlib.cli.judging import (
    STAND_IN,
    AsJson,
    Author,
    Column,
    Limit,
    Reason,
    print_json,
    print_table,
    ran_on,
    reading,
    remark_of,
    say,
    say_if_cut,
    writing,
)
from benchlib.orchestration.comparing import bring_in_journals, stored_report
from benchlib.report.comparing import print_report, render_report
from benchlib.report.table import NOTHING, SHORT_ID_CHARS
from benchlib.report.terminal import open_console
from benchlib.settings import Settings
from benchlib.store.acceptance import accept as accept_experiment
from benchlib.store.acceptance import write_due_epochs
from benchlib.store.experiments import ExperimentLine, find_experiment, list_experiments

app = typer.Typer(
    help="Comparisons made by bench compare and the DAG sdk_comparison, their verdicts and acceptance.",
    no_args_is_help=True,
)

COLUMNS = (
    Column("Experiment"),
    Column("Date"),
    Column("Model"),
    Column("Batch sizes", dispensable=4),
    Column("Ran on", dispensable=1),
    Column("Old -> new", wraps=True, dispensable=2),
    Column("Pairs", dispensable=5),
    Column("Verdict"),
    Column("Accepted", dispensable=3),
)

Experiment = Annotated[str, typer.Argument(help="Run id, or the beginning of an experiment's id.")]


@app.command("list")
def list_command(limit: Limit = 20, as_json: AsJson = False) -> None:
    """List the experiments, newest first. What the database has missed of this host's is brought in."""
    engine = reading()  # which starts the embedded server
    bring_in_journals(Settings.from_environment())
    found = list_experiments(engine, limit)
    if as_json:
        print_json(found)
    elif not found:
        say("No experiment is stored yet: start one with bench compare --interpreters OLD NEW.")
    else:
        print_table(COLUMNS, map(_cells, found))
        if not all(each.hardware for each in found):
            say(STAND_IN)
        say_if_cut(len(found), limit)


@app.command()
def show(experiment: Experiment, as_json: AsJson = False) -> None:
    """Show an experiment with its verdict, or how far it is."""
    engine = reading()
    report = stored_report(engine, find_experiment(engine, experiment))
    assert report is not None
    if as_json:
        sys.stdout.write(render_report(report))
    else:
        print_report(report, open_console())
        if report.acceptance is not None:
            told = report.acceptance
            say(f"Accepted by {told.accepted_by}, {told.accepted_at:%Y-%m-%d}: {told.accepted_reason}")


@app.command()
def accept(experiment: Experiment, reason: Reason, author: Author = None) -> None:
    """Take the new side for good: the nightly series begin anew with the first sweep that is made with it.

    The step that the upgrade makes in the history is then not raised as a change. Whatever the verdict is, a
    person may accept it, with a reason. Batch sizes that the experiment did not measure are not accepted.
    """
    remark, repository = remark_of(author, reason), writing()
    bring_in_journals(Settings.from_environment())
    experiment_id = find_experiment(repository.engine, experiment)
    accepted = accept_experiment(repository.engine, experiment_id, remark)
    short, told = str(experiment_id)[:SHORT_ID_CHARS], accepted.acceptance
    if accepted.is_new:
        typer.echo(f"experiment {short} accepted")
    else:
        said = f"{told.accepted_by} ({told.accepted_at:%Y-%m-%d})"
        typer.echo(f"experiment {short} is accepted already, says {said}; nothing written")
    epochs = [each for each in write_due_epochs(repository.engine) if each.experiment_id == experiment_id]
    series = sum(len(each.series_ids) for each in epochs)
    if series:
        typer.echo(f"{series} series begin anew with sweep {str(epochs[0].sweep_id)[:SHORT_ID_CHARS]}")
    elif accepted.is_new:
        typer.echo("its series begin anew with the first nightly sweep that is made with the new side")


def _cells(line: ExperimentLine) -> tuple[str, ...]:
    before, after = line.old_sdk or NOTHING, line.new_sdk or NOTHING
    return (
        str(line.experiment_id)[:SHORT_ID_CHARS],
        f"{line.created_at:%Y-%m-%d %H:%M}",
        line.model,
        ", ".join(map(str, line.batch_sizes)),
        ran_on(line.instance_type, line.backend, bool(line.hardware)),
        "A/A" if line.with_itself else f"{before} -> {after}",
        f"{line.pairs}" + (f" ({line.unusable_pairs} unusable)" if line.unusable_pairs else ""),
        line.verdict or "not finished",
        f"by {line.accepted_by}" if line.accepted_by else "",
    )
