"""What the commands have in common with which people judge results: who says it, and how it is listed."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Sequence
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel, TypeAdapter, ValidationError
from rich import box
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from benchlib.errors import BadInput
from benchlib.report.table import one_line
from benchlib.report.terminal import open_console
from benchlib.settings import Settings
from benchlib.store.database import engine_for, open_repository
from benchlib.store.judgements import Remark
from benchlib.store.repository import Repository

M = TypeVar("M", bound=BaseModel)

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
    """The results' database as it is: an account that only reads could bring no tables up to date."""
    settings = Settings.from_environment()
    return writing().engine if settings.database_url is None else engine_for(settings)


def print_json(lines: Sequence[object]) -> None:
    """An array of objects, one per line of a list."""
    typer.echo(TypeAdapter(tuple[object, ...]).dump_json(tuple(lines), indent=2))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]], wrapped: Sequence[str] = ()) -> None:
    """Print rows below their headers; columns named in ``wrapped`` give way in a narrow terminal."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for header in headers:
        table.add_column(header, no_wrap=header not in wrapped)
    for cells in rows:
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    open_console().print(table)


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
