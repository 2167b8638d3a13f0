"""The JSON API, through a real Airflow."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest
import schemathesis
from bench_pages.openapi import rendered
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from benchlib.settings import PROJECT_ROOT
from tests.plugins.conftest import Site
from tests.plugins.nights import MAIN, STRANGE, UPGRADE, Nights

pytestmark = pytest.mark.slow

EXAMPLES = 8
MAY_BE_REFUSED = positive_data_acceptance
"""A well-formed query may still name a sweep that is not there, or a range that ends before it begins."""


def get(site: Site, path: str, **params: Any) -> httpx.Response:
    with site.client("viewer") as client:
        return client.get(f"api/v1/{path}", params=params)


def test_the_description_is_the_one_in_the_docs() -> None:
    """`PYTHONPATH=plugins .venv/bin/python -m bench_pages.openapi > docs/openapi.json` renders it."""
    assert (PROJECT_ROOT / "docs" / "openapi.json").read_text() == rendered()


def test_the_command_that_renders_the_description_works() -> None:
    command = [sys.executable, "-m", "bench_pages.openapi"]
    done = subprocess.run(command, cwd=PROJECT_ROOT / "plugins", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, rendered()), done.stderr


def test_everything_is_as_described(site: Site) -> None:
    """Every route with values that fit its description and values that do not, and what it answers."""
    headers = {"Authorization": f"Bearer {site.token('user')}"}
    described = json.loads(rendered())
    del described["security"]  # who gets in is another test's business
    schema = schemathesis.openapi.from_dict(described)
    schema.config.update(base_url=site.pages.rstrip("/"))
    with site.with_copy():
        for operation in (result.ok() for result in schema.get_all_operations()):
            for mode in schemathesis.GenerationMode:

                @given(case=operation.as_strategy(generation_mode=mode))
                @settings(
                    max_examples=EXAMPLES,
                    deadline=None,
                    derandomize=True,
                    database=None,
                    phases=[Phase.explicit, Phase.generate],
                    suppress_health_check=list(HealthCheck),
                )
                def as_described(case: schemathesis.Case) -> None:
                    case.call_and_validate(headers=headers, timeout=30, excluded_checks=[MAY_BE_REFUSED])

                as_described()


@pytest.mark.parametrize(("path", "params", "words"), [
    ("sweeps", {"limit": 0}, "limit: '0' is not allowed"),
    ("sweeps", {"limit": 100_000}, "less than or equal to 200"),
    ("sweeps", {"offset": -1}, "offset"),
    ("sweeps", {"since": "yesterday"}, "since: 'yesterday' is not allowed"),
    ("sweeps", {"origin": "elsewhere"}, "'dag' or 'import'"),
    ("sweeps", {"colour": "red"}, "colour: there is no such parameter"),
    ("sweeps", {"model": "x" * 10_000}, "at most 500 characters"),
    ("overview", {"model": "a\0b"}, "without the character NUL"),
    ("compare/sweeps", {"a": "x"}, "b: it must be given"),
    ("compare/sweeps", {"a": "' OR 1=1 --", "b": "x"}, "a run id, or the first characters of a sweep id"),
    ("incidents", {"status": "forgotten"}, "status"),
    ("incidents/0", {}, "incident_id"),
    ("incidents/99999999999999999999", {}, "incident_id"),
    ("sweeps/nonsense", {}, "sweep_id"),
    ("sweeps", {"model": ["a", "b"]}, "model: '2 values' is not allowed; allowed: one value"),
])  # fmt: skip
def test_what_is_not_allowed_is_one_sentence(
    site: Site, path: str, params: dict[str, Any], words: str
) -> None:
    answer = get(site, path, **params)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert words in detail
    assert (len(detail) < 400, "\n" in detail) == (True, False)


@pytest.mark.parametrize("path", ["sweeps/00000000-0000-0000-0000-000000000000", "incidents/4711", "nowhere"])
def test_what_is_not_there_is_not_found(site: Site, path: str) -> None:
    assert get(site, path).status_code == 404


def test_a_filter_is_a_value_whatever_it_says(site: Site) -> None:
    for model in ("' OR '1'='1", '"; DROP TABLE sweep; --', "%", "_", "\\"):
        assert get(site, "sweeps", model=model).json() == []
        assert get(site, "overview", model=model).json()["lines"] == []
    assert len(get(site, "sweeps", model=MAIN.model, limit=200).json()) == 24


def test_the_strangest_name_comes_back_as_it_is(site: Site, nights: Nights) -> None:
    answer = get(site, f"sweeps/{nights.sweep(STRANGE, 0).sweep_id}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["sweep"]["comparison"]["model"] == STRANGE.model


def test_lists_come_in_pages(site: Site) -> None:
    first, second = (get(site, "sweeps", limit=3, offset=offset).json() for offset in (0, 3))
    together = get(site, "sweeps", limit=6).json()
    assert first + second == together
    assert [each["created_at"] for each in together] == sorted(
        (each["created_at"] for each in together), reverse=True
    )


def test_a_history_has_the_night_of_the_upgrade(site: Site, nights: Nights) -> None:
    sweep = get(site, f"sweeps/{nights.sweep(MAIN, 0).sweep_id}").json()
    series_id = next(size["series_id"] for size in sweep["sweep"]["sizes"] if size["batch_size"] == 4)
    history = get(site, f"series/{series_id}/history").json()
    assert [(each["before"], each["after"]) for each in history["sdk_changes"]] == [("2.25.0", "2.26.0")]
    assert len(history["nights"]) == 24
    assert get(site, f"series/{series_id}/history", since="2030-01-02", until="2030-01-01").status_code == 422


def test_two_sweeps_are_held_against_each_other(site: Site, nights: Nights) -> None:
    a, b = (str(nights.sweep(MAIN, age).sweep_id) for age in (UPGRADE + 1, UPGRADE))
    found = get(site, "compare/sweeps", a=a[:13], b=b).json()
    slower = [
        each
        for each in found["differences"]
        if each["metric"] == "throughput_inf_per_s" and each["standing"] == "slower"
    ]
    assert [each["batch_size"] for each in slower] == [4]
    assert slower[0]["change"] == pytest.approx(-0.09, abs=0.02)
    assert [each["field"] for each in found["environment"]] == ["neuron_sdk", "neuronx_cc", "neuron_runtime"]


def test_two_sdks_are_held_against_each_other(site: Site, nights: Nights) -> None:
    series = get(site, "series", model=MAIN.model, batch_size=1).json()[0]["series_id"]
    found = get(site, "compare/sdks", series=series, sdk_a="2.25.0", sdk_b="2.26.0").json()
    slower = {
        (each["batch_size"], each["metric"]) for each in found["differences"] if each["standing"] == "slower"
    }
    assert {(4, "throughput_inf_per_s"), (4, "p50_ms"), (4, "p99_ms")} <= slower
    refused = get(site, "compare/sdks", series=series, sdk_a="2.25.0", sdk_b="3.0")
    assert refused.json()["detail"] == "sdk_b: '3.0' is not allowed; allowed: 2.25.0 or 2.26.0"


def test_a_judgement_that_does_not_follow_is_refused(site: Site) -> None:
    with site.with_copy(), site.client("user") as client:

        def say(status: str, **more: str) -> httpx.Response:
            body = {"status": status, "reason": "Because.", **more}
            return client.post("api/v1/incidents/2/judgements", json=body)

        assert say("fixed").status_code == 200
        refused = say("acknowledged")
        assert (refused.status_code, "says user" in refused.json()["detail"]) == (409, True)
        assert say("reopened").status_code == 200
        assert say("acknowledged").status_code == 200
        assert say("acknowledged", author="somebody else").status_code == 422
        nowhere = client.post("api/v1/incidents/4711/judgements", json={"status": "fixed", "reason": "x"})
        assert nowhere.status_code == 404
        said = client.get("api/v1/incidents/2").json()["annotations"]
    assert said[0]["author"] == "user"


@pytest.mark.parametrize("reason", ["", "   ", "x" * 2001, "half \ud800 a character", "a\0b"])
def test_a_reason_that_cannot_be_kept_is_refused(site: Site, reason: str) -> None:
    with site.client("user") as client:
        content = json.dumps({"status": "acknowledged", "reason": reason})
        headers = {"Content-Type": "application/json"}
        answer = client.post("api/v1/incidents/2/judgements", content=content, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("reason: ")
