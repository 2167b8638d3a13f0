"""What is asked: bad input is refused in one sentence that names field, value and what is allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchlib.errors import BadInput
from benchlib.spec import MAX_BATCH_SIZE, CompileRequest, LoadSpec, ModelSpec, SweepSpec, parse_batch_sizes

MODEL = ModelSpec(name="config:bert-tiny")


@pytest.mark.parametrize(
    ("asked", "sizes"),
    [
        ("4", (4,)),
        ("1,2,4", (1, 2, 4)),
        ("1-4", (1, 2, 3, 4)),
        ("8, 1-2", (1, 2, 8)),
        ([1, "8", 2], (1, 2, 8)),  # Airflow's multi-select sends strings
        (str(MAX_BATCH_SIZE), (MAX_BATCH_SIZE,)),
    ],
)
def test_batch_sizes_are_read(asked: object, sizes: tuple[int, ...]) -> None:
    assert parse_batch_sizes(asked) == sizes


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("0", "'0'"),
        ("-1", "'-1'"),
        ("abc", "'abc'"),
        ("1,1", "1"),
        ("1-3,2", "2"),
        ("1000000000", "'1000000000'"),
        (str(MAX_BATCH_SIZE + 1), f"'{MAX_BATCH_SIZE + 1}'"),
        ("9-3", "'9-3'"),
        ("", "''"),
        ("1,,2", "''"),
        ([], "[]"),
        ([2.0], "2.0"),
        ([True], "True"),
        (4, "4"),
        ("٣", "'٣'"),  # a digit elsewhere, not one here
    ],
)
def test_bad_batch_sizes_are_refused_by_name(asked: object, named: str) -> None:
    with pytest.raises(BadInput) as refusal:
        parse_batch_sizes(asked)
    sentence = str(refusal.value)
    assert sentence.startswith(
        f"batch_sizes: {named} is not allowed; allowed: distinct whole numbers from 1 to"
    )
    assert "\n" not in sentence


@given(st.sets(st.integers(1, MAX_BATCH_SIZE), min_size=1, max_size=20))
def test_any_set_of_sizes_survives_a_round_trip_as_text(sizes: set[int]) -> None:
    assert parse_batch_sizes(",".join(map(str, sizes))) == tuple(sorted(sizes))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"batch_sizes": "0"}, "batch_sizes"),
        ({"model": {"name": ""}}, "model"),
        ({"model": {"name": "x", "sequence_length": 4}}, "model.sequence_length"),
        ({"load": {"rounds": 0}}, "load.rounds"),
        ({"load": {"replicas": "many"}}, "load.replicas"),
        ({"precision": "fp8"}, "precision"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_validation_error_becomes_one_sentence(fields: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as error:
        SweepSpec.model_validate({"model": {"name": "config:bert-tiny"}, "batch_sizes": "1", **fields})
    sentence = str(BadInput.from_validation(error.value))
    assert sentence.startswith(field)
    assert "\n" not in sentence


def test_specs_survive_json() -> None:
    sweep = SweepSpec(
        model=MODEL, batch_sizes="1-3", load=LoadSpec(replicas=12, workers=12), label="SDK 2.31"
    )
    assert SweepSpec.model_validate_json(sweep.model_dump_json()) == sweep


def test_a_request_of_another_format_is_refused() -> None:
    request = CompileRequest(model=MODEL, batch_size=4, artifact_url="file:///a").model_dump()
    with pytest.raises(ValidationError):
        CompileRequest.model_validate(request | {"format_version": 2})


@pytest.mark.parametrize(
    ("scenario", "load", "field"),
    [
        ("single_stream", {"workers": 2}, "workers"),
        ("single_stream", {"replicas": 2}, "replicas"),
        ("server", {}, "scenario"),
        ("offline", {"target_batches_per_s": 10}, "target_batches_per_s"),
    ],
)
def test_a_load_that_the_scenario_cannot_have_is_refused(
    scenario: str, load: dict[str, object], field: str
) -> None:
    sweep = {"model": {"name": "config:tiny"}, "batch_sizes": "1", "scenario": scenario, "load": load}
    with pytest.raises(ValidationError) as caught:
        SweepSpec.model_validate(sweep)
    complaint = caught.value.errors()[0]["ctx"]["error"]
    assert isinstance(complaint, BadInput)
    assert complaint.field == field
