"""A table as it is printed, for pages and terminals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Cells = tuple[str, ...]

Tone = Literal["", "peak", "tied", "doubtful", "bad", "new"]
"""What kind of row it is: how it looks, beside what it says."""


@dataclass(frozen=True)
class Grid:
    """The cells are text, which every format escapes."""

    headers: Cells
    rows: Sequence[tuple[Tone, Cells]]
    numeric: frozenset[int] = frozenset()
    """The columns that are aligned to the right."""
