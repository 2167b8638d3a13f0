"""The flat parameters that people type (a form, REST, options) and the `SweepSpec` that they stand for.

Limits and descriptions come from the specification alone, so the form, the API and the command line can
neither drift from it nor from one another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from benchlib.errors import BadInput
from benchlib.spec import BATCH_SIZES_ALLOWED, MAX_BATCH_SIZE, CompileRequest, SweepSpec

_PLACES: Mapping[str, tuple[str, ...]] = {
    "model": ("model", "name"),
    "revision": ("model", "revision"),
    "sequence_length": ("model", "sequence_length"),
    "seed": ("model", "seed"),
    "head": ("model", "head"),
    "inputs": ("model", "inputs"),
    "batch_sizes": ("batch_sizes",),
    "backend": ("backend",),
    "precision": ("precision",),
    "compiler_args": ("compiler_args",),
    "scenario": ("scenario",),
    "replicas": ("load", "replicas"),
    "workers": ("load", "workers"),
    "worker_mode": ("load", "worker_mode"),
    "stop": ("load", "stop"),
    "batches_per_worker": ("load", "batches_per_worker"),
    "rounds": ("load", "rounds"),
    "duration_s": ("load", "duration_s"),
    "relative_half_width": ("load", "relative_half_width"),
    "warmup": ("load", "warmup"),
    "warmup_batches": ("load", "warmup_batches"),
    "target_batches_per_s": ("load", "target_batches_per_s"),
    "latency_limit_ms": ("load", "latency_limit_ms"),
    "arrival_seed": ("load", "arrival_seed"),
    "interleave": ("load", "interleave"),
    "interpreter": ("interpreter",),
    "label": ("label",),
    "note": ("note",),
}
"""Where each parameter belongs in a `SweepSpec`."""

PARAMETERS = tuple(_PLACES)
"""The names of all parameters."""

_SCHEMA = SweepSpec.model_json_schema()
_COMPILE_FIELDS = CompileRequest.model_json_schema()["properties"]
_FORM_BATCH_SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 24, 32, 48, 64, 128)


def sweep_spec(params: Mapping[str, Any]) -> SweepSpec:
    """The specification that flat parameters stand for; those left out have their defaults.

    Raises:
        BadInput: names the parameter, its value and what is allowed; an unknown parameter too.
    """
    nested: dict[str, Any] = {"model": {}, "load": {}}
    for name, value in params.items():
        if name not in _PLACES:
            raise BadInput("parameter", name, f"one of {', '.join(_PLACES)}")
        *parents, leaf = _PLACES[name]
        (nested[parents[0]] if parents else nested)[leaf] = value
    try:
        return SweepSpec.model_validate(nested)
    except ValidationError as error:
        raise _complaint(error) from error


def flat_params(spec: SweepSpec) -> dict[str, Any]:
    """The flat parameters of a specification, ready for JSON; `sweep_spec` reads them back."""
    nested = spec.model_dump(mode="json")
    return {name: _lookup(nested, place) for name, place in _PLACES.items()}


def describe(name: str) -> str:
    """What the parameter is for, in the specification's words."""
    said_of_a_compilation = _COMPILE_FIELDS.get(name, {}).get("description", "")
    return str(_schema(name).get("description", said_of_a_compilation))


def form_schema(name: str) -> dict[str, Any]:
    """The JSON schema with which Airflow's form and API check this parameter."""
    schema = _schema(name)
    if name == "batch_sizes":
        # `examples` makes the form a multi-select, which sends what was picked as strings.
        size = {"type": "integer", "minimum": 1, "maximum": MAX_BATCH_SIZE}
        text = {"type": "string", "pattern": "^[0-9]{1,4}(-[0-9]{1,4})?$"}
        return {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [size, text]},
            "examples": list(_FORM_BATCH_SIZES),
        }
    if _number_or_auto(schema):
        # One text field in the form: what it sends is always a string.
        return {"type": ["string", "integer"], "pattern": "^(auto|[1-9][0-9]{0,3})$"} | _limits(schema)
    if "anyOf" in schema:
        wanted = _unless_null(schema)
        return {**wanted, "type": ["null", wanted["type"]]}
    return {key: value for key, value in schema.items() if key not in ("title", "description", "default")}


def allowed(name: str) -> str:
    """What may be given for the parameter, as the end of a sentence."""
    schema = _schema(name)
    if name == "batch_sizes":
        return BATCH_SIZES_ALLOWED
    if schema.get("type") == "boolean":
        return "true or false"
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    if _unless_null(schema).get("type") == "number":
        above, most = (_unless_null(schema)[key] for key in ("exclusiveMinimum", "maximum"))
        return f"a number above {above:.10g}, at most {most:.10g}"
    limits = _limits(schema)
    if limits:
        whole = f"a whole number from {limits['minimum']} to {limits['maximum']}"
        return f"{whole}, or auto" if _number_or_auto(schema) else whole
    if schema.get("type") == "array":
        return "a list of texts"
    longest = form_schema(name).get("maxLength")
    return f"text of at most {longest} characters" if longest else describe(name) or "text"


def _complaint(error: ValidationError) -> BadInput:
    own_words = error.errors()[0].get("ctx", {}).get("error")
    if isinstance(own_words, BadInput):
        return own_words
    first = BadInput.from_validation(error)
    for name, place in _PLACES.items():
        if (first.field + ".").startswith(".".join(place) + "."):
            return BadInput(name, first.value, allowed(name))
    return first


def _schema(name: str) -> Mapping[str, Any]:
    *parents, leaf = _PLACES[name]
    owner: Mapping[str, Any] = _SCHEMA
    if parents:
        owner = _SCHEMA["$defs"][owner["properties"][parents[0]]["$ref"].rsplit("/", 1)[1]]
    found: Mapping[str, Any] = owner["properties"][leaf]
    return found


def _unless_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a value must be that is not null."""
    return next((part for part in schema.get("anyOf", ()) if part.get("type") != "null"), schema)


def _number_or_auto(schema: Mapping[str, Any]) -> bool:
    return any(part.get("const") == "auto" for part in schema.get("anyOf", ()))


def _limits(schema: Mapping[str, Any]) -> dict[str, int]:
    for part in (schema, *schema.get("anyOf", ())):
        if part.get("type") == "integer":
            highest = part["maximum"] if "maximum" in part else part["exclusiveMaximum"] - 1
            return {"minimum": part["minimum"], "maximum": highest}
    return {}


def _lookup(nested: Mapping[str, Any], place: tuple[str, ...]) -> Any:
    value: Any = nested
    for key in place:
        value = value[key]
    return value
