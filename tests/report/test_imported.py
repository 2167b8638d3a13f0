"""An imported table becomes records that say no more than the table and its importer did."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from benchlib.errors import BadInput
from benchlib.report.imported import Claim, records_of
from benchlib.report.seed_table import read_seed_table
from tests.analysis.comparisons import SEED

SEED_TEXT = SEED.read_text()
CLAIM = Claim("bert-base", 128, "neuron", "inf2.48xlarge", "baseline")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = datetime(2026, 4, 1, tzinfo=UTC)


def test_the_seed_becomes_one_sweep_with_ten_measurements() -> None:
    imported = records_of(read_seed_table(SEED_TEXT), CLAIM, NOW)
    spec = imported.sweep.spec
    assert (imported.sweep.origin, imported.sweep.created_at) == ("import", NOW)
    assert (spec.model.name, spec.model.sequence_length, spec.label) == ("bert-base", 128, "baseline")
    assert spec.batch_sizes == tuple(range(1, 11))
    assert (spec.load.replicas, spec.load.workers, spec.load.batches_per_worker) == (12, 12, 1000)
    assert [record.batch_size for record in imported.measurements] == list(range(1, 11))
    assert all(record.sweep == imported.sweep and record.failure is None for record in imported.measurements)


def test_a_row_keeps_its_figures_and_its_latencies_become_milliseconds() -> None:
    result = records_of(read_seed_table(SEED_TEXT), CLAIM, NOW).measurements[9].result
    assert result is not None
    assert (result.filename, result.batches, result.inferences) == ("model_batch_size_10.pt", 12000, 120000)
    assert (result.duration_s, result.throughput_inf_per_s) == (7.752, 15480.798)
    assert (result.latency.p50_ms, result.latency.p95_ms, result.latency.p99_ms) == (7.577, 8.229, 8.504)
    assert result.latency.samples == 12000
    assert result.precision is None
    assert result.environment.instance_type == "inf2.48xlarge"
    assert result.valid


@pytest.mark.parametrize(("unit", "shift"), [("s", -3), ("us", 3), ("ns", 6)])
def test_latencies_of_any_unit_are_stored_in_milliseconds_without_a_lost_digit(unit: str, shift: int) -> None:
    table = read_seed_table(SEED_TEXT)
    rows = tuple(replace(row, p50=row.p50.scaleb(shift), p95=None, p99=None) for row in table.rows)
    moved = replace(table, rows=rows, latency_unit=replace(table.latency_unit, unit=unit))
    medians = [
        record.result.latency.p50_ms for record in records_of(moved, CLAIM, NOW).measurements if record.result
    ]
    assert medians == [float(row.p50) for row in table.rows]


def test_only_an_accelerators_table_counts_as_hardware() -> None:
    for backend, hardware in (("neuron", True), ("cpu", False)):
        imported = records_of(read_seed_table(SEED_TEXT), replace(CLAIM, backend=backend), NOW)
        environments = [record.result.environment for record in imported.measurements if record.result]
        assert {environment.hardware for environment in environments} == {hardware}


def test_the_same_table_is_the_same_sweep_whatever_its_layout_and_time() -> None:
    in_ms = SEED_TEXT.replace("(s) |", "(ms) |").replace("Duration (ms)", "Duration (s)")
    first, second = (
        records_of(read_seed_table(text), CLAIM, time)
        for text, time in ((SEED_TEXT, NOW), ("# title\n\n" + in_ms.replace("**", ""), LATER))
    )
    assert first.sweep.sweep_id == second.sweep.sweep_id


def test_another_figure_or_another_claim_is_another_sweep() -> None:
    table = read_seed_table(SEED_TEXT)
    claims = [
        CLAIM,
        replace(CLAIM, model="other"),
        replace(CLAIM, sequence_length=256),
        replace(CLAIM, backend="cpu"),
        replace(CLAIM, instance_type=None),
        replace(CLAIM, label=None),
    ]
    tables = [
        table,
        replace(table, rows=table.rows[:-1]),
        read_seed_table(SEED_TEXT.replace("0.990", "0.991")),
    ]
    ids = [records_of(table, claim, NOW).sweep.sweep_id for claim in claims]
    ids += [records_of(other, CLAIM, NOW).sweep.sweep_id for other in tables[1:]]
    assert len(set(ids)) == 8


def test_a_coarse_duration_gives_way_to_what_throughput_implies() -> None:
    table = read_seed_table(SEED_TEXT.replace("0.949", "0.9"))
    result = records_of(table, CLAIM, NOW).measurements[0].result
    assert result is not None
    assert result.duration_s == pytest.approx(12000 / 12649.572, rel=1e-12)


@pytest.mark.parametrize(
    ("claim", "field"),
    [
        (replace(CLAIM, model=" "), "model"),
        (replace(CLAIM, sequence_length=7), "sequence_length"),
        (replace(CLAIM, label="x" * 201), "label"),
    ],
)
def test_an_impossible_claim_is_refused(claim: Claim, field: str) -> None:
    with pytest.raises(BadInput) as refusal:
        records_of(read_seed_table(SEED_TEXT), claim, NOW)
    assert refusal.value.field == field
