"""Who gets in, through a real Airflow."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator

import httpx
import pytest
from bench_pages import assets, guard
from bench_pages.app import make_app, make_routes
from bench_pages.gate import HEADERS
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from tests.plugins.conftest import Site

pytestmark = pytest.mark.slow

VALUES = {
    "sweep_id": "00000000-0000-0000-0000-000000000000",
    "series_id": "00000000-0000-0000-0000-000000000000",
    "incident_id": "1",
    "fmt_": "csv",
    "name": "throughput",
}


def addresses() -> Iterator[tuple[str, str]]:
    """Method and address of every route, and of some that are none."""
    for route in make_routes(lambda: None).routes:  # type: ignore[arg-type,return-value]
        assert isinstance(route, APIRoute)
        path = re.sub(r"\{(\w+)\}", lambda found: VALUES.get(found[1], "x"), route.path)
        yield from ((method, path.lstrip("/")) for method in route.methods)
    yield from (("GET", f"static/{assets.digest(name)}/{name}") for name in ("bench.js", assets.VEGA))
    nowhere = (
        "docs",
        "redoc",
        "openapi.json",
        "api/v1/openapi.json",
        "nowhere",
        "static/..%2f..%2fapp.py",
        "api/v1/nowhere",
    )
    yield from (("GET", path) for path in nowhere)
    yield from (
        (method, path) for method in ("OPTIONS", "PUT", "DELETE", "TRACE") for path in ("", "changes")
    )


def test_nobody_gets_anything_without_a_login(site: Site) -> None:
    asked = list(addresses())
    assert len(asked) > 40
    with site.client() as anonymous:
        answers = {each: anonymous.request(*each) for each in asked}
    assert {each: answer.status_code for each, answer in answers.items() if answer.status_code != 401} == {}
    assert {len(answer.content) < 300 for answer in answers.values()} == {True}
    for answer in answers.values():
        assert all(answer.headers[name] == value for name, value in HEADERS.items())


def test_a_browser_without_a_login_is_shown_the_way(site: Site) -> None:
    with site.client() as anonymous:
        answer = anonymous.get("sweeps", headers={"Accept": "text/html"})
    assert answer.status_code == 401
    assert re.search(r'href="[^"]*/auth/login', answer.text)


@pytest.mark.parametrize("token", ["nonsense", "a.b.c"])
def test_a_false_token_opens_nothing(site: Site, token: str) -> None:
    with site.client() as client:
        assert client.get("", headers={"Authorization": f"Bearer {token}"}).status_code in (401, 403)


def test_a_viewer_reads_everything_and_writes_nothing(site: Site) -> None:
    bodies = {
        "api/v1/incidents/1/judgements": {"status": "acknowledged", "reason": "x"},
        "api/v1/baselines": {"first_sweep_id": VALUES["sweep_id"], "reason": "x"},
        "api/v1/baselines/withdrawals": {"sweep_id": VALUES["sweep_id"], "reason": "x"},
    }
    with site.client("viewer") as viewer:
        for page in (
            "",
            "sweeps",
            "sweep",
            "history",
            "compare",
            "changes",
            "api/v1/overview",
            "api/v1/openapi.json",
        ):
            answer = viewer.get(page)
            assert answer.status_code == 200, page
            assert all(answer.headers[name] == value for name, value in HEADERS.items())
            assert answer.headers["cache-control"] == "private, no-cache"
        for path, body in bodies.items():
            refused = viewer.post(path, json=body)
            assert (refused.status_code, "not judge" in refused.json()["detail"]) == (403, True)


@pytest.mark.parametrize("role", ["user", "op", "admin"])
def test_who_may_edit_runs_may_judge(site: Site, role: str) -> None:
    with site.client(role) as client:
        answer = client.post(
            "api/v1/incidents/2/judgements", json={"status": "acknowledged", "reason": "Seen."}
        )
    assert answer.status_code == 200
    assert answer.json()["status"] == "acknowledged"


def cookie_client(site: Site, role: str) -> httpx.Client:
    client = site.client()
    client.cookies.set("_token", site.token(role))
    return client


def test_with_a_cookie_only_our_own_page_can_write(site: Site) -> None:
    path, body = "api/v1/incidents/2/judgements", {"status": "acknowledged", "reason": "Seen."}
    with cookie_client(site, "user") as client:
        page = client.get("changes").text
        found = re.search(r'name="bench-token" content="(\w+)"', page)
        assert found
        own = {"Sec-Fetch-Site": "same-origin", "X-Bench-Token": found[1]}

        def status(**headers: str) -> int:
            return client.post(path, json=body, headers={**own, **headers}).status_code

        assert status() == 200
        assert status(**{"X-Bench-Token": ""}) == 403
        assert status(**{"X-Bench-Token": "0" * 64}) == 403
        assert {status(**{"Sec-Fetch-Site": site}) for site in ("cross-site", "same-site", "none")} == {403}
        # Browsers that do not tell the site tell the origin.
        for origin, expected in {"http://elsewhere.example": 403, "null": 403, site.url: 200}.items():
            older = {"X-Bench-Token": found[1], "Origin": origin}
            assert client.post(path, json=body, headers=older).status_code == expected
        form = client.post(path, data={"status": "fixed", "reason": "x"}, headers=own)
        assert form.status_code == 415
    with cookie_client(site, "admin") as other:
        assert other.post(path, json=body, headers=own).status_code == 403, "somebody else's token"
    with cookie_client(site, "viewer") as viewer:
        assert "bench-token" not in viewer.get("changes").text


def test_files_may_be_kept_for_good_under_their_digest_only(site: Site) -> None:
    with site.client("viewer") as client:
        mine = client.get(assets.address("bench.css"))
        assert (mine.status_code, mine.headers["cache-control"]) == (
            200,
            "private, max-age=31536000, immutable",
        )
        old = client.get("static/0123456789abcdef/bench.css")
        assert (old.status_code, old.headers["cache-control"]) == (200, "private, no-cache")
        assert client.get("static/x/theme.py").status_code == 404
        assert client.get("static/x/..%2fapp.py").status_code == 404


def test_an_airflow_with_another_login_lets_nobody_in(
    monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.setitem(sys.modules, "airflow.api_fastapi.core_api.security", None)
    try:
        closed = importlib.reload(guard)
        answer = TestClient(make_app(closed.identify, lambda: engine)).get("/")
    finally:
        monkeypatch.undo()
        importlib.reload(guard)
    assert answer.status_code == 503
    assert "do not know how to log in" in answer.json()["detail"]
