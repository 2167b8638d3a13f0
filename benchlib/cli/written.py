"""What the commands that write reports have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

from benchlib.cli.outputs import check_writable
from benchlib.errors import BadInput
from benchlib.report.files import publish


@dataclass(frozen=True)
class ReportFiles:
    """The files with charts that were asked for."""

    html: Path | None
    png: Path | None
    dark: bool
    output: Path | None = None
    """Where the command writes its table itself."""

    @property
    def wanted(self) -> bool:
        """Whether any was."""
        return self.html is not None or self.png is not None

    def check(self) -> None:
        """Refuse what cannot be written, before any work is done for it.

        Raises:
            BadInput: a file lies in no directory, or two are the same.
        """
        taken: dict[Path, str] = {}
        for option, file in (("--html", self.html), ("--png", self.png), ("--output", self.output)):
            if file is None:
                continue
            check_writable(option, file)
            other = taken.setdefault(file.resolve(), option)
            if other != option:
                raise BadInput(option, str(file), f"another file than that of {other}")
        if self.dark and self.png is None:
            raise BadInput("--dark", True, "only with --png: a page has the colours of who reads it")

    def write(self, html: Callable[[], str], png: Callable[[], bytes]) -> None:
        """Make all of them, then write them and say so on standard error."""
        made: list[tuple[Path | None, str | bytes]] = [
            (self.html, html() if self.html else ""),
            (self.png, png() if self.png else b""),
        ]
        for file, content in made:
            if file is not None:
                size_bytes = publish(file, content)
                typer.echo(f"{file} written ({size_bytes:,} bytes)", err=True)


def chosen_format(named: str | None, flags: Mapping[str, bool]) -> str | None:
    """The one format that was asked for, by --format or by its own option; ``None``: none was.

    Raises:
        BadInput: more than one was.
    """
    short = [name for name, asked in flags.items() if asked]
    chosen = [*([named] if named is not None else []), *short]
    if len(set(chosen)) > 1:
        raise BadInput("--format", " and ".join(chosen), "one format at a time")
    return chosen[0] if chosen else None
