"""The sweeps that a deployment runs, declared in one YAML file: each entry becomes a DAG.

An entry has a ``name`` (the DAG's id), a ``queue`` and a ``pool`` (the class of hosts that runs it), a
``schedule`` and, beside them, any parameter of a sweep or a ``profile``: the defaults of the DAG's form::

    sweeps:
      - name: bert_base_inf2
        queue: inf2
        schedule: "0 2 * * *"
        model: bert-base-uncased
        batch_sizes: 1-10
        latency_limit_ms: 5
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from croniter import croniter
from pydantic import Field, ValidationError, field_validator

from benchlib.errors import BadInput
from benchlib.orchestration.names import DAG_ID, DEVICE_POOL, DEVICE_QUEUE
from benchlib.orchestration.sweep_params import flat_params, sweep_spec
from benchlib.profiles import expand
from benchlib.spec import Spec

NIGHTLY = "0 2 * * *"
NO_DEFAULTS: Mapping[str, Any] = {}
SCHEDULE_ALLOWED = "a cron expression of five fields such as '0 2 * * *', or null for none"


class SweepDeclaration(Spec):
    """One entry: when and where a sweep runs."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,199}$")
    queue: str = Field(DEVICE_QUEUE, min_length=1, max_length=250)
    pool: str = Field(DEVICE_POOL, min_length=1, max_length=250)
    schedule: str | None = NIGHTLY
    params: Mapping[str, Any] = Field({}, description="Flat parameters, complete.")

    @field_validator("schedule")
    @classmethod
    def _check_schedule(cls, schedule: str | None) -> str | None:
        if schedule is not None and (len(schedule.split()) != 5 or not croniter.is_valid(schedule)):
            raise BadInput("schedule", schedule, SCHEDULE_ALLOWED)
        return schedule


@dataclass(frozen=True)
class Declarations:
    """What a file declares: the good entries, and one sentence for each bad one."""

    sweeps: tuple[SweepDeclaration, ...] = ()
    errors: tuple[str, ...] = ()


def read_declarations(path: Path, defaults: Mapping[str, Any] = NO_DEFAULTS) -> Declarations:
    """Read the file; one that is not there declares nothing. Never raises: a bad entry must stop no other.

    ``defaults`` are parameters of an entry that it leaves out; the specification has the rest.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return Declarations()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return Declarations(errors=(f"{path.name}: not readable as YAML: {' '.join(str(error).split())}",))
    entries = content.get("sweeps") if isinstance(content, dict) else None
    if not isinstance(entries, list) or set(content) != {"sweeps"}:
        return Declarations(errors=(f"{path.name}: must have one key, `sweeps`, with a list of entries",))
    return _read_entries(path, entries, defaults)


def _read_entries(path: Path, entries: list[Any], defaults: Mapping[str, Any]) -> Declarations:
    sweeps: dict[str, SweepDeclaration] = {}
    errors = []
    for number, entry in enumerate(entries, 1):
        try:
            sweep = _read_entry(entry, defaults, taken={*sweeps, DAG_ID})
            sweeps[sweep.name] = sweep
        except BadInput as error:
            named = entry.get("name", "without a name") if isinstance(entry, dict) else "not a mapping"
            errors.append(f"{path.name}, entry {number} ({named}): {error}")
    return Declarations(tuple(sweeps.values()), tuple(errors))


def _read_entry(entry: object, defaults: Mapping[str, Any], taken: set[str]) -> SweepDeclaration:
    if not isinstance(entry, dict) or not all(isinstance(key, str) for key in entry):
        raise BadInput("entry", entry, "a mapping with name, schedule and parameters of a sweep")
    own = {key: value for key, value in entry.items() if key in SweepDeclaration.model_fields}
    own.pop("params", None)
    if own.get("name") in taken:
        raise BadInput("name", own["name"], "a name that no other entry has, nor the DAG of the form")
    asked = {key: value for key, value in entry.items() if key not in own}
    try:
        asked = expand(asked.pop("profile", None), {**defaults, **asked}, defaults)
        return SweepDeclaration.model_validate({**own, "params": flat_params(sweep_spec(asked))})
    except ValidationError as error:
        raise BadInput.from_validation(error) from error
