"""The reports in one file: what they say, and that they load nothing."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from benchlib.analysis.comparison import ComparisonRow
from benchlib.report import charts
from benchlib.report.html import render_history, render_sweep
from benchlib.results import Check
from tests.report import readings
from tests.report.pages import Element, read


@pytest.fixture(scope="module")
def rendered() -> str:
    return render_sweep(readings.sweep(changes=(readings.change(),)))


@pytest.fixture(scope="module")
def page(rendered: str) -> Element:
    return read(rendered)


def test_the_table_has_the_figures_of_the_terminal(page: Element) -> None:
    head, *rows = page.section("Comparison").rows()
    assert head[:8] == [
        "Filename",
        "Batch",
        "Batches",
        "Inferences",
        "Threads",
        "Models",
        "Duration (s)",
        "Throughput (inf/s)",
    ]
    assert rows[3] == [
        "model_batch_size_4.pt",
        "4",
        "12000",
        "48000",
        "12",
        "12",
        "2.730",
        "17584.681",
        "peak",
        "2.723",
        "2.794",
        "2.820",
        "±1.0 %",
    ]
    assert [row[8] for row in rows] == ["", "", "", "peak", "", "", "", "", "invalid", "", "failed"]
    notes = [note.text for note in page.section("Comparison").all("li")]
    assert notes == [
        "Batch size 9 is not valid: The rounds drift: run again.",
        "Batch size 16 failed: The device ran out of memory.",
    ]


def test_it_begins_with_what_one_wants_to_know(page: Element) -> None:
    (header,) = page.all("header")
    assert header.all("h1")[0].text == "bert-base-uncased"
    assert header.all("p")[0].text.startswith("Peak throughput observed at batch size 4 (≈17,585 inf/s)")
    assert "Recommended: batch size 4" in header.text
    assert "not an inf2 result" not in header.text


def test_every_check_has_its_figure_and_its_explanation(page: Element) -> None:
    drift, little = page.section("Can it be believed?").all("details")
    assert drift.all("summary")[0].text == "drift failed at batch size 9"
    assert "open" in drift.attributes
    assert drift.rows()[1] == ["9", "failed", "0.31", "0.02", "The rounds drift: run again."]
    assert little.all("summary")[0].text == "little passed at all 10 sizes"
    assert "open" not in little.attributes
    assert little.rows()[1] == ["1", "passed", "11.98 workers", "0.02 workers", "Little's law holds."]


def test_environment_compilations_and_changes_are_there(page: Element) -> None:
    environment = page.section("Environment")
    assert environment.all("li")[0].text == "neuronx_cc: 2.20.9961 → 2.21.18209"
    assert ["neuronx_cc", "2.21.18209"] in environment.rows()
    rows = page.section("Compilation").rows()
    assert rows[1] == ["1", "1", "compiled", "61.0", "3.73", "95.4", "aaaaaaaa", ""]
    assert rows[-1][2:] == ["failed", "–", "–", "–", "", "The device ran out of memory."]  # noqa: RUF001
    (change,) = page.section("Changes that begin here").all("li")
    assert change.text.startswith("Throughput at batch size 4: \N{MINUS SIGN}6.00 %")
    facts = dict(page.section("The sweep").rows())
    assert facts["Run"] == "scheduled__2026-03-01 of inf2_batch_sweep"
    assert facts["Note"] == "The first night with the new SDK."


def test_it_loads_nothing_and_its_images_are_the_charts(page: Element) -> None:
    assert page.loads == {"data"}
    (policy,) = (each.attributes["content"] for each in page.all("meta") if "http-equiv" in each.attributes)
    assert policy.startswith("default-src 'none'; img-src data:;")
    pictures = page.all("picture")
    assert len(pictures) == 3
    sweep = readings.sweep(changes=(readings.change(),))
    look = charts.Look("dark", 372)
    (narrow,) = (
        each
        for each in pictures[0].all("source")
        if each.attributes["media"] == "screen and (prefers-color-scheme: dark) and (max-width: 600px)"
    )
    assert image(narrow.attributes["srcset"]) == charts.svg(charts.throughput_by_batch_size(sweep, look))
    assert pictures[0].all("img")[0].attributes["alt"] == "Throughput by batch size: bert-base-uncased."
    for source in [*pictures[1].all("source"), *pictures[2].all("source")]:
        ElementTree.fromstring(image(source.attributes["srcset"]))
    wide = charts.Look("light", None)
    assert page.specs["latency"]["light"] == charts.spec(charts.latency_by_batch_size(sweep, wide))


def image(url: str) -> str:
    return base64.b64decode(url.removeprefix("data:image/svg+xml;base64,")).decode()


def test_names_are_text_wherever_they_stand() -> None:
    name = readings.HOSTILE
    check = Check(name=name, passed=False, unit=name, figure=1.0, limit=2.0, advice=name)
    table = readings.on_cpu(
        model=name, label=name, device=name, rows=(replace(readings.rows()[0], reason=name, filename=name),)
    )
    size = replace(readings.size(readings.rows()[0]), checks=(check,), topology=name)
    environment = replace(readings.sweep().environments[0], fields=((name, name),))
    compilation = replace(readings.compilation(16), failure_message=name)
    sweep = readings.sweep(
        table,
        sizes=(size,),
        environments=(environment,),
        compilations=(compilation,),
        note=name,
        run_id=name,
        changes=(readings.change(reason=name, environment_changes=name),),
    )
    rendered = render_sweep(sweep)
    page = read(rendered)
    assert len(page.all("script")) == 3
    assert "alert(" not in "".join(page.all("script")[1].words + page.all("script")[2].words)
    assert '<script>alert("1")</script>' in page.all("h1")[0].text
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", rendered)
    assert page.loads == {"data"}
    (warning,) = (each for each in page.all("p") if each.attributes.get("class") == "warning")
    assert warning.text == "Measured on a CPU: not an inf2 result."


@pytest.mark.parametrize(
    "rows", [(), readings.rows()[8:9] + readings.rows()[-1:]], ids=["none", "no valid one"]
)
def test_a_sweep_without_a_valid_figure_has_a_report_too(rows: tuple[ComparisonRow, ...]) -> None:
    table = readings.comparison(rows=rows)
    page = read(render_sweep(readings.sweep(table, since_last=None)))
    sentence = "No batch size has a valid measurement, so there is no peak."
    assert sentence in page.all("header")[0].text
    assert len(page.section("Comparison").rows()) == len(rows) + 1


def test_a_history_has_its_charts_and_every_night() -> None:
    page = read(render_history(readings.history(20), "p99_ms"))
    assert list(page.specs) == ["p99_ms", "throughput_inf_per_s"]
    head, *rows = page.section("P99, night by night").rows()
    assert head[1] == "P99 (ms)"
    assert len(rows) == 17 + 1
    assert rows[12][0] == "2026-03-13 to 2026-03-15"
    assert page.loads == {"data"}


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width_px"), [("light", 1280), ("dark", 390)])
def test_a_browser_draws_it_without_a_request_or_a_complaint(
    chromium: Browser, rendered: str, tmp_path: Path, theme: str, width_px: int
) -> None:
    file = tmp_path / "report.html"
    file.write_text(rendered, encoding="utf-8")
    context = chromium.new_context(
        viewport={"width": width_px, "height": 800}, color_scheme="dark" if theme == "dark" else "light"
    )
    view = context.new_page()
    complaints, requests = _listen(view)
    view.goto(file.as_uri())
    view.wait_for_selector(f'html[data-charts="{theme}"]')
    assert view.locator("figure.drawn svg.marks").count() == 3
    assert complaints == []
    assert {url.partition(":")[0] for url in requests} <= {"file", "data", "blob"}
    assert view.evaluate("document.documentElement.scrollWidth") <= width_px
    view.emulate_media(media="print")
    assert view.locator("figure svg.marks >> visible=true").count() == 0
    assert view.locator("figure img >> visible=true").count() == 3
    context.close()


def _listen(view: Page) -> tuple[list[str], list[str]]:
    complaints: list[str] = []
    requests: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        complaints.append(message.text)

    def asked(request: Request) -> None:
        requests.append(request.url)

    view.on("console", heard)
    view.on("pageerror", lambda error: complaints.append(str(error)))
    view.on("request", asked)
    return complaints, requests


@pytest.mark.slow
def test_without_scripts_the_images_are_there(chromium: Browser, rendered: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(rendered, encoding="utf-8")
    context = chromium.new_context(java_script_enabled=False)
    view = context.new_page()
    view.goto(file.as_uri())
    for place in range(3):
        box = view.locator("figure img").nth(place).bounding_box()
        assert box is not None
        assert box["height"] > 200
    context.close()
