"""How far a running sweep is: bars on a terminal, plain lines in a pipe or a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from benchlib import progress

_BAR_WIDTH = 24


class Display(Protocol):
    """Shows one step of a sweep after the other."""

    def show(self, step: progress.Progress) -> None:
        """Take in one step."""
        ...

    def refresh(self) -> None:
        """Redraw, where there is something to redraw."""
        ...


@contextmanager
def open_display(console: Console, batch_sizes: Sequence[int]) -> Iterator[Display]:
    """The display that suits the console; on a terminal it is gone at the end, for the table to follow."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    # Drawn only when asked: a redraw ten times a second would be felt by a measurement on the same CPU.
    with Progress(
        TextColumn("{task.fields[name]:>10}"),
        BarColumn(_BAR_WIDTH),
        TextColumn("{task.description}", markup=False),
        console=console,
        auto_refresh=False,
        transient=True,
    ) as bars:
        yield _Bars(bars, batch_sizes)


class _Bars:
    def __init__(self, bars: Progress, batch_sizes: Sequence[int]) -> None:
        self._bars = bars
        self._airflow: TaskID | None = bars.add_task("starting", name="Airflow", total=None)
        self._tasks = {
            size: bars.add_task("", name=f"batch {size}", total=1.0, start=False) for size in batch_sizes
        }
        bars.refresh()

    def show(self, step: progress.Progress) -> None:
        if self._airflow is not None:
            self._bars.remove_task(self._airflow)
            self._airflow = None
        if step.batch_size in self._tasks:
            done = {"done": 1.0, "failed": 0.0}.get(step.state, step.fraction or 0.0)
            fraction = done if step.stage == "measure" else 0.0
            self._bars.update(
                self._tasks[step.batch_size], description=_say(step).split("\n")[0], completed=fraction
            )

    def refresh(self) -> None:
        self._bars.refresh()


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, step: progress.Progress) -> None:
        if step.batch_size is not None and step.state != "running":
            self._console.print(Text(f"batch {step.batch_size}: {_say(step)}"))

    def refresh(self) -> None:
        """Lines stay as they are."""


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
