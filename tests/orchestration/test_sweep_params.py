from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from benchlib.errors import BadInput
from benchlib.orchestration.sweep_params import PARAMETERS, allowed, flat_params, form_schema, sweep_spec
from benchlib.spec import LoadSpec, ModelSpec, SweepSpec

GIVEN: dict[str, Any] = {"model": "config:tiny", "batch_sizes": [1, 2]}


def test_every_field_of_a_sweep_can_be_given() -> None:
    own = set(SweepSpec.model_fields) - {"model", "load"}
    model = set(ModelSpec.model_fields) - {"name"} | {"model"}
    assert set(PARAMETERS) == own | model | set(LoadSpec.model_fields)


def test_flat_parameters_are_read_back() -> None:
    spec = sweep_spec(
        {
            **GIVEN,
            "batch_sizes": "1-3,8",
            "sequence_length": 64,
            "workers": "12",
            "compiler_args": ["--optlevel", "2"],
            "head": "encoder",
            "scenario": "server",
            "worker_mode": "native",
            "stop": "duration",
            "relative_half_width": "0.01",
            "duration_s": "90",
            "latency_limit_ms": "12.5",
            "note": "why",
        }
    )
    assert (spec.scenario, spec.load.worker_mode, spec.load.stop) == ("server", "native", "duration")
    assert (spec.load.relative_half_width, spec.load.duration_s, spec.load.latency_limit_ms) == (
        0.01,
        90,
        12.5,
    )
    assert (spec.batch_sizes, spec.model.sequence_length, spec.load.workers) == ((1, 2, 3, 8), 64, 12)
    assert sweep_spec(flat_params(spec)) == spec


def test_what_a_multi_select_sends_is_understood() -> None:
    assert sweep_spec({**GIVEN, "batch_sizes": ["8", "1", 4]}).batch_sizes == (1, 4, 8)


@pytest.mark.parametrize(
    ("name", "value", "limits"),
    [
        ("rounds", 0, "a whole number from 1 to 1000"),
        ("rounds", None, "a whole number from 1 to 1000"),
        ("seed", 2**32, "a whole number from 0 to 4294967295"),
        ("workers", "many", "a whole number from 1 to 1024, or auto"),
        ("replicas", 0, "a whole number from 1 to 1024, or auto"),
        ("precision", "fp8", "one of auto, fp32, bf16"),
        ("scenario", "multi_stream", "one of offline, single_stream, server"),
        ("stop", "never", "one of rounds, duration, precision"),
        ("worker_mode", "fiber", "one of auto, thread, process, native"),
        ("duration_s", 0, "a number above 0, at most 86400"),
        ("duration_s", None, "a number above 0, at most 86400"),
        ("relative_half_width", "1 %", "a number above 0, at most 0.5"),
        ("latency_limit_ms", "-1", "a number above 0, at most 3600000"),
        ("target_batches_per_s", "nan", "a number above 0, at most 10000000"),
        ("interleave", "maybe", "true or false"),
        ("arrival_seed", 2**32, "a whole number from 0 to 4294967295"),
        ("label", "x" * 201, "text of at most 200 characters"),
        ("model", "", "a hub id"),
        ("batch_sizes", "4-1", "distinct whole numbers"),
        ("batch_sizes", [], "distinct whole numbers"),
        ("batch_sizes", [2, "1-3"], "named twice"),
        ("compiler_args", "-O2", "a list of texts"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, value: object, limits: str) -> None:
    with pytest.raises(BadInput) as caught:
        sweep_spec({**GIVEN, name: value})
    assert caught.value.field == name
    assert limits in caught.value.allowed


@pytest.mark.parametrize(
    ("load", "field", "limits"),
    [
        ({"scenario": "server"}, "scenario", "or with latency_limit_ms to search the rate"),
        ({"target_batches_per_s": 5}, "target_batches_per_s", "none outside the scenario server"),
        ({"scenario": "server", "stop": "precision"}, "stop", "rounds or duration in the scenario server"),
        ({"scenario": "single_stream", "workers": "2"}, "workers", "1 or auto in the scenario single_stream"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(
    load: dict[str, Any], field: str, limits: str
) -> None:
    with pytest.raises(BadInput) as caught:
        sweep_spec({**GIVEN, **load})
    assert caught.value.field == field
    assert limits in caught.value.allowed


def test_an_unknown_parameter_is_never_ignored() -> None:
    with pytest.raises(BadInput, match=r"parameter: 'batchsizes' is not allowed; allowed: one of model, "):
        sweep_spec({**GIVEN, "batchsizes": "1"})


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("batch_sizes", [[1, 2], ["8", 4], ["1-10"]], [[0], ["x"], [], "1-10", [True, "1"], [1025]]),
        ("workers", ["auto", "12", 12], ["all", 0, "0", 1025]),
        ("rounds", [1, 1000], [0, 1001, "3", 1.5]),
        ("precision", ["auto", "bf16"], ["fp8", None]),
        ("revision", [None, "main"], [3]),
        ("label", [None, "SDK 2.31"], ["x" * 201]),
        ("compiler_args", [[], ["-O2"]], ["-O2"]),
        ("scenario", ["offline", "single_stream"], ["multi_stream", None]),
        ("duration_s", [1, 0.5, 86400], [0, -1, 86401, None, "60"]),
        ("relative_half_width", [0.005, 0.5], [0, 0.51]),
        ("latency_limit_ms", [None, 20, 0.5, 3.6e6], [0, 3.7e6, "20"]),
        ("target_batches_per_s", [None], [0, 1e8, "none"]),
        ("interleave", [True, False], ["true", 1, None]),
        ("arrival_seed", [0, 2**32 - 1], [-1, 2**32, 0.5]),
    ],
)
def test_the_form_takes_what_the_specification_takes(name: str, good: list[Any], bad: list[Any]) -> None:
    check = jsonschema.Draft202012Validator(form_schema(name)).is_valid
    assert [value for value in good if not check(value)] == []
    assert [value for value in bad if check(value)] == []
    for value in good:
        sweep_spec({**GIVEN, name: value})


def test_every_parameter_says_what_is_allowed() -> None:
    assert [name for name in PARAMETERS if not allowed(name)] == []
