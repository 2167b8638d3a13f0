"""The flat parameters of a comparison (a form, REST, options) and the `ComparisonSpec` that they stand for.

What a turn measures has the parameters of a sweep, with their limits and descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from benchlib.errors import BadInput
from benchlib.experiments import ComparisonSpec
from benchlib.orchestration import sweep_params
from benchlib.orchestration.sweep_params import sweep_spec

OWN: Mapping[str, str] = {
    "old_interpreter": "old",
    "new_interpreter": "new",
    "pairs": "pairs",
    "max_pairs": "max_pairs",
    "min_effect": "min_effect",
    "p99_min_effect": "p99_min_effect",
}
"""Parameter to field of a `ComparisonSpec`."""

OF_A_TURN = (
    "model",
    "revision",
    "sequence_length",
    "batch_sizes",
    "precision",
    "seed",
    "head",
    "inputs",
    "backend",
    "compiler_args",
    "scenario",
    "replicas",
    "workers",
    "worker_mode",
    "batches_per_worker",
    "rounds",
    "warmup",
    "warmup_batches",
    "interleave",
    "label",
    "note",
)
"""The parameters of a sweep that a comparison has too."""

PARAMETERS = (*OWN, *OF_A_TURN)

TURN: Mapping[str, Any] = {"rounds": 1, "batches_per_worker": 400}
"""Defaults of a turn: short, as many turns say more than long ones; 368 batches make a P99."""

_PYTHON = "a Python of the data plane or the directory of its virtual environment; auto: the worker's own"
_FIELDS = ComparisonSpec.model_json_schema()["properties"]


def comparison_spec(params: Mapping[str, Any]) -> ComparisonSpec:
    """The specification that flat parameters stand for; those left out have their defaults.

    Raises:
        BadInput: names the parameter, its value and what is allowed; an unknown parameter too.
    """
    for name in params:
        if name not in PARAMETERS:
            raise BadInput("parameter", name, f"one of {', '.join(PARAMETERS)}")
    turn = {**TURN, **{name: params[name] for name in OF_A_TURN if name in params}}
    own = {field: params[name] for name, field in OWN.items() if name in params}
    sweep = sweep_spec(turn)
    try:
        return ComparisonSpec.model_validate({"sweep": sweep, **own})
    except ValidationError as error:
        raise _complaint(error) from error


def flat_params(spec: ComparisonSpec) -> dict[str, Any]:
    """The flat parameters of a specification, ready for JSON; `comparison_spec` reads them back."""
    of_sweep = sweep_params.flat_params(spec.sweep)
    own = spec.model_dump(mode="json", exclude={"sweep"})
    return {name: own[field] for name, field in OWN.items()} | {name: of_sweep[name] for name in OF_A_TURN}


def describe(name: str) -> str:
    """What the parameter is for."""
    return str(_FIELDS[OWN[name]]["description"]) if name in OWN else sweep_params.describe(name)


def form_schema(name: str) -> dict[str, Any]:
    """The JSON schema with which Airflow's form and API check this parameter."""
    if name not in OWN:
        return _of_a_comparison(name, sweep_params.form_schema(name))
    kept = ("type", "minimum", "maximum", "exclusiveMinimum", "minLength")
    return {key: value for key, value in _FIELDS[OWN[name]].items() if key in kept}


def allowed(name: str) -> str:
    """What may be given for the parameter, as the end of a sentence."""
    if name not in OWN:
        return sweep_params.allowed(name)
    schema = _FIELDS[OWN[name]]
    if schema["type"] == "string":
        return _PYTHON
    if schema["type"] == "integer":
        return f"a whole number from {schema['minimum']} to {schema['maximum']}"
    return f"a number above {schema['exclusiveMinimum']:.10g}, at most {schema['maximum']:.10g}"


def _of_a_comparison(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    if name != "scenario":
        return schema
    return {**schema, "enum": [each for each in schema["enum"] if each != "server"]}


def _complaint(error: ValidationError) -> BadInput:
    own_words = error.errors()[0].get("ctx", {}).get("error")
    if isinstance(own_words, BadInput):
        return own_words
    first = BadInput.from_validation(error)
    for name, field in OWN.items():
        if first.field == field:
            return BadInput(name, first.value, allowed(name))
    return first
