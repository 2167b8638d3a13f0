"""What the pages show, in a real browser."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.plugins.conftest import Site, Visit
from tests.plugins.nights import DOUBTFUL, FAILING, FORMULA, HOSTILE, MAIN, STRANGE, TINY, UPGRADE, Nights

pytestmark = pytest.mark.slow

LOSS = "\N{MINUS SIGN}9.0 %"

VIEWS = (
    "overview", "sweeps", "sweep", "sweep not valid", "sweep failed", "sweep with a strange name", "history",
    "history of a CPU", "compare", "compare SDKs", "changes",
)  # fmt: skip


@pytest.fixture(scope="session")
def views(site: Site, nights: Nights) -> Mapping[str, str]:
    """Addresses by the name of the view."""
    with site.client("viewer") as client:
        series = client.get("api/v1/series", params={"limit": 200}).json()
    of = {(each["model"], each["batch_size"]): each["series_id"] for each in series}

    def sweep(plan: Any, age: int = 0) -> str:
        return str(nights.sweep(plan, age).sweep_id)

    addresses = (
        "",
        "sweeps",
        f"sweep?sweep={sweep(MAIN)}",
        f"sweep?sweep={sweep(DOUBTFUL)}",
        f"sweep?sweep={sweep(FAILING)}",
        f"sweep?sweep={sweep(STRANGE)}",
        f"history?series={of[MAIN.model, 4]}",
        f"history?series={of[TINY.model, 4]}",
        f"compare?a={sweep(MAIN, UPGRADE + 1)}&b={sweep(MAIN, UPGRADE)}",
        f"compare?series={of[MAIN.model, 4]}&sdk_a=2.25.0&sdk_b=2.26.0",
        "changes?status=all",
    )
    return dict(zip(VIEWS, addresses, strict=True))


def look(page: Page, address: str) -> None:
    """Go there and wait for the charts."""
    page.goto(address)
    expect(page.locator("[data-chart]:not(.ready)")).to_have_count(0, timeout=30_000)


def faults(page: Page) -> list[str]:
    """What would keep somebody from using the page."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['nodes'][0]['html']}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def is_too_wide(page: Page) -> bool:
    wide: bool = page.evaluate("() => document.documentElement.scrollWidth > window.innerWidth")
    return wide


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_every_view_is_whole_and_open_to_everybody(
    site: Site, visit: Callable[..., Visit], views: Mapping[str, str], width: int, theme: str
) -> None:
    page = visit("user", width=width, theme=theme).page
    for name, address in views.items():
        look(page, site.pages + address)
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        expect(page.get_by_text("No chart:")).to_have_count(0)
        assert (faults(page), is_too_wide(page)) == ([], False), name


@pytest.mark.parametrize(("address", "words"), [
    ("", "No sweep of a DAG has been stored yet."),
    ("sweeps", "No sweep fits."),
    ("sweep", "No sweep has been stored yet."),
    ("history", "No series has been stored yet."),
    ("compare", "Compare two sweeps"),
    ("changes", "Nothing is open."),
])  # fmt: skip
def test_without_data_every_view_says_so(site: Site, address: str, words: str) -> None:
    with site.without_results(), site.client("viewer") as client:
        answer = client.get(address, headers={"Accept": "text/html"})
    assert answer.status_code == (404 if address == "sweep" else 200)
    assert words in answer.text


def test_an_empty_overview_is_a_page(site: Site, visit: Callable[..., Visit]) -> None:
    page = visit("viewer").page
    with site.without_results():
        look(page, site.pages)
        expect(page.get_by_role("status")).to_have_text("No sweep of a DAG has been stored yet.")
        assert faults(page) == []


def test_without_a_database_the_page_says_what_to_do(site: Site) -> None:
    with site.without_database(), site.client("viewer") as client:
        page, document = client.get("", headers={"Accept": "text/html"}), client.get("api/v1/overview")
    assert (page.status_code, document.status_code) == (503, 503)
    assert "cannot be used" in page.text
    assert "Traceback" not in page.text
    assert "cannot be used" in document.json()["detail"]


def cells(page: Page, model: str) -> list[str]:
    """The texts of a row of the overview by its model."""
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=model, exact=True))
    return [" ".join(text.split()) for text in row.locator("td, th").all_inner_texts()]


def test_the_overview_has_the_worst_first(site: Site, visit: Callable[..., Visit]) -> None:
    page = visit("viewer").page
    look(page, site.pages)
    standings = [text.splitlines()[0] for text in page.locator("tbody tr td:first-child").all_inner_texts()]
    assert standings == [
        "No valid figure",
        "Change for the worse",
        "Incomplete",
        "Overdue",
        "Acknowledged",
        "Fine",
        "Fine",
    ]
    main = cells(page, MAIN.model)
    assert main[0].startswith(f"Change for the worse {LOSS} Throughput at batch size 4")
    assert main[3].startswith("3"), "the peak has moved away from size 4"
    assert "CPU, not inf2" in cells(page, TINY.model)[1]
    expect(page.get_by_text("21 of 28 series")).to_be_visible()
    expect(page.get_by_text("neuronx-cc ended with signal 9")).to_be_visible()


def test_a_sweep_shows_its_peak_and_why_the_rest_is_not_believed(
    site: Site, visit: Callable[..., Visit], views: Mapping[str, str]
) -> None:
    page = visit("viewer").page
    look(page, site.pages + views["sweep not valid"])
    table = page.get_by_role("region", name="Comparison of the batch sizes")
    expect(table.get_by_role("row", name="4").filter(has_text="peak")).to_contain_text("recommended")
    expect(table.get_by_role("row").filter(has_text="not valid")).to_have_count(1)
    expect(
        page.get_by_text("The rounds drift: look for other load on the host, then run again.").first
    ).to_be_visible()
    expect(page.get_by_text("loading replica 8")).to_be_visible()
    expect(page.locator(".chart svg")).to_have_count(3)


def test_a_failed_sweep_shows_the_reason_and_no_chart(
    site: Site, visit: Callable[..., Visit], views: Mapping[str, str]
) -> None:
    page = visit("viewer").page
    look(page, site.pages + views["sweep failed"])
    expect(page.get_by_text("No figure was measured.").first).to_be_visible()
    expect(page.get_by_text("the host ran out of memory").first).to_be_visible()
    expect(page.locator("[data-chart]")).to_have_count(0)


def test_figures_of_a_cpu_are_labelled_on_every_page(
    site: Site, visit: Callable[..., Visit], views: Mapping[str, str], nights: Nights
) -> None:
    page = visit("viewer").page
    sweep = f"sweep?sweep={nights.sweep(TINY, 0).sweep_id}"
    compare = f"compare?a={nights.sweep(TINY, 9).sweep_id}&b={nights.sweep(TINY, 0).sweep_id}"
    for address in (sweep, views["history of a CPU"], compare):
        look(page, site.pages + address)
        label = "Measured on a CPU: not an inf2 result"
        expect(page.locator("main").get_by_text(label).first).to_be_visible()
        expect(page.locator(".chart svg").first).to_contain_text(label)
    look(page, f"{site.pages}changes?model={TINY.model}")
    expect(page.locator("article")).to_contain_text("CPU, not inf2")


def test_the_history_tells_what_changed_that_night(
    site: Site, visit: Callable[..., Visit], views: Mapping[str, str]
) -> None:
    page = visit("viewer").page
    look(page, site.pages + views["history"])
    chart = page.locator(".chart svg")
    expect(chart).to_contain_text("2.26.0")
    expect(chart).to_contain_text(LOSS)
    points = chart.locator(".mark-symbol path")
    places = [points.nth(each).bounding_box() for each in (0, 10, 20)]
    assert [place["x"] for place in places if place] == sorted({place["x"] for place in places if place})
    points.nth(UPGRADE).hover(force=True)
    expect(page.locator("#vg-tooltip-element.visible")).to_contain_text("Environment")
    expect(page.get_by_role("row").filter(has_text="neuronx_cc 2.20.9961 → 2.21.18209")).to_have_count(1)
    page.locator("select[name=metric]").select_option("p99_ms")
    page.get_by_role("button", name="Show").last.click()
    expect(page).to_have_url(re.compile("metric=p99_ms"))
    expect(chart).to_contain_text("P99 (ms)")


def test_names_are_never_markup(site: Site, visit: Callable[..., Visit]) -> None:
    page = visit("user").page
    met: list[str] = []
    page.on("dialog", lambda dialog: met.append(dialog.message) or dialog.dismiss())
    for address in (
        "",
        "sweeps",
        f"history?model={'%3Cscript%3E'}",
        "compare",
        "changes?model=%22%3E%3Cscript%3Ealert(3)%3C/script%3E",
    ):
        look(page, site.pages + address)
        assert page.locator("script:not([src])").count() == 0
        assert page.locator("img").count() == 0
    look(page, site.pages)
    shown = page.get_by_role("rowheader").filter(has_text="<script>alert")
    expect(shown).to_have_count(1)
    assert len(shown.inner_text()) < 300
    assert met == []


def test_a_change_is_acknowledged_with_a_note(site: Site, visit: Callable[..., Visit]) -> None:
    note = "Asked upstream <b>today</b>."
    page = visit("user").page
    with site.with_copy():
        look(page, f"{site.pages}changes?model={MAIN.model}")
        article = page.get_by_role("article")
        article.get_by_text("Judge", exact=True).click()
        article.get_by_label("Note").fill(note)
        with page.expect_navigation():
            article.get_by_role("button", name="Acknowledge").click()
        expect(article.locator(".said")).to_contain_text(f"Acknowledged {note} user,")
        expect(article.locator(".badge").first).to_have_text("Acknowledged")
        look(page, site.pages)
        assert cells(page, MAIN.model)[0].startswith("Acknowledged")


def test_what_is_refused_is_said_beside_the_button(site: Site, visit: Callable[..., Visit]) -> None:
    someone = visit("user")
    page = someone.page
    with site.with_copy():
        look(page, f"{site.pages}changes?model={MAIN.model}")
        with site.client("admin") as other:
            number = other.get("api/v1/incidents", params={"model": MAIN.model}).json()[0]["incident_id"]
            other.post(f"api/v1/incidents/{number}/judgements", json={"status": "fixed", "reason": "Done."})
        page.get_by_text("Judge", exact=True).click()
        page.get_by_label("Note").fill("Too late.")
        page.get_by_role("button", name="Acknowledge").click()
        expect(page.locator("output").first).to_contain_text("Not saved: ")
        expect(page.locator("output").first).to_contain_text("says admin")
    assert len(someone.complaints) == 1, "the browser itself reports the refusal"
    someone.complaints.clear()


def test_a_baseline_is_pinned_and_shown(site: Site, visit: Callable[..., Visit], nights: Nights) -> None:
    page = visit("user").page
    with site.with_copy():
        look(page, f"{site.pages}sweep?sweep={nights.sweep(TINY, 3).sweep_id}")
        page.get_by_label("Why").fill("What we ship.")
        with page.expect_navigation():
            page.get_by_role("button", name="Pin as baseline").click()
        look(page, f"{site.pages}changes")
        pinned = page.get_by_role("region", name="Pinned baselines").get_by_role("row")
        expect(pinned).to_have_count(1 + len(TINY.sizes))
        look(page, site.pages)
        assert "pinned baseline" in cells(page, TINY.model)[4]


def test_a_viewer_is_offered_no_judging(
    site: Site, visit: Callable[..., Visit], views: Mapping[str, str]
) -> None:
    page = visit("viewer").page
    for address in (views["changes"], views["sweep"]):
        look(page, site.pages + address)
        expect(page.locator("form.judge")).to_have_count(0)
    expect(page.get_by_text("viewer, reading only")).to_be_visible()


def downloads(views: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in ("overview", "sweeps", "sweep", "history", "compare", "compare SDKs", "changes"):
        path, _, query = views[name].partition("?")
        yield path or "overview", query


def test_every_view_can_be_taken_away(site: Site, views: Mapping[str, str]) -> None:
    with site.client("viewer") as client:
        for path, query in downloads(views):
            table, prose = (client.get(f"{path}.{fmt}?{query}") for fmt in ("csv", "md"))
            rows = list(csv.reader(io.StringIO(table.text)))
            assert (len(rows) > 1, len({len(row) for row in rows})) == (True, 1), path
            assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@"))], path
            assert "| ---" in prose.text or "|---" in prose.text or "-: |" in prose.text, path
            assert "<script>" not in prose.text
            for each in (table, prose):
                assert each.headers["content-disposition"].startswith("attachment; filename=")
        overview = csv.DictReader(io.StringIO(client.get("overview.csv").text))
        by_model = {row["Model"]: row for row in overview}
    assert by_model[MAIN.model]["Hardware"] == "yes"
    assert by_model[TINY.model]["Hardware"] == "no"
    assert f"{HOSTILE[:30]}" in "".join(by_model)
    assert FORMULA not in by_model[MAIN.model].values()


def test_the_json_beside_a_view_is_what_it_shows(site: Site, visit: Callable[..., Visit]) -> None:
    page = visit("viewer").page
    look(page, site.pages)
    with page.expect_download() as started:
        page.get_by_role("link", name="JSON").click()
    document = json.loads(started.value.path().read_text())
    assert [line["model"] for line in document["lines"]][:2] == [FAILING.model, MAIN.model]
