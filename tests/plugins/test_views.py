"""What the pages answer, without Airflow around them: for whatever needs no browser and no login."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bench_pages import assets, readers
from bench_pages.app import make_app
from bench_pages.asked import SweepsAsked
from bench_pages.pages import headline
from bench_pages.visitors import Visitor
from fastapi import Request
from fastapi.testclient import TestClient
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import TimeoutError as PoolTimeout

from benchlib.orchestration.judging import confirming
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.history import SeriesWanted, find_histories
from benchlib.store.overview import Overview, read_overview
from benchlib.store.repository import Repository
from tests.conftest import new_database
from tests.plugins.nights import FAILING, FINE, MAIN, OLD, PLANS, TINY, Nights

NOBODY = "00000000"
OLDER = OLD.model_copy(update={"torch": "2.6.0", "fingerprint": "older"})


@pytest.fixture(scope="module")
def nights() -> Nights:
    return Nights(datetime.now(UTC).date(), nights=10)


@pytest.fixture(scope="module")
def stored(postgres: EmbeddedPostgres, nights: Nights) -> Iterator[Engine]:
    """With a figure of last night that was measured again, and a night with another torch under one SDK."""
    with new_database(postgres) as url:
        engine = create_engine(url)
        nights.fill(engine)
        repository = Repository(engine)
        repository.record(nights._attempt(confirming(nights.sweep(MAIN, 0), 4), MAIN, 0, 4))
        early = nights._attempt(nights.sweep(MAIN, 12), MAIN, 12, 4)
        assert early.result is not None
        result = early.result.model_copy(update={"environment": OLDER})
        repository.record(early.model_copy(update={"result": result}))
        yield engine
        engine.dispose()


async def _viewer(_request: Request) -> Visitor:
    return Visitor("Ana", "1", True, lambda: True, "secret")


@pytest.fixture(scope="module")
def client(stored: Engine) -> TestClient:
    return TestClient(make_app(_viewer, lambda: stored), headers={"Accept": "text/html"})


def test_what_only_confirms_is_no_sweep_and_says_what_it_confirms(
    client: TestClient, stored: Engine, nights: Nights
) -> None:
    first = nights.sweep(MAIN, 0)
    again = confirming(first, 4)
    listed = {each.sweep_id for each in readers.list_sweeps(stored, SweepsAsked(limit=200))}
    assert (first.sweep_id in listed, again.sweep_id in listed) == (True, False)
    page = client.get(f"sweep?sweep={again.sweep_id}").text
    assert f'<a href="sweep?sweep={first.sweep_id}">' in page
    assert "mapped/0" not in page
    assert "Pin as baseline" not in page
    (series,) = find_histories(stored, SeriesWanted(model=MAIN.model, batch_size=4))
    history = client.get(f"history?series={series.series_id}").text
    assert history.count(">measured again<") == 1
    assert "measured again" in client.get(f"history.csv?series={series.series_id}").text
    refused = client.get("compare", params={"a": str(again.sweep_id), "b": str(first.sweep_id)})
    assert (refused.status_code, "one that stands by itself" in refused.text) == (422, True)


def test_two_models_are_not_judged_against_each_other(client: TestClient, nights: Nights) -> None:
    asked = {"a": str(nights.sweep(MAIN, 0).sweep_id), "b": str(nights.sweep(FINE, 0).sweep_id)}
    page = client.get("compare", params=asked).text
    assert '<p class="banner bad">The models differ: the figures are not comparable.</p>' in page
    assert "not comparable</span>" in page
    assert ">slower<" not in page
    chart = client.get("chart/compare/sweeps", params=asked).text
    assert f"{FINE.model} / {MAIN.model}" in chart
    of_cpu = {**asked, "b": str(nights.sweep(TINY, 0).sweep_id)}
    assert "Only one of the two ran on an accelerator" in client.get("compare", params=of_cpu).text


def test_an_sdk_is_one_whatever_else_differs(client: TestClient, stored: Engine) -> None:
    (series,) = find_histories(stored, SeriesWanted(model=MAIN.model, batch_size=4))
    sdks = readers.list_sdks(stored, series.series_id)
    assert [(each.sdk, each.nights) for each in sdks] == [("2.25.0", 5), ("2.26.0", 6)]
    asked = {"series": str(series.series_id), "sdk_a": "2.26.0"}
    form = client.get("compare", params=asked).text
    assert [form.count(f'value="{each.sdk}" selected') for each in sdks] == [1, 1]
    refused = client.get("compare", params={**asked, "sdk_b": "2.26.0"})
    assert (refused.status_code, "another SDK than sdk_a" in refused.text) == (422, True)


ADDRESSES = (
    "history?series={}",
    "history.csv?series={}",
    "compare?series={}",
    "chart/compare/sdks?series={}&sdk_a=2.25.0&sdk_b=2.26.0",
    "api/v1/compare/sdks?series={}&sdk_a=2.25.0&sdk_b=2.26.0",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_series_is_picked_where_several_are_meant(
    client: TestClient, stored: Engine, address: str
) -> None:
    # Of more than 16 ids two begin alike.
    begins = Counter(str(each.series_id)[0] for each in find_histories(stored, SeriesWanted()))
    ((shared, _),) = begins.most_common(1)
    assert client.get(address.format(shared)).status_code == 422
    assert client.get(address.format(NOBODY)).status_code == 404


def test_a_series_that_is_not_there_is_not_found_anywhere(client: TestClient) -> None:
    series_id = "00000000-0000-0000-0000-000000000000"
    for address in (
        f"history?series={series_id}",
        f"chart/history?series={series_id}",
        f"api/v1/series/{series_id}/history",
    ):
        assert client.get(address).status_code == 404, address


def test_a_history_that_ends_before_it_begins_is_empty_unless_both_ends_were_given(
    client: TestClient,
) -> None:
    assert client.get("history?until=2020-01-01").status_code == 200
    refused = client.get("history?since=2020-01-02&until=2020-01-01")
    assert (refused.status_code, "since: " in refused.text) == (422, True)


def test_a_run_is_named_with_its_dag(client: TestClient, nights: Nights) -> None:
    sweep = nights.sweep(FINE, 1)
    found = client.get("sweep", params={"dag": sweep.dag_id, "run": sweep.run_id})
    assert str(sweep.sweep_id) in found.text
    for half in ({"dag": sweep.dag_id}, {"run": sweep.run_id}):
        refused = client.get("sweep", params=half)
        assert (refused.status_code, "both, or neither" in refused.text) == (422, True)


def _said(overview: Overview) -> tuple[str, str]:
    told = headline(overview)
    return told.level, told.text


def test_the_headline_calls_nothing_fine_that_waits_for_somebody(stored: Engine) -> None:
    found = read_overview(stored)
    lines = {line.model: line for line in found.lines}
    fine = replace(found, lines=(lines[FINE.model],), incidents=())
    assert _said(fine) == ("good", "The one configuration is fine.")
    nothing = replace(fine, lines=())
    assert _said(nothing) == ("info", "No configuration fits that ran within the last 14 nights.")
    by_status = {each.status: each for each in found.incidents}
    level, words = _said(replace(fine, incidents=(by_status["confirmed"],)))
    assert (level, words) == ("bad", "1 open change for the worse of what is not shown here.")
    level, words = _said(replace(fine, incidents=(by_status["acknowledged"],)))
    assert (level, "1 acknowledged change" in words) == ("info", True)
    level, words = _said(replace(fine, lines=(lines[FINE.model], lines[TINY.model])))
    assert (level, words) == (
        "info",
        "Nothing new of 2 configurations: 1 with an acknowledged change for the worse; the rest is fine.",
    )
    level, words = _said(replace(fine, lines=(lines[FINE.model], lines[FAILING.model])))
    assert (level, words) == ("bad", "1 of 2 configurations needs a look: 1 without a valid figure.")


def test_times_are_utc_wherever_the_server_stands(
    postgres: EmbeddedPostgres, stored: Engine, nights: Nights
) -> None:
    stored.dispose()
    with new_database(postgres, str(stored.url.database)) as url:
        engine = create_engine(url, connect_args={"options": "-c timezone=America/New_York"})
        night = SweepsAsked(since=nights.last, until=nights.last)
        listed = readers.list_sweeps(engine, night)
        assert {each.night for each in listed} == {nights.last}
        assert len(listed) == len(PLANS) - 1, "all but the one that is late"
        client = TestClient(make_app(_viewer, lambda: engine), headers={"Accept": "text/html"})
        for page in ("sweeps", "compare"):
            assert f"{nights.last} 00:00 UTC" in client.get(page).text
        engine.dispose()


def test_a_database_that_is_busy_is_not_an_error_of_ours() -> None:
    def busy() -> Engine:
        raise PoolTimeout("QueuePool limit of size 5 overflow 10 reached")

    answer = TestClient(make_app(_viewer, busy)).get("api/v1/overview")
    assert (answer.status_code, answer.json()) == (503, {"detail": "The database is busy: try again."})


def test_what_cannot_be_kept_leaves_nothing_behind(tmp_path: Path) -> None:
    in_the_way = tmp_path / "vega.js"
    in_the_way.mkdir()
    assets._keep(in_the_way, "text")
    assert list(tmp_path.iterdir()) == [in_the_way]
    assets._keep(tmp_path / "other.js", "text")
    assert (tmp_path / "other.js").read_text() == "text"
