"""`bench trigger` where no Airflow is needed to see that it will not do; with one, it is in tests/e2e."""

from __future__ import annotations

import pytest

from .conftest import Bench


def test_a_bad_option_is_refused_before_airflow_is_asked(bench: Bench) -> None:
    code, _, error = bench("trigger", "--rounds", "0")
    assert code == 2
    assert error == "bench: rounds: '0' is not allowed; allowed: a whole number from 1 to 1000\n"


def test_a_profile_that_does_not_exist_is_refused_before_airflow_is_asked(bench: Bench) -> None:
    code, _, error = bench("trigger", "--profile", "fast")
    assert (code, error) == (2, "bench: profile: 'fast' is not allowed; allowed: tutorial, aws-published\n")


def test_options_that_contradict_each_other_are_refused_too(bench: Bench) -> None:
    code, _, error = bench("trigger", "--scenario", "server")
    assert code == 2
    assert error.startswith("bench: scenario: ")
    assert len(error.splitlines()) == 1


def test_where_no_airflow_was_ever_started_the_way_to_one_is_named(bench: Bench) -> None:
    code, _, error = bench("trigger")
    assert code == 1
    assert "`bench up`" in error
    assert "BENCH_AIRFLOW_URL" in error


def test_an_airflow_that_does_not_answer_is_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_AIRFLOW_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("BENCH_AIRFLOW_PASSWORD", "x")
    code, _, error = bench("trigger")
    assert code == 1
    assert error.startswith("bench: no Airflow answers at http://127.0.0.1:1")
    assert "`bench up`" in error
    assert len(error.splitlines()) == 1
