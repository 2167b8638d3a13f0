"""What several commands have in common: files that they write, and days that they are given."""

from __future__ import annotations

from pathlib import Path

from benchlib.errors import BadInput

DAY = "%Y-%m-%d"
"""How a day is typed."""


def check_writable(option: str, file: Path) -> None:
    """Refuse a file that cannot be written, before any work is done for it.

    Raises:
        BadInput: it is a directory, or lies in none.
    """
    if file.is_dir() or not file.parent.is_dir():
        raise BadInput(option, str(file), "a file in a directory that exists")
