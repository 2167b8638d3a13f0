"""In a terminal no figure is wrapped or cut, at any width, and no name can steer it."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from benchlib.analysis.comparison import Comparison
from benchlib.report.seed_table import read_seed_table
from benchlib.report.table import COLUMNS, NOTHING
from benchlib.report.terminal import open_console, print_comparison
from tests.analysis.comparisons import SEED, comparison, failed, invalid, ok
from tests.report.test_markdown import HOSTILE


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(measured: Comparison, width: int) -> list[str]:
    file = io.StringIO()
    print_comparison(measured, Console(file=file, width=width, color_system=None))
    return file.getvalue().splitlines()


def table_lines(lines: list[str]) -> list[list[str]]:
    start = next(number for number, line in enumerate(lines) if line.startswith("──"))
    return [line.split() for line in lines[start + 1 : lines.index("", start)]]


ROWS = [ok(1, 12649.572), ok(64, 117584.681), invalid(128, 99475.001), failed(256)]
FIGURES = [column.cell(ROWS[1]) for column in COLUMNS]


@pytest.mark.parametrize("width", [100, 120, 140, 200])
def test_from_100_columns_on_every_figure_is_there(width: int) -> None:
    lines = printed(comparison(ROWS), width)
    assert max(map(cell_len, lines)) <= width
    best = table_lines(lines)[1]
    assert [*best[1:8], *best[9:]] == FIGURES[1:]
    assert best[0].removeprefix("…") in FIGURES[0]
    assert best[0].endswith("_64.pt")


@pytest.mark.parametrize("width", range(40, 96))
def test_a_narrow_terminal_loses_whole_columns_and_says_which(width: int) -> None:
    lines = printed(comparison(ROWS), width)
    assert max(map(cell_len, lines)) <= width
    whole = " ".join(line.strip() for line in lines)
    assert "…" not in whole
    left_out = whole.partition("Left out, for the terminal is narrow: ")[2].partition(".")[0].split(", ")
    expected = [text for column, text in zip(COLUMNS, FIGURES, strict=True) if column.name not in left_out]
    best = table_lines(lines)[1]
    best.remove("peak")
    assert best == expected
    assert {"64", "117584.681"} <= set(best)


TIED = [ok(1, 12649.572, half_width=55), ok(64, 117584.681, half_width=30), ok(128, 117560, half_width=7)]


@pytest.mark.parametrize("width", [100, 120, 200])
def test_a_known_margin_is_the_last_column(width: int) -> None:
    """55 / 12649.572 = 0.4 %, 30 / 117584.681 = 0.03 %, 7 / 117560 = 0.006 %."""
    lines = printed(comparison([*TIED, failed(256)]), width)
    heads = [line.split()[-2:] for line in lines if line.split()[-1:] in (["inf/s"], ["%)"])]
    assert heads[:2] == [["±", "inf/s"], ["(95", "%)"]]
    assert [row[-2:] for row in table_lines(lines)[:3]] == [["±0.4", "%"], ["±0.03", "%"], ["±0.01", "%"]]
    assert table_lines(lines)[3][-1] == NOTHING
    assert max(map(cell_len, lines)) <= width


def test_without_any_margin_there_is_no_column_for_it() -> None:
    assert "±" not in "".join(printed(comparison(ROWS), 140))


def test_sizes_that_cannot_be_told_from_the_peak_are_marked() -> None:
    marked = [row[8] for row in table_lines(printed(comparison(TIED), 140))]
    assert marked == [f"{TIED[0].p50_ms:.3f}", "peak", "tied"]
    level = printed(comparison([ok(1, 985), ok(2, 1000)]), 140)
    assert [row[8] for row in table_lines(level)] == ["level", "peak"]


def test_80_columns_lose_only_what_the_rest_implies() -> None:
    assert "Left out, for the terminal is narrow: Filename, Batches." in printed(comparison(ROWS), 80)


def test_the_marks_survive_without_colour() -> None:
    rows = table_lines(printed(comparison(ROWS), 140))
    assert rows[1][7:9] == ["117584.681", "peak"]
    assert rows[2][7:9] == ["99475.001", "invalid"]
    assert rows[3][7:9] == [NOTHING, "failed"]
    assert "peak" not in rows[0]


def test_failures_have_their_reasons_under_the_table() -> None:
    lines = printed(comparison(ROWS), 140)
    assert "Batch size 128 is not valid: the host was busy" in lines
    assert "Batch size 256 failed: out of memory" in lines


@pytest.mark.parametrize("name", [*HOSTILE, "名前" * 40, ":smile:", "\x9b31m"])
@pytest.mark.parametrize("width", [60, 100, 140])
def test_hostile_names_neither_break_nor_style_anything(name: str, width: int) -> None:
    file = Tty()
    rows = [replace(row, filename=name, reason=name) for row in ROWS]
    measured = comparison(rows, model=name, label=name, device=name)
    print_comparison(measured, Console(file=file, width=width, color_system=None, force_terminal=True))
    text = file.getvalue()
    assert all(char.isprintable() or char == "\n" for char in text)
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= width
    figures = table_lines(lines)
    assert len(figures) == len(ROWS)
    assert figures[1][-1] == FIGURES[-1]
    assert "117584.681" in figures[1]
    if name in ("a|b", "[red]x[/red]", ":smile:"):
        assert f"Model {name}," in text


def test_a_terminal_gets_styles_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.delenv("NO_COLOR", raising=False)
    styled, plain = Tty(), Tty()
    print_comparison(comparison(ROWS), open_console(styled))
    monkeypatch.setenv("NO_COLOR", "1")
    print_comparison(comparison(ROWS), open_console(plain))
    assert "\x1b[1;32m117584.681\x1b[0m" in styled.getvalue().replace(" ", "")
    assert "\x1b" not in plain.getvalue()


def test_a_pipe_gets_everything_on_single_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    pipe = io.StringIO()
    print_comparison(comparison(ROWS), open_console(pipe))
    lines = pipe.getvalue().splitlines()
    assert "\x1b" not in pipe.getvalue()
    assert [*table_lines(lines)[1][:8], *table_lines(lines)[1][9:]] == FIGURES
    assert lines[0].startswith("Model ")
    assert lines[0].endswith("not an inf2 result.")
    assert lines[-1].startswith("Note: ")
    assert lines[-1].endswith("not an inf2 result.")


def test_the_seeds_own_table_fits_into_100_columns_with_its_names() -> None:
    seed = read_seed_table(SEED.read_text())
    rows = [
        replace(
            ok(row.batch_size, float(row.throughput_inf_per_s), float(row.p50)),
            filename=row.filename,
            inferences=row.inferences,
            batches=row.batches,
        )
        for row in seed.rows
    ]
    lines = printed(comparison(rows), 100)
    assert [row[0][-5:] for row in table_lines(lines)][8:] == ["_9.pt", "10.pt"]
