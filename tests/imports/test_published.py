"""Every published row is taken, flagged or refused, each for the right reason."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from benchlib.errors import BadInput
from benchlib.imports.published import read_published
from benchlib.imports.reading import Reading
from benchlib.records import MeasurementRecord
from benchlib.results import Check, Measurement
from tests.imports import published_rows as rows
from tests.imports.published_rows import SOUND, table_of


def read(*cells: dict[str, str]) -> Reading:
    return read_published(table_of(*cells).splitlines(keepends=True))


def only(*cells: dict[str, str]) -> MeasurementRecord:
    (record,) = read(*cells).records
    return record


def result_of(record: MeasurementRecord) -> Measurement:
    assert record.result is not None
    return record.result


def failed(record: MeasurementRecord) -> list[Check]:
    return [check for check in result_of(record).checks if not check.passed]


def test_a_sound_row_becomes_a_dated_sweep_with_its_sdk() -> None:
    record = only(SOUND)
    sweep, spec = record.sweep, record.sweep.spec
    assert (sweep.origin, sweep.created_at) == ("import", datetime(2025, 7, 31, tzinfo=UTC))
    assert (spec.model.name, spec.model.sequence_length) == ("bert-base-uncased", 128)
    assert (spec.label, spec.batch_sizes, spec.backend) == ("SDK 2.25.0", (8,), "neuron")
    assert sweep.run_id.startswith("published-throughput/inf2.xlarge/bert-base-uncased/2.25.0/")
    environment = result_of(record).environment
    assert (environment.neuron_sdk, environment.torch) == ("2.25.0", "2.7")
    assert (environment.instance_type, environment.device) == ("inf2.xlarge", "Inferentia2")


def test_a_sound_row_keeps_its_figures_and_says_nothing_that_it_does_not_know() -> None:
    result = result_of(only(SOUND))
    assert (result.throughput_inf_per_s, result.latency.p50_ms, result.latency.p99_ms) == (
        2863.74,
        5.54,
        5.99,
    )
    assert (result.latency.p95_ms, result.latency.mean_ms) == (None, None)
    assert (result.replicas, result.workers, result.worker_mode) == (2, 2, None)
    assert (result.batches, result.inferences, result.duration_s) == (None, None, None)
    assert result.latency.samples is None
    assert result.precision == "bf16"
    assert result.valid


def test_littles_law_is_kept_as_the_reason_to_believe_a_row() -> None:
    (check,) = result_of(only(SOUND)).checks
    assert (check.name, check.passed, check.limit) == ("littles_law", True, 0.25)
    assert check.figure == pytest.approx(abs(2863.74 * 5.54 / 1000 / 8 / 2 - 1))


@pytest.mark.parametrize(
    ("row", "under_way"), [(rows.TOO_SLOW, "0.0419"), (rows.TOO_FAST, "2.79"), (rows.TOO_MANY, "8.34")]
)
def test_a_row_that_breaks_littles_law_is_stored_as_invalid(row: dict[str, str], under_way: str) -> None:
    reading = read(row)
    (record,), (verdict,) = reading.records, reading.flagged
    assert [check.name for check in failed(record)] == ["littles_law"]
    assert f"is {under_way} batches under way, for 2 workers" in verdict.reason
    assert verdict.where == "line 2"
    assert (reading.taken, result_of(record).valid) == (0, False)


@pytest.mark.parametrize(("share", "valid"), [(0.76, True), (0.74, False), (1.24, True), (1.26, False)])
def test_a_quarter_is_the_limit(share: float, valid: bool) -> None:
    p50_ms = share * 2 * 8 / 2863.74 * 1000
    row = {**SOUND, "latency_p50_ms": f"{p50_ms:.6f}", "latency_p99_ms": "99"}
    assert result_of(only(row)).valid == valid


def test_shifted_columns_are_refused() -> None:
    reading = read(SOUND, rows.SHIFTED)
    (verdict,) = reading.refused
    assert verdict.where == "line 3"
    assert verdict.reason == "the columns are shifted: neuron_version reads 'Data Parallel'"
    assert len(reading.records) == 1


def test_a_footnote_in_the_version_flags_the_row_but_leaves_model_and_version_readable() -> None:
    record = only(rows.FOOTNOTE)
    (check,) = failed(record)
    assert (check.name, "2.13.0 *" in check.advice) == ("version_cell", True)
    assert record.sweep.spec.model.name == "roberta-base"
    assert result_of(record).environment.neuron_sdk == "2.13.0"


def test_a_version_of_two_numbers_is_that_of_three() -> None:
    environment = result_of(only({**SOUND, "neuron_version": "2.20"})).environment
    assert environment.neuron_sdk == "2.20.0"


def test_several_values_for_one_version_are_attempts_and_none_is_believed() -> None:
    reading = read(rows.SECOND_VALUE, rows.FIRST_VALUE)
    assert [record.attempt for record in reading.records] == [1, 2]
    assert [result_of(record).throughput_inf_per_s for record in reading.records] == [
        2144.41349977,
        2191.85482052,
    ]
    assert [check.name for record in reading.records for check in failed(record)] == ["one_value"] * 2
    assert all("2144.41, 2191.85" in verdict.reason for verdict in reading.flagged)
    assert reading.sweeps == 1


def test_a_row_that_repeats_another_is_refused_and_the_other_stays_valid() -> None:
    reading = read(SOUND, SOUND)
    assert (reading.taken, len(reading.flagged)) == (1, 0)
    assert [verdict.reason for verdict in reading.refused] == ["repeats line 2 to the last digit"]


def test_another_task_or_type_is_another_sweep() -> None:
    others = [
        {**SOUND, "task": "Sequence Classification"},
        {**SOUND, "model_dtype": "FP16"},
        {**SOUND, "table_kind": "latency"},
        {**SOUND, "instance_type": "inf2.48xlarge"},
        {**SOUND, "neuron_version": "2.26.0"},
        {**SOUND, "framework": "PyTorch 2.8"},
        {**SOUND, "sequence_length": "256"},
    ]
    reading = read(SOUND, *others)
    assert (reading.sweeps, reading.taken) == (8, 8)


def test_batch_sizes_of_one_table_are_one_sweep() -> None:
    reading = read(SOUND, {**SOUND, "batch_size": "16", "throughput": "2863.0", "latency_p50_ms": "11.1",
                           "latency_p99_ms": "12"})  # fmt: skip
    assert reading.sweeps == 1
    assert {record.sweep.spec.batch_sizes for record in reading.records} == {(8, 16)}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (rows.TOKENS, "throughput unit tokens/s: a measurement is in inferences/s"),
        (rows.IMAGES, "no text model: Image Classification"),
        (rows.TENSOR_PARALLEL, "run mode Tensor Parallel: not a model that fits one core or pipeline"),
        (rows.NO_LENGTH, "no sequence length: fill the cell in if you know it"),
        (rows.TAIL_BELOW_MEDIAN, "p99_ms 5.94 is below p50_ms 6"),
        ({**SOUND, "latency_p50_ms": ""}, "no P50: Little's law cannot be tried"),
        ({**SOUND, "sdk_tag_date": "", "first_seen_date": ""}, "no date: neither sdk_tag_date nor "),
        ({**SOUND, "throughput": "-1"}, "throughput: '-1' is not allowed; allowed: input should be greater"),
        (
            {**SOUND, "throughput": "nan"},
            "throughput: 'nan' is not allowed; allowed: input should be a finite",
        ),
        ({**SOUND, "throughput": ""}, "throughput is missing"),
        ({**SOUND, "batch_size": "2000"}, "batch_size: '2000' is not allowed"),
        ({**SOUND, "sequence_length": "4"}, "sequence_length: 4 is not allowed"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_the_reason(row: dict[str, str], reason: str) -> None:
    reading = read(row)
    (verdict,) = reading.refused
    assert verdict.reason.startswith(reason)
    assert reading.records == ()


def test_an_old_tables_words_tell_model_and_length_and_its_load_stays_unknown() -> None:
    record = only(rows.INF1)
    spec, result = record.sweep.spec, result_of(record)
    assert (spec.model.name, spec.model.sequence_length) == ("bert-base-uncased", 128)
    assert (result.replicas, result.workers, result.precision) == (None, None, None)
    assert result.environment.device == "Inferentia"
    assert result.valid


def test_fewer_batches_under_way_than_one_worker_has_are_impossible() -> None:
    assert not result_of(only({**rows.INF1, "throughput": "100"})).valid


def test_a_hub_id_in_parentheses_is_the_model() -> None:
    row = {**rows.INF1, "model": "BERT base (bert-base-cased)", "model_dtype": "fp32, sequence-length=128"}
    assert only(row).sweep.spec.model.name == "bert-base-cased"


@pytest.mark.parametrize(
    ("dtype", "autocast", "precision"),
    [("FP32", "Matmult-BF16", "bf16"), ("FP32", "None", "fp32"), ("bf16", "", "bf16"), ("fp32", "", None),
     ("FP16", "Matmult-BF16", None)],
)  # fmt: skip
def test_the_precision_is_named_only_where_the_cells_say_it(
    dtype: str, autocast: str, precision: str | None
) -> None:
    assert result_of(only({**SOUND, "model_dtype": dtype, "autocast": autocast})).precision == precision


def test_what_the_file_flags_itself_is_not_believed() -> None:
    (verdict,) = read({**SOUND, "quality_flag": "typed_by_hand"}).flagged
    assert verdict.reason == "The file flags it: typed_by_hand."


def test_ids_do_not_depend_on_the_figures_so_that_a_corrected_file_corrects_its_rows() -> None:
    corrected = {**SOUND, "throughput": "2864.00"}
    assert only(SOUND).sweep.sweep_id == only(corrected).sweep.sweep_id


def test_ids_never_change_between_versions() -> None:
    assert str(only(SOUND).sweep.sweep_id) == "63eaa8f5-d1dd-5454-b08b-c2f0dcef00d1"


def test_another_header_is_refused() -> None:
    with pytest.raises(BadInput, match=r"one with batch_size, .*throughput_unit too"):
        read_published(["model,throughput\n", "a,1\n"])
