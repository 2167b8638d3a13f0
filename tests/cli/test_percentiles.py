"""`bench percentiles`: several nights as one distribution, and whose figures they are."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import Engine

from benchlib.loadgen.histogram import latency_histogram
from benchlib.records import MeasurementRecord, sweep_id_of
from benchlib.results import Environment
from benchlib.store.repository import Repository
from tests.cli.conftest import Bench
from tests.store import samples

INF2 = Environment(hardware=True, device="Inferentia2", instance_type="inf2.xlarge", fingerprint="f2")
NIGHTS = [np.random.default_rng(day).lognormal(14, 0.3, 12_000).astype(np.int64) for day in range(5)]


def night(day: int, batch_size: int = 1, valid: bool = True, **changes: object) -> MeasurementRecord:
    name = f"night-{day}"
    created_at = samples.NOON + timedelta(days=day)
    result = samples.measured(
        batch_size,
        started_at=created_at,
        latency_histogram=latency_histogram(NIGHTS[day]),
        checks=(samples.LITTLE if valid else samples.NOISY,),
        **changes,
    )
    sweep = samples.sweep(name, sweep_id=sweep_id_of("inf2_batch_sweep", name), created_at=created_at)
    return samples.measurement(batch_size, sweep=sweep, result=result)


@pytest.fixture(autouse=True)
def stored(engine: Engine) -> None:
    """Four good nights and a bad one of batch size 1 on a CPU, one night of batch size 2 on inf2."""
    repository = Repository(engine)
    for day in range(4):
        repository.record(night(day))
    repository.record(night(4, valid=False))
    repository.record(night(0, batch_size=2, environment=INF2))
    repository.record(samples.measurement(4))


def cells(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines() if "bert-base-uncased" in line]


def figure(out: str) -> float:
    (line,) = cells(out)
    return float(line[-1])


def test_valid_nights_are_one_distribution(bench: Bench) -> None:
    code, out, err = bench("percentiles", "--batch-size", "1", "--percent", "99.9")
    assert (code, err) == (0, "")
    exact_ms = np.percentile(np.concatenate(NIGHTS[:4]), 99.9) / 1e6
    assert figure(out) == pytest.approx(exact_ms, rel=0.011)
    (line,) = cells(out)
    assert line[2:-1] == ["128", "1", "12", "cpu", "*", "2026-03-01", "to", "2026-03-04", "4", "48000"]


def test_a_span_takes_its_nights_only(bench: Bench) -> None:
    span = ("--from", "2026-03-02", "--to", "2026-03-03")
    _, out, _ = bench("percentiles", "--batch-size", "1", "--percent", "99", *span)
    assert figure(out) == pytest.approx(np.percentile(np.concatenate(NIGHTS[1:3]), 99) / 1e6, rel=0.011)


def test_each_series_has_a_line_and_a_cpus_is_marked(bench: Bench) -> None:
    _, out, _ = bench("percentiles")
    assert [line[3] for line in cells(out)] == ["1", "2"]
    assert ["*" in line for line in cells(out)] == [True, False]
    assert "P50 (ms)" in out
    assert "P99.9 (ms)" in out
    assert out.endswith("Lines marked * were measured on a CPU or a stand-in: not inf2 results.\n")


def test_a_series_is_chosen_by_the_beginning_of_its_id_or_its_machine(bench: Bench) -> None:
    _, out, _ = bench("percentiles")
    for option, value in (("--series", cells(out)[1][0]), ("--instance-type", "inf2.xlarge")):
        _, chosen, _ = bench("percentiles", option, value)
        assert [line[3] for line in cells(chosen)] == ["2"]
        assert "stand-in" not in chosen


def test_what_too_few_batches_support_is_left_out(bench: Bench) -> None:
    _, out, _ = bench("percentiles", "--batch-size", "2", "--percent", "99.99", "--percent", "99.999")
    (line,) = cells(out)
    assert (float(line[-2]) > 0, line[-1]) == (True, "–")  # noqa: RUF001


def test_no_series_is_an_error_that_says_what_to_do(bench: Bench) -> None:
    code, _, err = bench("percentiles", "--model", "nosuch")
    assert code == 1
    assert "no valid measurement with a histogram fits" in err


@pytest.mark.parametrize("percent", ["100", "-1", "nan"])
def test_an_impossible_percentile_is_refused(bench: Bench, percent: str) -> None:
    code, _, err = bench("percentiles", "--percent", percent)
    assert code == 2
    assert err.startswith("bench: --percent: ")
