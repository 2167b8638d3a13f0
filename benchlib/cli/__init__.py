"""`bench`, the command line: what people type, and how errors reach them."""

from __future__ import annotations

import sys

import typer

from benchlib import __version__
from benchlib.cli import annotate, baseline, change, db, experiment, mute, price
from benchlib.cli.changes import changes
from benchlib.cli.compare import compare
from benchlib.cli.coverage import coverage_command
from benchlib.cli.demo import demo
from benchlib.cli.doctor import doctor
from benchlib.cli.explain import explain
from benchlib.cli.export import export_measurements
from benchlib.cli.history import history
from benchlib.cli.importing import import_file
from benchlib.cli.judge import judge
from benchlib.cli.percentiles import percentiles
from benchlib.cli.releases import releases
from benchlib.cli.report import report
from benchlib.cli.trigger import trigger
from benchlib.cli.up import up
from benchlib.errors import EXIT_BAD_INPUT, EXIT_FAILED, BadInput, BenchError

app = typer.Typer(
    name="bench",
    help="Nightly inference benchmarks for AWS Inferentia: compile, measure, compare, decide.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(up)
app.command()(trigger)
app.command()(report)
app.command()(history)
app.command()(compare)
app.command()(changes)
app.command()(explain)
app.command()(judge)
app.command("coverage")(coverage_command)
app.command("doctor")(doctor)
app.command("import")(import_file)
app.command("export")(export_measurements)
app.command()(percentiles)
app.command()(releases)
for room in (annotate, baseline, change, experiment, mute, price, db):
    app.add_typer(room.app, name=room.__name__.rpartition(".")[2])


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"bench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """Options that stand before any command."""


def main() -> None:
    """Run `bench`; a foreseen error becomes one sentence and an exit code, never a traceback."""
    try:
        app()
    except BadInput as error:
        _say(error)
        sys.exit(EXIT_BAD_INPUT)
    except BenchError as error:
        _say(error)
        sys.exit(EXIT_FAILED)


def _say(error: BenchError) -> None:
    sys.stderr.write(f"bench: {error}\n")
