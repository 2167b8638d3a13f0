"""Everything about one sweep, read back as it was stored."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import Engine

from benchlib.errors import BadInput
from benchlib.results import BUCKET_GROWTH, LatencyHistogram
from benchlib.store.repository import Repository
from benchlib.store.sweep_reading import Limits, read_sweep
from tests.store import fleet, samples


def test_what_was_told_comes_back(engine: Engine) -> None:
    histogram = LatencyHistogram(buckets=(-2, 5), batches=(11_900, 100))
    result = samples.told(1, latency_histogram=histogram, checks=(samples.LITTLE, samples.NOISY))
    Repository(engine).record(samples.measurement(1, result=result))
    reading = read_sweep(engine, samples.sweep().sweep_id)
    (size,) = reading.sizes
    assert (reading.run_id, reading.dag_id) == ("run-1", "inf2_batch_sweep")
    assert reading.comparison == Repository(engine).comparison(samples.sweep().sweep_id)
    assert size.status == "invalid"
    assert size.checks == (samples.LITTLE, samples.NOISY)
    assert size.telemetry == samples.READINGS
    assert size.intervals["throughput_inf_per_s"] == Limits(12600.5, 12700.25)
    assert size.intervals["p99_9_ms"] == Limits(1.0, 1.25)
    assert [each.throughput_inf_per_s for each in size.rounds] == [12649.572] * 2
    assert [(each.above_ms, each.up_to_ms, each.batches) for each in size.buckets] == [
        (BUCKET_GROWTH**-3, BUCKET_GROWTH**-2, 11_900),
        (BUCKET_GROWTH**4, BUCKET_GROWTH**5, 100),
    ]
    assert size.overhead_ns_per_call == 420.5
    assert size.topology == "C++ loop: the calls are short."
    assert [row.batch_size for row, found in reading.pairs() if found is None] == [2]


def test_the_attempt_that_counts_is_read(small_fleet: Engine) -> None:
    retried = read_sweep(small_fleet, fleet.wide(3).sweep_id)
    assert [(size.batch_size, size.attempt, size.status) for size in retried.sizes] == [
        (1, 1, "ok"),
        (4, 2, "ok"),
    ]
    failed = read_sweep(small_fleet, fleet.wide(8).sweep_id).size(4)
    assert failed is not None
    assert (failed.attempt, failed.status) == (2, "failed")
    assert (failed.failure_kind, failed.failure_message) == ("timeout", "No end within 600 s.")
    assert (failed.series_id, failed.environment_id, failed.buckets) == (None, None, ())


def test_what_changed_since_the_last_sweep_is_there(small_fleet: Engine) -> None:
    upgraded = read_sweep(small_fleet, fleet.wide(fleet.UPGRADE).sweep_id)
    assert upgraded.since_last is not None
    assert upgraded.since_last.previous_sweep_id == fleet.wide(fleet.UPGRADE - 1).sweep_id
    changed = {each.field: (each.before, each.after) for each in upgraded.since_last.differences}
    assert changed["neuron_sdk"] == ("2.25.0", "2.26.0")
    assert [(each.batch_size, each.direction) for each in upgraded.changes] == [(1, "better"), (4, "worse")]
    assert [each.compile_duration_s for each in upgraded.compilations] == [91.0, 94.0]
    assert [each.cache_hit for each in upgraded.compilations] == [False, False]
    (environment,) = upgraded.environments
    assert environment.batch_sizes == (1, 4)
    assert dict(environment.fields)["neuronx_cc"] == "2.21.18209"
    assert "image" not in dict(environment.fields)
    quiet = read_sweep(small_fleet, fleet.wide(2).sweep_id)
    assert (quiet.since_last, quiet.changes) == (None, ())


def test_a_sweep_without_a_result_has_nothing_but_what_was_asked(engine: Engine) -> None:
    Repository(engine).record(samples.sweep())
    reading = read_sweep(engine, samples.sweep().sweep_id)
    assert (reading.sizes, reading.environments, reading.compilations) == ((), (), ())
    assert [row.status for row in reading.comparison.rows] == ["failed", "failed"]


def test_an_unknown_sweep_is_refused(engine: Engine) -> None:
    with pytest.raises(BadInput, match="the id of a stored sweep"):
        read_sweep(engine, uuid.uuid4())
