"""`bench change`: what became of the changes that were found."""

from __future__ import annotations

from typing import Annotated

import typer

from benchlib.cli.judging import Author, Reason, remark_of, writing
from benchlib.store.judgements import IncidentStatus, JudgedIncident, judge_incidents

app = typer.Typer(
    help="Say what became of changes. `bench changes` lists them, `bench explain` says what is known of one.",
    no_args_is_help=True,
)

Ids = Annotated[
    list[int], typer.Argument(metavar="CHANGE...", help="Numbers, as `bench changes` shows them.")
]


@app.command()
def ack(changes: Ids, reason: Reason, author: Author = None) -> None:
    """Acknowledge changes: somebody looks into them. They stay in the list."""
    _judge(changes, "acknowledged", reason, author)


@app.command()
def fix(changes: Ids, reason: Reason, author: Author = None) -> None:
    """Say that changes are fixed: the cause is gone. They leave the list, and come back if the loss does."""
    _judge(changes, "fixed", reason, author)


@app.command()
def expect(changes: Ids, reason: Reason, author: Author = None) -> None:
    """Say that changes were expected, such as a trade-off that a release names. They leave the list."""
    _judge(changes, "expected", reason, author)


@app.command()
def infra(changes: Ids, reason: Reason, author: Author = None) -> None:
    """Say that the host or what surrounds it was the cause, not what is measured. They leave the list."""
    _judge(changes, "infra", reason, author)


@app.command("wont-fix")
def wont_fix(changes: Ids, reason: Reason, author: Author = None) -> None:
    """Say that changes are real, and will stay. They leave the list."""
    _judge(changes, "wont_fix", reason, author)


@app.command("false-alarm")
def false_alarm(changes: Ids, reason: Reason, author: Author = None) -> None:
    """Say that nothing had changed: the detector was wrong. They leave the list."""
    _judge(changes, "false_alarm", reason, author)


@app.command()
def reopen(changes: Ids, reason: Reason, author: Author = None) -> None:
    """Open changes again, whatever was said about them; that stays in their history."""
    _judge(changes, "reopened", reason, author)


def _judge(changes: list[int], status: IncidentStatus, reason: str, author: str | None) -> None:
    remark = remark_of(author, reason)
    for judged in judge_incidents(writing().engine, changes, status, remark):
        typer.echo(_outcome(judged))


def _outcome(judged: JudgedIncident) -> str:
    name, before = f"change {judged.incident_id}", judged.before
    if judged.is_new:
        return f"{name}: {_word(before.status)} -> {_word(judged.status)}"
    said = f", says {before.author} ({before.annotated_at:%Y-%m-%d %H:%M})" if before.annotated_at else ""
    return f"{name} is {_word(judged.status)} already{said}; nothing written"


def _word(status: str) -> str:
    return status.replace("_", " ")
