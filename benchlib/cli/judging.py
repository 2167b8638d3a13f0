"""What the commands have in common with which people judge results: who says it, and how it is listed."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel, TypeAdapter, ValidationError
from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from benchlib.errors import BadInput
from benchlib.report.table import one_line
from benchlib.report.terminal import open_console
from benchlib.settings import Settings
from benchlib.store.database import open_repository, open_to_read
from benchlib.store.judgements import Remark
from benchlib.store.repository import Repository

M = TypeVar("M", bound=BaseModel)

Strip = tuple["Column", tuple[str, ...]]
"""A column and its cells."""

WRAPPED_WIDTH = 30
"""What a column of sentences needs to be read with ease."""

GAP_WIDTH = 2
"""Between two columns."""

STAND_IN = "Lines marked * are about a CPU or a stand-in: not inf2 results."

Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; others will read it.")]
Author = Annotated[str | None, typer.Option("--author", help="Who says so. Default: your login name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON with all fields and full precision.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="At most so many lines.")]
SeriesOption = Annotated[str | None, typer.Option("--series", help="Only this one: the beginning of its id.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Only this model, by its full name.")]


def remark_of(author: str | None, reason: str) -> Remark:
    """The remark of the person at the terminal.

    Raises:
        BadInput: the author or the reason is blank.
    """
    return checked(Remark, author=author if author is not None else getpass.getuser(), reason=reason)


def checked(model: type[M], **values: object) -> M:
    """The values as a model.

    Raises:
        BadInput: one is impossible.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise BadInput.from_validation(error) from error


def writing() -> Repository:
    """The results' database, with its tables up to date."""
    return open_repository(Settings.from_environment(), start_embedded=True)


def reading() -> Engine:
    """The results' database as it is."""
    return open_to_read(Settings.from_environment()).engine


def print_json(lines: Sequence[object]) -> None:
    """An array of objects, one per line of a list."""
    typer.echo(TypeAdapter(tuple[object, ...]).dump_json(tuple(lines), indent=2))


@dataclass(frozen=True)
class Column:
    """One column of a list."""

    header: str
    wraps: bool = False
    """Sentences do, figures and names never."""
    dispensable: int = 0
    """In a narrow terminal the highest goes first; 0: never."""


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below their headers, whole columns less where the terminal is too narrow for them."""
    of_columns = zip(*rows, strict=True)
    strips = [(each, tuple(map(one_line, cells))) for each, cells in zip(columns, of_columns, strict=True)]
    console = open_console()
    shown = _fitted(strips, console.width)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column, _ in shown:
        table.add_column(column.header, no_wrap=not column.wraps)
    for cells in zip(*(cells for _, cells in shown), strict=True):
        table.add_row(*map(Text, cells))
    console.print(table)
    if left_out := [column.header for column, cells in strips if (column, cells) not in shown]:
        console.print(Text(f"Too narrow for: {', '.join(left_out)}."))


def _fitted(strips: list[Strip], width: int) -> list[Strip]:
    goes = max((column for column, _ in strips), key=lambda column: column.dispensable)
    if sum(_width(*strip) + GAP_WIDTH for strip in strips) <= width or not goes.dispensable:
        return strips
    return _fitted([strip for strip in strips if strip[0] is not goes], width)


def _width(column: Column, cells: Sequence[str]) -> int:
    widest = max(map(cell_len, (column.header, *cells)))
    return min(widest, WRAPPED_WIDTH) if column.wraps else widest


def ran_on(instance_type: str | None, backend: str, hardware: bool) -> str:
    """Where it ran, marked unless that is an accelerator."""
    return f"{instance_type or backend}{'' if hardware else ' *'}"


def say(sentence: str) -> None:
    """One line below a table, or instead of one."""
    open_console().print(Text(one_line(sentence)))


def say_if_cut(shown: int, limit: int) -> None:
    """Tell that a list may go on."""
    if shown == limit:
        say(f"No more than {limit} lines are shown: --limit, --model or --series choose others.")
