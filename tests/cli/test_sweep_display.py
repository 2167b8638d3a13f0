from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from benchlib.cli.sweep_display import open_display
from benchlib.progress import Progress

STEPS = [
    Progress(stage="plan", state="done"),
    Progress(stage="compile", state="started", batch_size=1),
    Progress(stage="compile", state="cached", batch_size=1),
    Progress(stage="measure", state="running", batch_size=1, fraction=0.5, message="900.0 inf/s"),
    Progress(stage="measure", state="done", batch_size=1, message="1,000.0 inf/s"),
    Progress(stage="compile", state="failed", batch_size=2, message="does\nnot fit \x1b[31m"),
    Progress(stage="compile", state="started", batch_size=99),
]


def shown(steps: list[Progress], *, terminal: bool, width: int = 100) -> str:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=width, color_system=None)
    with open_display(console, [1, 2]) as display:
        display.show(steps)
        return screen.getvalue()


def test_a_pipe_gets_one_plain_line_per_event_and_no_running_figures() -> None:
    assert shown(STEPS[:6], terminal=False).splitlines() == [
        "batch 1: compiling",
        "batch 1: compiled before",
        "batch 1: measured: 1,000.0 inf/s",
        "batch 2: compile failed: does not fit \N{REPLACEMENT CHARACTER}[31m",
    ]


def test_a_terminal_shows_where_each_batch_size_is() -> None:
    last_screen = shown(STEPS[:4], terminal=True).rpartition("\x1b[1A")[2]
    assert "batch 1" in last_screen
    assert "measuring: 900.0 inf/s" in last_screen
    assert "starting" not in last_screen


@pytest.mark.parametrize("width", [72, 80, 120])
def test_the_figure_with_its_margin_is_whole_beside_name_and_bar(width: int) -> None:
    message = "round 2 of 3, 117,584.7 inf/s ±1.2 %"
    step = Progress(stage="measure", state="running", batch_size=1, fraction=0.5, message=message)
    line = line_of_the_measurement(step, width)
    assert line.startswith("   batch 1 ")
    assert line.endswith(f" measuring: {message}")
    assert "━━━━" in line


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_message_that_is_too_long_costs_neither_name_nor_bar(width: int) -> None:
    step = Progress(stage="measure", state="running", batch_size=1, fraction=0.5, message="a word " * 40)
    line = line_of_the_measurement(step, width)
    assert line.startswith("   batch 1 ")
    assert line.endswith("…")
    assert "━━━━" in line
    assert len(line) <= width


def line_of_the_measurement(step: Progress, width: int) -> str:
    screen = re.sub(r"\x1b\[\??[0-9]*[A-Za-z]", "", shown([STEPS[1], step], terminal=True, width=width))
    (line,) = {line.rstrip() for line in re.split("[\r\n]", screen) if "measuring" in line}
    return line


def test_a_terminal_is_not_redrawn_without_news() -> None:
    nothing = shown([], terminal=True)
    assert shown([STEPS[0]], terminal=True) == nothing
    assert "starting" in nothing


def test_a_batch_size_that_was_not_planned_does_no_harm() -> None:
    assert "batch 99" not in shown(STEPS, terminal=True)
