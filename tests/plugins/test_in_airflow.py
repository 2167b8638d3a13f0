"""Inside Airflow's own pages, by its own login."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.plugins.conftest import Site, Visit
from tests.plugins.nights import MAIN, Nights

pytestmark = pytest.mark.slow


def test_the_navigation_leads_to_last_night_and_a_link_back_to_it(
    site: Site, visit: Callable[..., Visit]
) -> None:
    someone = visit("viewer")
    page = someone.page
    page.goto(site.url)
    page.get_by_role("link", name="Benchmarks").first.click()
    inside = page.frame_locator("iframe")
    expect(inside.get_by_role("heading", level=1)).to_contain_text("Last night")
    expect(inside.get_by_role("status")).to_contain_text("4 of 7 configurations need a look")
    inside.get_by_role("link", name=MAIN.model, exact=True).first.click()
    expect(inside.get_by_role("heading", level=1)).to_contain_text(MAIN.model)
    page.wait_for_url("**/plugin/benchmarks/bench/sweep?sweep=**")
    page.reload()
    expect(inside.get_by_role("heading", level=1)).to_contain_text(MAIN.model)


def test_the_frame_is_as_dark_as_airflow_around_it(site: Site, visit: Callable[..., Visit]) -> None:
    page = visit("viewer", theme="light").page
    page.goto(f"{site.url}/plugin/benchmarks")
    theme = page.frame_locator("iframe").locator("html")
    expect(theme).to_have_attribute("data-theme", "light")
    page.get_by_role("button", name="User").click()
    page.get_by_role("menuitem", name="Appearance").hover()
    page.get_by_role("menuitemradio", name="Dark").or_(page.get_by_role("menuitem", name="Dark")).click()
    expect(theme).to_have_attribute("data-theme", "dark")


def test_a_run_has_a_tab_with_its_sweep_that_leads_to_its_logs(
    site: Site, visit: Callable[..., Visit], nights: Nights
) -> None:
    run_id = nights.sweep(MAIN, 0).run_id
    page = visit("viewer").page
    page.goto(f"{site.url}/dags/{MAIN.dag_id}/runs/{run_id}")
    page.get_by_role("link", name="Benchmark", exact=True).click()
    inside = page.frame_locator("iframe")
    expect(inside.get_by_role("heading", level=1)).to_contain_text(MAIN.model)
    inside.get_by_role("link", name="Log of measuring batch size 4").click()
    page.wait_for_url("**/tasks/per_batch_size.measure/mapped/3**")


def test_the_copied_link_is_that_of_the_view_inside_airflow(site: Site, visit: Callable[..., Visit]) -> None:
    someone = visit("viewer")
    someone.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
    page = someone.page
    page.goto(f"{site.pages}history?metric=p99_ms")
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied: str = page.evaluate("() => navigator.clipboard.readText()")
    assert copied == f"{site.url}/plugin/benchmarks/bench/history?metric=p99_ms"
    page.goto(copied)
    expect(page.frame_locator("iframe").locator("select[name=metric]")).to_have_value("p99_ms")


def focused(page: Page) -> str:
    """What has the keyboard."""
    text: str = page.locator(":focus").inner_text()
    return text


def test_the_pages_are_walked_by_keyboard(site: Site, visit: Callable[..., Visit]) -> None:
    page = visit("viewer").page
    page.goto(site.pages)
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert focused(page) == "Sweeps"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sweeps")
