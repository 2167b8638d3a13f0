"""How far a running sweep is: bars on a terminal, plain lines in a pipe or a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from benchlib import progress
from benchlib.report.table import one_line, shorten

_NAME_WIDTH = 10
_LONGEST_BAR = 24
_SHORTEST_BAR = 8
_MESSAGE_WIDTH = 56
"""A bar gives way to a message of this length: 'measuring: round 12 of 30, 117,584.7 inf/s ±0.02 %' fits."""


class Display(Protocol):
    """Shows how far each batch size is."""

    def show(self, steps: Iterable[progress.Progress]) -> None:
        """Take in what happened since the last time, oldest first."""
        ...


@contextmanager
def open_display(console: Console, batch_sizes: Sequence[int]) -> Iterator[Display]:
    """The display that suits the console; on a terminal it is gone at the end, for the table to follow."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    room = console.width - _NAME_WIDTH - 2
    bar_width = min(max(room - _MESSAGE_WIDTH, _SHORTEST_BAR), _LONGEST_BAR)
    # Drawn only when asked: a redraw ten times a second would be felt by a measurement on the same CPU.
    with Progress(
        TextColumn(f"{{task.fields[name]:>{_NAME_WIDTH}}}"),
        BarColumn(bar_width),
        TextColumn("{task.description}", markup=False),
        console=console,
        auto_refresh=False,
        transient=True,
    ) as bars:
        yield _Bars(bars, batch_sizes, room - bar_width)


class _Bars:
    def __init__(self, bars: Progress, batch_sizes: Sequence[int], message_width: int) -> None:
        self._bars = bars
        self._message_width = max(message_width, 1)
        self._airflow: TaskID | None = bars.add_task("starting", name="Airflow", total=None)
        self._tasks = {size: bars.add_task("", name=f"batch {size}", total=1.0) for size in batch_sizes}
        bars.refresh()

    def show(self, steps: Iterable[progress.Progress]) -> None:
        news = [step for step in steps if step.batch_size in self._tasks]
        for step in news:
            self._advance(step)
        if news:
            self._bars.refresh()

    def _advance(self, step: progress.Progress) -> None:
        if self._airflow is not None:
            self._bars.remove_task(self._airflow)
            self._airflow = None
        assert step.batch_size is not None
        finished = 1.0 if step.state == "done" else step.fraction or 0.0
        self._bars.update(
            self._tasks[step.batch_size],
            # Cut here: a message that is too long for the terminal would cost the name and the bar.
            description=shorten(_say(step), self._message_width),
            completed=finished if step.stage == "measure" else 0.0,
        )


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, steps: Iterable[progress.Progress]) -> None:
        for step in steps:
            if step.batch_size is not None and step.state != "running":
                self._console.print(Text(f"batch {step.batch_size}: {one_line(_say(step))}"))


def _say(step: progress.Progress) -> str:
    words = {
        ("compile", "started"): "compiling",
        ("compile", "done"): "compiled",
        ("compile", "cached"): "compiled before",
        ("measure", "started"): "measuring",
        ("measure", "running"): "measuring",
        ("measure", "done"): "measured",
    }.get((step.stage, step.state), f"{step.stage} {step.state}")
    return f"{words}: {step.message}" if step.message else words
