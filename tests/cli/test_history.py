"""`bench history`: which series is meant, and what is shown of it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from benchlib.store.repository import Repository
from tests.cli.conftest import Bench
from tests.report.pages import read
from tests.store import fleet

UNTIL = ("--to", str(fleet.UNTIL))
WIDE = ("--model", fleet.BERT, "--batch-size", "1", *UNTIL)


@pytest.fixture
def stored(engine: Engine) -> None:
    fleet.fill(engine)


@pytest.mark.usefixtures("stored")
def test_a_series_is_shown_night_by_night(bench: Bench) -> None:
    code, out, err = bench("history", *WIDE)
    assert (code, err) == (0, "")
    caption, _, *lines = out.splitlines()
    assert caption.startswith(
        "Throughput of bert-base-uncased at batch size 1: inf2.xlarge, backend neuron, "
    )
    nights = {line.split()[0]: line.split() for line in lines[:-1] if line.startswith("2026")}
    assert nights["2026-02-02"][1:3] == ["500.000", "+0.00"]
    assert "not valid: The rounds drift: run again." in " ".join(nights["2026-02-08"])
    assert " ".join(nights["2026-02-09"]).endswith("no sweep")
    changed = " ".join(nights["2026-02-07"])
    assert "better: +2.0 % (expected by Ana)" in changed
    assert "neuron_sdk 2.25.0 → 2.26.0" in changed
    assert lines[-1].startswith("2026-02-02 to 2026-02-11: 8 valid, 1 not valid, 1 without a figure.")
    assert "\x1b" not in out


@pytest.mark.usefixtures("stored")
def test_without_a_batch_size_it_is_the_peak_of_the_latest_sweep_that_fits(bench: Bench) -> None:
    _, anything, _ = bench("history", *UNTIL)
    assert anything.startswith("Throughput of bert-tiny at batch size 1: backend cpu")
    assert "Measured on a CPU: not an inf2 result." in anything
    _, of_model, _ = bench("history", "--model", fleet.BERT, *UNTIL)
    assert of_model.startswith("Throughput of bert-base-uncased at batch size 4: inf2.xlarge")


def test_the_peak_is_found_among_more_series_than_are_listed(bench: Bench, engine: Engine) -> None:
    sizes = tuple(range(1, 61))
    sweep = fleet.sweep(0, 2, sizes)
    results = {size: fleet.measured(sweep, size, 100.0 + size, 4000.0) for size in sizes}
    Repository(engine).record_all([fleet.attempt(sweep, size, result=results[size]) for size in sizes])
    _, out, err = bench("history")
    assert (out.split(":")[0], err) == ("Throughput of bert-base-uncased at batch size 60", "")


@pytest.mark.usefixtures("stored")
def test_programs_get_the_stored_figures(bench: Bench) -> None:
    _, out, _ = bench("history", *WIDE, "--metric", "p50", "--json")
    document = json.loads(out)
    assert document["metric"] == "p50_ms"
    figures = {night["night"]: night["value"] for night in document["nights"]}
    assert figures["2026-02-02"] == 1 * 2 / 500 * 1000
    assert figures["2026-02-11"] == 1 * 2 / 510 * 1000
    assert [each["night"] for each in document["missing"]] == ["2026-02-09"]
    _, out, _ = bench("history", *WIDE, "--metric", "p50", "--from", "2026-02-10", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["Value"] for row in rows] == [repr(2 / 510 * 1000)] * 2


@pytest.mark.usefixtures("stored")
def test_the_files_hold_the_same_series(bench: Bench, tmp_path: Path) -> None:
    code, out, err = bench("history", *WIDE, "--nights", "3", "--html", "h.html", "--png", "h.png")
    assert (code, out) == (0, "")
    assert [line.split()[0] for line in err.splitlines()] == ["h.html", "h.png"]
    page = read((tmp_path / "h.html").read_text(encoding="utf-8"))
    rows = page.section("Throughput, night by night").rows()
    assert [row[0] for row in rows[1:]] == ["2026-02-09", "2026-02-10", "2026-02-11"]


REFUSED = (
    (("--from", "2026-02-12", *UNTIL), 2, "--from: '2026-02-12' is not allowed; allowed: a night"),
    (("--model", fleet.BERT, "--batch-size", "4"), 2, "--series: '(not given)' is not allowed"),
    (("--model", "nosuch"), 1, "no series fits"),
    (("--series", "%"), 1, "no series fits"),
)


@pytest.mark.usefixtures("stored")
def test_a_series_that_is_not_clear_is_asked_for_in_one_sentence(bench: Bench) -> None:
    for options, code, said in REFUSED:
        found, out, err = bench("history", *options, "--html", "h.html")
        assert (found, out) == (code, "")
        assert err.startswith(f"bench: {said}")
        assert len(err.splitlines()) == 1
        assert not Path("h.html").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--nights", "0"), "--nights: 0 is not allowed; allowed: a whole number of at least 1"),
        (("--csv", "--json"), "--format: 'csv and json' is not allowed"),
        (("--html", "no/a.html"), "--html: 'no/a.html' is not allowed"),
    ],
)
def test_bad_options_are_refused_before_anything_is_done(
    bench: Bench, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    code, out, err = bench("history", *options)
    assert (code, out) == (2, "")
    assert err.startswith(f"bench: {said}")
    assert list(tmp_path.iterdir()) == []
