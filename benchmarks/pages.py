"""Do the pages inside Airflow stay quick on ten years of one fleet?

    .venv/bin/python benchmarks/store_scale.py --directory /tmp/scale   # makes the database; minutes
    .venv/bin/python benchmarks/pages.py --directory /tmp/scale --chromium /usr/bin/chromium

Asks every route of the API and every page `--runs` times, each time about another series, sweep or incident,
through the real application on a port of this machine, without Airflow's login in front: that costs what any
call of Airflow costs. The bar is a 95th percentile below 100 ms for every route of the API, and no sequential
scan of the measurements in any statement, which PostgreSQL's auto_explain tells. With `--chromium`, a browser
loads the overview and says when it first painted.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlalchemy import Engine, create_engine, event, text
from starlette.applications import Starlette
from starlette.routing import Mount
from store_scale import BAR_MS, BIG_TABLES, DATABASE, SUBJECTS, database, say

from benchlib.store.migrate import upgrade
from benchlib.store.overview import read_overview

# As Airflow does with its folder of plugins.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "plugins"))

NEXT = text("""
    SELECT later.sweep_id FROM sweep JOIN sweep AS later USING (dag_id, model)
    WHERE sweep.sweep_id = :sweep AND later.created_at > sweep.created_at
    ORDER BY later.created_at LIMIT 1
""")
SDKS = text(
    "SELECT sdk FROM sdk_comparison WHERE series_id = :series AND origin = 'dag' ORDER BY first_night"
)
PAINTED = """() => new Promise(resolve => new PerformanceObserver(list => {
    const [entry] = list.getEntriesByName("first-contentful-paint");
    if (entry) resolve(entry.startTime);
}).observe({ type: "paint", buffered: true }))"""
CHARTS = "theme=dark&width_px=1000"


@dataclass(frozen=True)
class Route:
    """One address; what stands in braces is another one every time."""

    name: str
    path: str
    is_api: bool = True


ROUTES = (
    Route("overview", "api/v1/overview"),
    Route("sweeps, newest 50", "api/v1/sweeps"),
    Route("sweeps of a model, page 20", "api/v1/sweeps?model={model}&limit=50&offset=1000"),
    Route("a sweep", "api/v1/sweeps/{sweep}"),
    Route("series of a model", "api/v1/series?model={model}"),
    Route("history of a series, a year", "api/v1/series/{series}/history?since={year_ago}"),
    Route("two sweeps", "api/v1/compare/sweeps?a={sweep}&b={next}"),
    Route("two SDKs", "api/v1/compare/sdks?series={series}&sdk_a={sdk_a}&sdk_b={sdk_b}"),
    Route("incidents", "api/v1/incidents"),
    Route("all incidents", "api/v1/incidents?status=all&limit=200"),
    Route("an incident", "api/v1/incidents/{incident}"),
    Route("baselines", "api/v1/baselines"),
    Route("page: overview", "", is_api=False),
    Route("page: sweeps", "sweeps", is_api=False),
    Route("page: sweep", "sweep?sweep={sweep}", is_api=False),
    Route("page: history, half a year", "history?series={series}", is_api=False),
    Route("page: history, ten years", "history?series={series}&since=1990-01-01", is_api=False),
    Route("page: compare", "compare?a={sweep}&b={next}", is_api=False),
    Route("page: changes", "changes", is_api=False),
    Route("chart: throughput", f"chart/sweep/throughput?sweep={{sweep}}&{CHARTS}", is_api=False),
    Route("chart: distribution", f"chart/sweep/distribution?sweep={{sweep}}&{CHARTS}", is_api=False),
    Route(
        "chart: history, a year", f"chart/history?series={{series}}&since={{year_ago}}&{CHARTS}", is_api=False
    ),
)


@dataclass(frozen=True)
class Answer:
    """How long one route took, ms, and what its statements read from end to end."""

    route: Route
    durations_ms: tuple[float, ...]
    size_bytes: int
    scanned: tuple[str, ...]

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.durations_ms)

    @property
    def p95_ms(self) -> float:
        return statistics.quantiles(self.durations_ms, n=20, method="inclusive")[-1]

    @property
    def is_missed(self) -> bool:
        return bool(self.scanned) or (self.route.is_api and self.p95_ms >= BAR_MS)


class Plans:
    """The plans of all statements, as the server tells them while it is asked to."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen: list[str] = []
        self._threshold_ms = -1
        event.listen(engine, "connect", self._prepare)

    def _prepare(self, connection: Any, _: Any) -> None:
        connection.notices = self._seen
        with connection.cursor() as cursor:
            cursor.execute("LOAD 'auto_explain'")
            cursor.execute("SET client_min_messages = log")
            cursor.execute(f"SET auto_explain.log_min_duration = {self._threshold_ms}")
        connection.commit()

    def watch(self, on: bool) -> None:
        """Begin or end telling."""
        self._threshold_ms = 0 if on else -1
        self._seen.clear()
        self._engine.dispose()

    @property
    def scanned(self) -> tuple[str, ...]:
        """The large tables that were read from end to end since `watch`."""
        plans = "\n".join(map(str, self._seen))
        return tuple(table for table in BIG_TABLES if re.search(rf"Seq Scan on {table}\b", plans))


def main() -> int:
    """Serve, ask, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--directory", type=Path, required=True, help="where store_scale.py kept its database"
    )
    parser.add_argument("--runs", type=int, default=40, help="how often each route is asked")
    parser.add_argument("--chromium", type=Path, help="a browser: when does it first paint the overview?")
    options = parser.parse_args()
    with database(options.directory) as server:
        engine = create_engine(server.url(DATABASE))
        upgrade(engine)
        plans = Plans(engine)
        subjects = list(choose_subjects(engine, options.runs))
        with (
            serving(engine, subjects[0]["newest"]) as address,
            httpx.Client(base_url=address, timeout=60) as client,
        ):
            answers = [shown(ask(client, plans, route, subjects)) for route in ROUTES]
            if options.chromium:
                first_paint(address, options.chromium, options.runs)
        engine.dispose()
    return report(answers)


def choose_subjects(engine: Engine, runs: int) -> Iterator[dict[str, Any]]:
    """What the routes are about, another one for every run."""
    with engine.connect() as connection:
        incidents = connection.scalars(
            text("SELECT incident_id FROM incident ORDER BY random() LIMIT 200")
        ).all()
        rows = connection.exec_driver_sql(SUBJECTS, (runs,)).mappings().all()
        for place, row in enumerate(rows):
            sdks = connection.scalars(SDKS, {"series": row["series"]}).all()
            yield {
                **row,
                "next": connection.scalar(NEXT, {"sweep": row["sweep"]}) or row["sweep"],
                "sdk_a": sdks[-2] if len(sdks) > 1 else sdks[-1],
                "sdk_b": sdks[-1],
                "incident": incidents[place % len(incidents)] if incidents else 1,
                "year_ago": row["newest"] - timedelta(days=365),
            }


@contextmanager
def serving(engine: Engine, today: date) -> Iterator[str]:
    """The application on a free port, on the day after its newest night."""

    from bench_pages import api, pages
    from bench_pages.app import make_app
    from bench_pages.visitors import Visitor

    async def anybody(_: Any) -> Visitor:
        return Visitor("nobody", "nobody", True, lambda: True, "secret")

    # The database ends in the past: as of today it would be an overview of nothing.
    for module in (api, pages):
        module.read_overview = lambda engine, model=None: read_overview(engine, today, model)
    app = Starlette(routes=[Mount("/bench", make_app(anybody, lambda: engine))])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/bench/"
    finally:
        server.should_exit = True
        thread.join()


def ask(client: httpx.Client, plans: Plans, route: Route, subjects: Sequence[dict[str, Any]]) -> Answer:
    """Time every run; then one more, watched."""

    def once(subject: dict[str, Any]) -> tuple[float, int]:
        path = route.path.format(**subject)
        started = time.perf_counter()
        answer = client.get(path, headers={"Accept": "text/html"})
        duration_ms = (time.perf_counter() - started) * 1000
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text[:300]}"
        return duration_ms, len(answer.content)

    once(subjects[0])
    measured = [once(subject) for subject in subjects]
    plans.watch(on=True)
    once(subjects[-1])
    scanned = plans.scanned
    plans.watch(on=False)
    durations_ms, sizes = zip(*measured, strict=True)
    return Answer(route, durations_ms, max(sizes), scanned)


def shown(answer: Answer) -> Answer:
    remarks = ["LATE"] * (answer.route.is_api and answer.p95_ms >= BAR_MS)
    remarks += [f"reads all of {table}" for table in answer.scanned]
    times = f"p50 {answer.p50_ms:7.1f}  p95 {answer.p95_ms:7.1f} ms  {answer.size_bytes / 1000:7.1f} kB"
    say(f"{answer.route.name:<30} {times}  {', '.join(remarks)}".rstrip())
    return answer


def first_paint(address: str, chromium: Path, runs: int) -> None:
    """A browser with a warm and with a cold cache."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for kind in ("cold", "warm"):
            times_ms = []
            page = browser.new_page()
            for _ in range(min(runs, 10)):
                if kind == "cold":
                    page = browser.new_context().new_page()
                page.goto(address)
                times_ms.append(page.evaluate(PAINTED))
            say(
                f"overview, first contentful paint, {kind} cache: median {statistics.median(times_ms):.0f} ms"
            )
        browser.close()


def report(answers: Sequence[Answer]) -> int:
    """Whether the bar was reached, as an exit code."""
    missed = [answer.route.name for answer in answers if answer.is_missed]
    routes = [answer for answer in answers if answer.route.is_api]
    within = sum(answer.p95_ms < BAR_MS for answer in routes)
    say(f"{within} of {len(routes)} routes of the API below {BAR_MS} ms at p95")
    say("".join(f"  not: {name}\n" for name in missed).rstrip())
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
