"""`bench change`: the shifts that were found, and where they stand."""

from __future__ import annotations

from typing import Annotated, get_args

import typer

from benchlib.cli.judging import (
    STAND_IN,
    AsJson,
    Author,
    Column,
    Limit,
    ModelOption,
    Reason,
    SeriesOption,
    print_json,
    print_table,
    ran_on,
    reading,
    remark_of,
    say,
    say_if_cut,
    writing,
)
from benchlib.report.table import SHORT_ID_CHARS
from benchlib.store.judgement_lists import (
    UNSETTLED,
    ChangeLine,
    Wanted,
    find_change,
    find_series,
    list_annotations,
    list_changes,
)
from benchlib.store.judgements import Judged, Status, Subject, judge

app = typer.Typer(
    help="The shifts that were found in the results: list them, and say what became of them.",
    no_args_is_help=True,
)

COLUMNS = (
    Column("Change"),
    Column("Status"),
    Column("Model"),
    Column("Batch"),
    Column("Ran on"),
    Column("Metric"),
    Column("Shift"),
    Column("95 % of it", dispensable=4),
    Column("Nights", dispensable=1),
    Column("Said by", dispensable=3),
    Column("Environment", wraps=True, dispensable=2),
)
SAID = (Column("When"), Column("Who"), Column("Status"), Column("Why", wraps=True))
CHOICES: tuple[Status, ...] = get_args(Status)

Ids = Annotated[
    list[int], typer.Argument(metavar="CHANGE...", help="Ids, as `bench change list` shows them.")
]


@app.command("list")
def list_command(
    every: Annotated[
        bool, typer.Option("--all", help="Settled ones too: fixed, expected, false alarms.")
    ] = False,
    model: ModelOption = None,
    series: SeriesOption = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the changes that want attention, the largest losses first.

    Those are the open ones, which nobody has looked at, and the acknowledged ones, which somebody works on.
    The last column says what differed in the environment between the last good and the first bad sweep.
    """
    engine = reading()
    wanted = Wanted(find_series(engine, series) if series is not None else None, model, limit)
    found = list_changes(engine, CHOICES if every else UNSETTLED, wanted)
    if as_json:
        print_json(found)
    elif not found:
        say("No change." if every else "No change is open.")
    else:
        print_table(COLUMNS, map(_cells, found))
        if not all(each.hardware for each in found):
            say(STAND_IN)
        say_if_cut(len(found), limit)


@app.command()
def show(
    change: Annotated[int, typer.Argument(help="Its id, as `bench change list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Show one change and all that was said about it, latest first."""
    engine = reading()
    found, said = find_change(engine, change), list_annotations(engine, Subject(change_id=change), limit=1000)
    if as_json:
        print_json((found, *said))
        return
    print_table(COLUMNS, [_cells(found)])
    for sentence in (_levels(found), "" if found.hardware else STAND_IN):
        if sentence:
            say(sentence)
    rows = [
        (f"{each.annotated_at:%Y-%m-%d %H:%M}", each.author, each.status or "", each.reason) for each in said
    ]
    if rows:
        print_table(SAID, rows)


@app.command()
def ack(changes: Ids, reason: Reason, author: Author = None) -> None:
    """Acknowledge changes: somebody looks into them. They stay in the list."""
    _judge(changes, "acknowledged", reason, author)


@app.command()
def fix(changes: Ids, reason: Reason, author: Author = None) -> None:
    """Say that changes are fixed: the cause is gone. They leave the list."""
    _judge(changes, "fixed", reason, author)


@app.command()
def expect(changes: Ids, reason: Reason, author: Author = None) -> None:
    """Say that changes were expected, such as a trade-off that a release names. They leave the list."""
    _judge(changes, "expected", reason, author)


@app.command("false-alarm")
def false_alarm(changes: Ids, reason: Reason, author: Author = None) -> None:
    """Say that nothing had changed: the detector was wrong. They leave the list."""
    _judge(changes, "false_alarm", reason, author)


@app.command()
def reopen(changes: Ids, reason: Reason, author: Author = None) -> None:
    """Open changes again, whatever was said about them; that stays in their history."""
    _judge(changes, "open", reason, author)


def _judge(changes: list[int], status: Status, reason: str, author: str | None) -> None:
    remark = remark_of(author, reason)
    for judged in judge(writing().engine, changes, status, remark):
        typer.echo(_outcome(judged))


def _outcome(judged: Judged) -> str:
    name, before = f"change {judged.change_id}", judged.before
    if judged.is_new:
        return f"{name}: {before.status} -> {judged.status}"
    said = f", says {before.author} ({before.annotated_at:%Y-%m-%d %H:%M})" if before.annotated_at else ""
    return f"{name} is {judged.status} already{said}; nothing written"


def _cells(change: ChangeLine) -> tuple[str, ...]:
    return (
        str(change.change_id),
        change.status.replace("_", " "),
        change.model,
        str(change.batch_size),
        ran_on(change.instance_type, change.backend, change.hardware),
        change.metric,
        f"{change.relative_change:+.1%} {change.direction}",
        f"{change.relative_low:+.1%} to {change.relative_high:+.1%}",
        f"{change.last_good_night} -> {change.first_bad_night}",
        change.author or "",
        change.environment_changes,
    )


def _levels(change: ChangeLine) -> str:
    good, bad = (
        str(each)[:SHORT_ID_CHARS] for each in (change.last_good_sweep_id, change.first_bad_sweep_id)
    )
    series = str(change.series_id)[:SHORT_ID_CHARS]
    before, after = (f"{each:.6g}" for each in (change.before_value, change.after_value))
    return f"Series {series}, {change.metric}: {before} until sweep {good}, {after} from sweep {bad} on."
