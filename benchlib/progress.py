"""Progress that the data plane tells while it works, one marked JSON line each on stdout.

Everything else on stdout is log text: a compiler may print what it likes.
"""

from __future__ import annotations

import sys
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

MARK = "BENCH-PROGRESS "

Stage = Literal["plan", "compile", "measure", "report"]
State = Literal["started", "running", "done", "cached", "failed"]


class Progress(BaseModel):
    """One step forward."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    stage: Stage
    state: State
    batch_size: int | None = None
    fraction: float | None = None
    """Share of this step that is finished, 0 to 1."""
    message: str = ""
    sweep_id: str | None = None

    def line(self) -> str:
        """The line that `parse` reads back."""
        return MARK + self.model_dump_json(exclude_none=True)


def emit(progress: Progress) -> None:
    """Print a progress line at once."""
    sys.stdout.write(progress.line() + "\n")
    sys.stdout.flush()


def parse(line: str) -> Progress | None:
    """The progress in a line of output, or ``None`` when the line is ordinary log text."""
    if not line.startswith(MARK):
        return None
    try:
        return Progress.model_validate_json(line[len(MARK) :])
    except ValidationError:
        return None
