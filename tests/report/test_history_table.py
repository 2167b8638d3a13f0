"""A history as text: for people, for spreadsheets, for programs."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from benchlib.report.history_table import (
    history_grid,
    render_history_csv,
    render_history_json,
    sparkline,
    summary_of,
)
from benchlib.store.history import MissingNight
from tests.report import readings

RATE = "throughput_inf_per_s"


def test_each_night_is_a_line_and_a_hole_is_one_too() -> None:
    history = replace(readings.history(20), series=readings.series())
    grid = history_grid(history, RATE)
    assert grid.headers[1] == "Throughput (inf/s)"
    assert len(grid.rows) == 17 + 1
    tone, first = grid.rows[0]
    assert (tone, first[:2]) == ("", ("2026-03-01", "17,500.000"))
    assert first[3:6] == ("±0.20 %", "17,395.000 to 17,570.000", "2.25.0")
    assert grid.rows[12] == ("doubtful", ("2026-03-13 to 2026-03-15", "–", "", "", "", "", "no sweep"))  # noqa: RUF001


def test_what_happened_on_a_night_stands_beside_it() -> None:
    lines = {cells[0]: (tone, cells[-1]) for tone, cells in history_grid(readings.history(), RATE).rows}
    worse = "worse: \N{MINUS SIGN}6.0 % (acknowledged by Ana)"
    assert lines["2026-05-04"] == ("new", f"{worse}; neuronx_cc 2.20 → 2.21")
    assert lines["2026-03-31"] == ("", "neuronx_cc 2.20 → 2.21")
    assert lines["2026-03-23"] == ("doubtful", "not valid: The rounds drift: run again.")
    assert lines["2026-04-15"] == ("bad", "no figure: It crashed.")


def test_the_summary_counts_and_says_whose_figures_they_are() -> None:
    said = summary_of(readings.history(), RATE)
    assert said.startswith("2026-03-01 to 2026-05-29: 84 valid, 2 not valid, 4 without a figure. Median ")
    assert said.endswith("Changes: 2026-05-04 worse: \N{MINUS SIGN}6.0 % (acknowledged by Ana).")
    on_cpu = readings.history(5, series=readings.series(hardware=False, backend="cpu"))
    assert summary_of(on_cpu, RATE).endswith("No change was found. Measured on a CPU: not an inf2 result.")
    nothing = replace(readings.history(5), nights=(), missing=())
    assert summary_of(nothing, RATE) == "2026-03-01 to 2026-03-05: nothing. No change was found."


def test_an_imported_figure_is_no_part_of_the_level() -> None:
    nights = tuple(
        readings.night(n, throughput_inf_per_s=rate, origin=origin)
        for n, rate, origin in ((0, 100.0, "dag"), (1, 900.0, "import"), (2, 102.0, "dag"))
    )
    said = summary_of(replace(readings.history(3), nights=nights), RATE)
    assert "2 valid, 1 imported" in said
    assert "Median 101.000 inf/s, lowest 100.000, highest 102.000." in said


def test_what_was_measured_again_is_no_part_of_the_level_and_a_sweep_that_goes_on_is_no_hole() -> None:
    again = readings.night(1, throughput_inf_per_s=900.0, confirms_sweep_id=UUID(int=1001))
    nights = (*(readings.night(n, throughput_inf_per_s=100.0 + n) for n in range(3)), again)
    unfinished = MissingNight(readings.NIGHT + timedelta(3), "none", UUID(int=1003), "not finished yet")
    history = replace(readings.history(4), nights=nights, missing=(unfinished,))
    said = summary_of(history, RATE)
    assert "3 valid, 1 measured again, 1 without a figure" in said
    assert "Median 101.000 inf/s, lowest 100.000, highest 102.000." in said
    rows = list(csv.DictReader(io.StringIO(render_history_csv(history, RATE))))
    assert [row["Status"] for row in rows] == ["valid", "valid", "measured again", "valid", "no figure yet"]
    remarks = [cells[-1] for _, cells in history_grid(history, RATE).rows]
    assert remarks[2:] == ["measured again", "", "no figure yet: not finished yet"]


def test_the_sparkline_has_one_character_per_night() -> None:
    rates = (100.0, 200.0, 150.0, 100.0)
    nights = [readings.night(n, throughput_inf_per_s=rate) for n, rate in enumerate(rates)]
    nights[2] = replace(nights[2], status="invalid")
    nights[3] = replace(nights[3], night=readings.NIGHT + timedelta(4))
    history = replace(readings.history(5), nights=tuple(nights), missing=())
    assert sparkline(history, RATE, 80) == "▁█··▁"
    assert sparkline(history, RATE, 2) == "·▁"
    assert sparkline(replace(history, nights=()), RATE, 80) == ""


def test_programs_get_every_digit() -> None:
    history = readings.history()
    document = json.loads(render_history_json(history, "p99_ms"))
    rows = list(csv.DictReader(io.StringIO(render_history_csv(history, "p99_ms"))))
    stored = {str(reading.night): reading for reading in history.nights}
    assert [night["value"] for night in document["nights"]] == [each.p99_ms for each in history.nights]
    assert len(rows) == 90
    for row in rows:
        reading = stored.get(row["Night"])
        assert row["Value"] == ("" if reading is None else repr(reading.p99_ms))
    assert [row["Night"] for row in rows] == sorted(row["Night"] for row in rows)
    assert [row["Status"] for row in rows[10:16]] == [
        "valid",
        "valid",
        "no sweep",
        "no sweep",
        "no sweep",
        "valid",
    ]
    rates = json.loads(render_history_json(history, RATE))["nights"]
    limits = history.nights[0].intervals[RATE]
    assert (rates[0]["low"], rates[0]["high"]) == (limits.low, limits.high)


def test_a_spreadsheet_takes_no_name_for_a_formula() -> None:
    nights = (readings.night(0, label="=cmd|'/c calc'!A0", reason="@x", status="invalid"),)
    history = replace(readings.history(1), nights=nights, series=readings.series(model="+1+1"))
    (row,) = csv.DictReader(io.StringIO(render_history_csv(history, RATE)))
    assert (row["Label"], row["Reason"], row["Model"]) == ("'=cmd|'/c calc'!A0", "'@x", "'+1+1")
