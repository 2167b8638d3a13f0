from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from benchlib.errors import BadInput
from benchlib.orchestration.sweep_params import PARAMETERS, allowed, flat_params, form_schema, sweep_spec
from benchlib.spec import LoadSpec, SweepSpec

GIVEN: dict[str, Any] = {"model": "config:tiny", "batch_sizes": [1, 2]}


def test_every_field_of_a_sweep_can_be_given_but_the_only_scenario() -> None:
    own = set(SweepSpec.model_fields) - {"model", "load", "scenario"}
    model = {"model", "revision", "sequence_length", "seed"}
    assert set(PARAMETERS) == own | model | set(LoadSpec.model_fields)


def test_flat_parameters_are_read_back() -> None:
    spec = sweep_spec(
        {
            **GIVEN,
            "batch_sizes": "1-3,8",
            "sequence_length": 64,
            "workers": "12",
            "compiler_args": ["--optlevel", "2"],
            "note": "why",
        }
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
