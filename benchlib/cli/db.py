"""`bench db`: the database that the results are kept in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import URL

from benchlib.errors import BadInput, BenchError
from benchlib.orchestration.comparing import bring_in_journals
from benchlib.orchestration.comparing_journal import LOGGED as LOGGED_PAIR
from benchlib.orchestration.comparing_journal import rescue_pairs
from benchlib.settings import Settings
from benchlib.store.database import DATABASE, engine_for, open_repository, url_of
from benchlib.store.embedded_postgres import EmbeddedPostgres, binary
from benchlib.store.errors import DatabaseUnreachable
from benchlib.store.faults import address_of
from benchlib.store.migrate import current_revision, head_revision
from benchlib.store.spool import LOGGED, ReplayReport, Spool
from benchlib.store.spool_copies import replay_all, with_copies

app = typer.Typer(
    help="The database of the results: the embedded PostgreSQL, or the one that BENCH_DATABASE_URL names.",
    no_args_is_help=True,
)


@app.command()
def start() -> None:
    """Start the embedded PostgreSQL and bring its tables up to date.

    The first start makes it, under BENCH_HOME. It listens on a Unix socket that only you can reach, and runs
    until `bench db stop`. Commands that need it start it themselves: this one is for when you want it alone.
    """
    settings = _embedded_settings("start")
    open_repository(settings, start_embedded=True)
    typer.echo(f"running: {EmbeddedPostgres(settings.postgres_dir).url(DATABASE, driver='postgresql')}")


@app.command()
def stop() -> None:
    """Stop the embedded PostgreSQL. Nothing is lost; Airflow, if it runs on it, stops working."""
    EmbeddedPostgres(_embedded_settings("stop").postgres_dir).stop()
    typer.echo("stopped")


@app.command()
def status() -> None:
    """Say which database it is, whether it answers, how new its tables are and what waits in the spool.

    Exit code 0: ready. 1: it does not answer, or its tables are behind.
    """
    settings = Settings.from_environment()
    waiting = len(Spool(settings.spool_dir).pending())
    typer.echo(f"database: {address_of(url_of(settings))}")
    typer.echo(f"spool:    {waiting} waiting in {settings.spool_dir}")
    current, head = current_revision(engine_for(settings)), head_revision()
    typer.echo(f"tables:   {current or 'none'} (newest: {head})")
    if current != head:
        raise BenchError("the tables are not up to date: run `bench db upgrade`")


@app.command()
def upgrade() -> None:
    """Bring the tables up to date; do nothing when they are.

    Starts the embedded PostgreSQL if that is the one in use. Safe at any time, from several places at once.
    """
    open_repository(Settings.from_environment(), start_embedded=True)
    typer.echo(f"up to date: {head_revision()}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(context: typer.Context) -> None:
    """Open the database in psql. What follows is passed on, such as -c 'TABLE comparison_table'.

    Airflow's own database lies beside ours in the embedded server: `bench db psql -d airflow`.
    """
    settings = Settings.from_environment()
    if settings.database_url is None:
        server = EmbeddedPostgres(settings.postgres_dir)
        server.start()
        command, environment = server.psql(DATABASE, *context.args), dict(os.environ)
    else:
        command, environment = _external_psql(url_of(settings), context.args)
    os.execve(command[0], command, environment)  # noqa: S606 - psql takes over the terminal


@app.command()
def replay(
    log: Annotated[
        list[Path] | None,
        typer.Option(
            "--log",
            metavar="FILE",
            help=f"First take in the results of a task's log, in lines with {LOGGED.strip()} or "
            f"{LOGGED_PAIR.strip()}; repeatable.",
        ),
    ] = None,
) -> None:
    """Bring in the results that the database missed while it was away.

    Results wait as files under BENCH_HOME/spool, pairs of comparisons under BENCH_HOME/experiments. Where
    BENCH_SPOOL_URL is set, the copies there are brought in too, whichever host made them. Each goes when the
    database has it; one that is damaged, or that the database refuses, is set aside under spool/poisoned with
    the reason beside it. Doing this twice changes nothing. Exit code 1: the database or the place for copies
    does not answer; what remains is kept.
    """
    settings = Settings.from_environment()
    spool = Spool(settings.spool_dir)
    for file in log or ():
        typer.echo(f"{_rescued(spool.rescue, file)} taken in from {file}")
    try:
        repository = open_repository(settings, start_embedded=True)
        report = replay_all(spool, repository, settings.spool_url)
    except DatabaseUnreachable as error:
        with with_copies(spool, settings.spool_url):
            report = ReplayReport(0, (), len(spool.pending()), error)
    typer.echo(
        f"{report.replayed} brought in, {len(report.poisoned)} set aside, {report.remaining} remaining"
    )
    for poisoned in report.poisoned:
        typer.echo(f"  {poisoned.path}: {poisoned.reason}")
    for file in log or ():
        if pairs := _rescued(partial(rescue_pairs, settings), file):
            typer.echo(f"{pairs} pairs taken in from {file}")
    if report.stopped_by is not None:
        raise report.stopped_by
    if experiments := bring_in_journals(settings):
        typer.echo(f"{experiments} experiments looked at: `bench experiment list`")
    if report.copies_refused is not None:
        raise report.copies_refused


def _rescued(rescue: Callable[[str], int], log: Path) -> int:
    try:
        return rescue(log.read_text())
    except OSError as error:
        raise BadInput("--log", str(log), f"a file that can be read ({error.strerror})") from error
    except ValueError as error:
        marks = f"{LOGGED.strip()} and {LOGGED_PAIR.strip()}"
        raise BadInput("--log", str(log), f"a task's log whose {marks} lines are whole") from error


def _embedded_settings(verb: str) -> Settings:
    settings = Settings.from_environment()
    if settings.database_url is not None:
        where = address_of(url_of(settings))
        raise BenchError(f"BENCH_DATABASE_URL names {where}, which is not ours to {verb}: unset it first")
    return settings


def _external_psql(url: URL, arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """The command and its environment: the password travels in there, out of sight of `ps`."""
    # An installed psql comes first: the embedded one speaks no TLS.
    program = shutil.which("psql") or str(binary("psql"))
    open_url = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    password = {"PGPASSWORD": url.password} if url.password else {}
    return [program, "-d", open_url.render_as_string(), *arguments], {**os.environ, **password}
