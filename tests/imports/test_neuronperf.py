"""NeuronPerf's reports become sweeps, from CSV and from JSON alike."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchlib.errors import BadInput
from benchlib.imports.neuronperf import NeuronPerfClaim, read_neuronperf_csv, read_neuronperf_json
from benchlib.imports.reading import Reading
from benchlib.results import Measurement
from tests.imports.neuronperf_reports import FILE, REPORT, as_csv

CLAIM = NeuronPerfClaim(sequence_length=128)


def read(*reports: dict[str, Any], claim: NeuronPerfClaim = CLAIM, file: Path = FILE) -> Reading:
    return read_neuronperf_csv(as_csv(*reports), file, claim)


def only(*reports: dict[str, Any], claim: NeuronPerfClaim = CLAIM) -> Measurement:
    (record,) = read(*reports, claim=claim).records
    assert record.result is not None
    return record.result


def test_every_figure_finds_its_place() -> None:
    result = only(REPORT)
    assert (result.replicas, result.workers) == (2, 4)
    assert (result.batches, result.inferences) == (42_750, 342_000)
    assert result.throughput_inf_per_s == 2850.5
    assert result.duration_s == pytest.approx(342_000 / 2850.5)
    latency = result.latency
    assert (latency.mean_ms, latency.p50_ms, latency.p90_ms) == (11.226, 11.2, 11.6)
    assert (latency.p95_ms, latency.p99_ms, latency.p99_9_ms, latency.max_ms) == (11.8, 12.4, None, 31.7)
    assert (result.filename, result.batch_size) == ("model_b8.pt", 8)
    assert (result.environment.instance_type, result.environment.device) == ("inf2.xlarge", "Inferentia2")
    assert (result.valid, result.warnings) == (True, ())


def test_json_and_csv_are_the_same_measurements() -> None:
    from_json = read_neuronperf_json(json.dumps([REPORT]), FILE, CLAIM)
    assert from_json.records == read(REPORT).records


def test_another_report_of_the_same_day_is_another_sweep() -> None:
    day = replace(CLAIM, measured_at=datetime(2024, 4, 1, tzinfo=UTC))
    (first,) = read(REPORT, claim=day, file=Path("x.csv")).records
    (again,) = read(REPORT, claim=day, file=Path("copy of x.csv")).records
    (other,) = read({**REPORT, "throughput_avg": 2851.0}, claim=day, file=Path("x.csv")).records
    assert first.sweep.sweep_id == again.sweep.sweep_id != other.sweep.sweep_id


def test_the_date_is_that_of_the_name_unless_a_person_knows_better() -> None:
    (record,) = read(REPORT).records
    assert record.sweep.created_at == datetime(2024, 4, 1, 9, 30, tzinfo=UTC)
    day = datetime(2024, 3, 31, tzinfo=UTC)
    (record,) = read(REPORT, claim=replace(CLAIM, measured_at=day), file=Path("old.csv")).records
    assert record.sweep.created_at == day


@pytest.mark.parametrize("name", ["old.csv", "bert.results-20241301-093000.csv"])
def test_without_a_date_nothing_is_read(name: str) -> None:
    with pytest.raises(BadInput, match=r"--date: None is not allowed; allowed: the day it was measured"):
        read(REPORT, file=Path(name))


def test_what_the_report_lacks_the_claim_says() -> None:
    claim = replace(CLAIM, model="bert-base-uncased", neuron_sdk="2.18.0", instance_type="inf2.8xlarge")
    (record,) = read(REPORT, claim=claim).records
    assert record.sweep.spec.model.name == "bert-base-uncased"
    assert record.sweep.spec.label == "SDK 2.18.0"
    assert record.result is not None
    environment = record.result.environment
    assert (environment.neuron_sdk, environment.instance_type) == ("2.18.0", "inf2.8xlarge")


def test_the_files_name_tells_the_model_where_nothing_else_does() -> None:
    (record,) = read({**REPORT, "model_name": "N/A"}).records
    assert record.sweep.spec.model.name == "bert"


def test_another_load_is_another_sweep_and_another_batch_size_is_not() -> None:
    one_model = {**REPORT, "n_models": 1, "workers_per_model": 1, "throughput_avg": 712.6}
    batch_4 = {**REPORT, "batch_size": 4, "throughput_avg": 1425.2}
    reading = read(REPORT, one_model, batch_4)
    assert (len(reading.records), reading.sweeps, reading.taken) == (3, 2, 3)


def test_several_pipeline_sizes_and_levels_are_several_sweeps() -> None:
    assert read(REPORT, {**REPORT, "pipeline_size": 2}, {**REPORT, "performance_level": 3}).sweeps == 3


def test_old_reports_have_all_workers_under_workers_per_model() -> None:
    result = only({**REPORT, "workers_per_model": 4})
    assert result.workers == 4
    assert result.valid
    assert result.warnings == ("workers_per_model is taken as the total of 4: littles_law fits no 8 workers",)


def test_figures_that_fit_neither_reading_are_flagged() -> None:
    reading = read({**REPORT, "throughput_avg": 28_505})
    (verdict,) = reading.flagged
    assert verdict.where == "line 2"
    assert "is 40 batches under way, for 4 workers" in verdict.reason
    assert reading.taken == 0


def test_a_cpus_report_is_never_an_accelerators() -> None:
    result = only({**REPORT, "device_type": "cpu", "instance_type": "c7i.xlarge"})
    assert (result.backend, result.environment.hardware) == ("cpu", False)
    assert result.environment.device == "unnamed CPU"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "error"}, "NeuronPerf itself reports an error"),
        ({"throughput_avg": "N/A"}, "throughput_avg is missing"),
        ({"throughput_avg": "nan"}, "throughput_avg: 'nan' is not allowed"),
        ({"device_type": "cuda"}, "device_type: 'cuda' is not allowed"),
        ({"latency_ms_p99": 11.0}, "p99_ms 11 is below p95_ms 11.8"),
        ({"e2e_avg_ms": 40.0, "throughput_avg": 800.0}, "mean_ms 40 is above max_ms 31.7"),
        ({"n_models": 2000}, "n_models: 2000 is not allowed"),
    ],
)
def test_a_report_that_cannot_be_stored_is_refused_alone(change: dict[str, Any], reason: str) -> None:
    reports = [{**REPORT, **change}, REPORT]
    reading = read_neuronperf_json(json.dumps(reports), FILE, CLAIM)
    (verdict,) = reading.refused
    assert verdict.where == "report 1"
    assert verdict.reason.startswith(reason)
    assert reading.taken == 1


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[{]"])
def test_what_is_no_list_of_reports_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"file: 'bert\.results-"):
        read_neuronperf_json(text, FILE, CLAIM)


@pytest.mark.parametrize(
    ("claim", "field"),
    [
        (replace(CLAIM, sequence_length=4), "sequence_length"),
        (replace(CLAIM, model=" "), "name"),
        (replace(CLAIM, label="x" * 201), "label"),
    ],
)
def test_an_impossible_claim_is_refused_before_any_row(claim: NeuronPerfClaim, field: str) -> None:
    with pytest.raises(BadInput) as refusal:
        read(REPORT, claim=claim)
    assert refusal.value.field in (field, "model")
