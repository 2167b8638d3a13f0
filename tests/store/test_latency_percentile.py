"""Percentiles from stored histograms, in SQL: as exact as stated, over any number of nights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sqlalchemy import Engine, bindparam, create_engine, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import BigInteger, Integer

from benchlib.loadgen.histogram import latency_histogram
from benchlib.records import MeasurementRecord, sweep_id_of
from benchlib.settings import PROJECT_ROOT
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.percentiles import Span, latency_percentiles
from benchlib.store.repository import Repository
from tests.conftest import new_database
from tests.store import samples

PERCENTILE = text("SELECT latency_percentile(:buckets, :batches, :percent)").bindparams(
    bindparam("buckets", type_=ARRAY(Integer)), bindparam("batches", type_=ARRAY(BigInteger))
)
DOCUMENT = (PROJECT_ROOT / "docs" / "import-export.md").read_text()
PER_MONTH, WITHOUT_FUNCTION = re.findall(r"```sql\n(.*?);\n```", DOCUMENT, re.DOTALL)
Latencies = NDArray[np.int64]


@pytest.fixture(scope="module")
def shared(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """A database that nobody writes to."""
    with new_database(postgres) as url:
        engine = create_engine(url)
        yield engine
        engine.dispose()


def percentile(engine: Engine, parts: list[Latencies], percent: float) -> float | None:
    """Of several runs, their histograms one after the other."""
    histograms = [latency_histogram(part) for part in parts]
    values = {
        "buckets": [bucket for histogram in histograms for bucket in histogram.buckets],
        "batches": [count for histogram in histograms for count in histogram.batches],
        "percent": percent,
    }
    with engine.connect() as connection:
        found: float | None = connection.scalar(PERCENTILE, values)
        return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 10**12), min_size=1, max_size=40), min_size=1, max_size=4),
    st.integers(0, 9_000).map(lambda hundredths: hundredths / 100),
)
def test_it_is_within_one_percent_of_what_all_samples_give(
    shared: Engine, parts: list[list[int]], percent: float
) -> None:
    exact_ms = np.percentile(np.concatenate(parts), percent) / 1e6
    found_ms = percentile(shared, [np.array(part) for part in parts], percent)
    if sum(map(len, parts)) * (1 - percent / 100) >= 1:
        assert found_ms == pytest.approx(exact_ms, rel=0.01 * (1 + 1e-9))


@pytest.mark.parametrize("percent", [50.0, 90.0, 99.0, 99.9, 99.99])
def test_tails_of_thirty_nights_with_two_modes(shared: Engine, percent: float) -> None:
    random = np.random.default_rng(7)
    nights = [
        np.concatenate([random.lognormal(14, 0.05, 9_900), random.lognormal(16, 0.4, 100)]).astype(np.int64)
        for _ in range(30)
    ]
    exact_ms = np.percentile(np.concatenate(nights), percent) / 1e6
    assert percentile(shared, nights, percent) == pytest.approx(exact_ms, rel=0.01)


@pytest.mark.parametrize(("samples", "percent", "known"), [
    (1, 0.0, True), (1, 50.0, False), (99, 99.0, False), (100, 99.0, True), (1000, 99.9, True),
    (100, 100.0, False), (100, -1.0, False), (100, 101.0, False),
])  # fmt: skip
def test_what_too_few_samples_support_is_null(
    shared: Engine, samples: int, percent: float, known: bool
) -> None:
    assert (percentile(shared, [np.full(samples, 10**6)], percent) is not None) == known


def night(day: int, latencies_ns: Latencies, valid: bool = True) -> MeasurementRecord:
    started_at = samples.NOON + timedelta(days=day)
    result = samples.measured(
        started_at=started_at,
        latency=samples.latency(samples=latencies_ns.size),
        latency_histogram=latency_histogram(latencies_ns),
        checks=(samples.LITTLE if valid else samples.NOISY,),
    )
    name = f"night-{day}"
    sweep = samples.sweep(name, sweep_id=sweep_id_of("inf2_batch_sweep", name), created_at=started_at)
    return samples.measurement(sweep=sweep, result=result, recorded_at=started_at)


def test_the_documents_queries_merge_a_month_of_nights(engine: Engine) -> None:
    random = np.random.default_rng(1)
    nights = [random.lognormal(14, 0.2, 2_000).astype(np.int64) for _ in range(40)]
    repository = Repository(engine)
    for day, latencies_ns in enumerate(nights):
        repository.record(night(day, latencies_ns))
    with engine.connect() as connection:
        connection.execute(text("SET timezone = 'UTC'"))
        overall_ms = connection.scalar(text(WITHOUT_FUNCTION))
    assert float(overall_ms or 0) == pytest.approx(
        np.percentile(np.concatenate(nights), 99.9) / 1e6, rel=0.011
    )
    repository.record(night(50, np.full(12_000, 10**12), valid=False))
    with engine.connect() as connection:
        connection.execute(text("SET timezone = 'UTC'"))
        months = connection.execute(text(f"{PER_MONTH.replace('= 4', '= 1')} ORDER BY month")).all()
    of_month = (nights[:31], nights[31:])
    assert [month.p99_9_ms for month in months] == [
        pytest.approx(np.percentile(np.concatenate(month), 99.9) / 1e6, rel=0.01) for month in of_month
    ]


def test_the_view_says_where_each_bucket_ends(engine: Engine) -> None:
    latencies_ns = np.array([900_000, 1_000_000, 1_050_000, 1_060_000])
    Repository(engine).record(night(0, latencies_ns))
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM latency_bucket ORDER BY bucket")).all()
    for row in rows:
        inside = (latencies_ns > row.above_ms * 1e6) & (latencies_ns <= row.up_to_ms * 1e6)
        assert row.batches == inside.sum()
    assert sum(row.batches for row in rows) == 4


def test_other_arrivals_are_another_distribution(engine: Engine) -> None:
    for rate_per_s in (400.0, 500.0):
        histogram = latency_histogram(np.full(12_000, int(rate_per_s * 1000)))
        result = samples.served(rate_per_s, trials=(), latency_histogram=histogram)
        Repository(engine).record(samples.server_measurement(f"rate {rate_per_s}", result=result))
    found = latency_percentiles(engine, Span(), (50.0,))
    assert {line.arrivals: line.percentiles_ms for line in found} == {
        "rate 400/s": (pytest.approx(0.4, rel=0.01),),
        "rate 500/s": (pytest.approx(0.5, rel=0.01),),
    }
