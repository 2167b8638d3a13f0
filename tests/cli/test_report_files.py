"""`bench report` writing files with charts: what they are, and what is refused before any is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from benchlib.store.repository import Repository
from tests.cli.conftest import Bench
from tests.report.drawn import colours_of_png
from tests.report.pages import read
from tests.store.samples import measurement, sweep


@pytest.fixture
def stored(engine: Engine) -> str:
    """One sweep with one measured batch size; the beginning of its id."""
    Repository(engine).record(measurement(1))
    return str(sweep().sweep_id)[:8]


def test_page_and_image_are_written_and_the_table_is_not_printed(
    bench: Bench, stored: str, tmp_path: Path
) -> None:
    code, out, err = bench("report", stored, "--html", "report.html", "--png", "chart.png", "--dark")
    assert (code, out) == (0, "")
    page = read((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.section("Comparison").rows()[1][1] == "1"
    image = (tmp_path / "chart.png").read_bytes()
    assert colours_of_png(image)[0] > 1000
    assert err.splitlines() == [
        f"report.html written ({(tmp_path / 'report.html').stat().st_size:,} bytes)",
        f"chart.png written ({len(image):,} bytes)",
    ]


def test_a_format_beside_an_image_still_goes_to_the_pipe(bench: Bench, stored: str) -> None:
    code, out, _ = bench("report", stored, "--png", "chart.png", "--json")
    assert code == 0
    assert json.loads(out)["rows"][0]["throughput_inf_per_s"] == 12649.572


def test_the_short_options_are_the_formats(bench: Bench, stored: str) -> None:
    for short, name in (("--md", "md"), ("--csv", "csv"), ("--json", "json")):
        assert bench("report", short) == bench("report", "--format", name)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--csv", "--json"), "--format: 'csv and json' is not allowed; allowed: one format at a time"),
        (("--md", "--format", "csv"), "--format: 'csv and md' is not allowed; allowed: one format at a time"),
        (("--html", "no/a.html"), "--html: 'no/a.html' is not allowed; allowed: a file in a directory that"),
        (("--png", "."), "--png: '.' is not allowed; allowed: a file in a directory that exists"),
        (
            ("--html", "a", "--png", "a"),
            "--png: 'a' is not allowed; allowed: another file",
        ),
        (
            ("--html", "a", "--output", "./a"),
            "--output: 'a' is not allowed; allowed: another file than that of --html",
        ),
        (("--png", "a", "-o", "a"), "--output: 'a' is not allowed; allowed: another file than that of --png"),
        (("--html", "a.html", "--dark"), "--dark: True is not allowed; allowed: only with --png"),
        (("nosuch", "--html", "a.html"), "sweep: 'nosuch' is not allowed; allowed: a run id"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_sentence(
    bench: Bench, stored: str, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    code, out, err = bench("report", *options)
    assert (code, out) == (2, "")
    assert err.startswith(f"bench: {said}")
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
