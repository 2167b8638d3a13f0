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

The schedule is read in UTC. An entry with the name ``inf2_batch_sweep`` gives the DAG of the form its
schedule (``null``: none) and its defaults.

``fail_on_change: true`` turns a run red when a loss is confirmed in it.

Whom to tell when a run fails or a night is missing stands in the list ``notify``: beside ``sweeps`` for all
DAGs of the deployment, in an entry for that sweep alone (see `benchlib.orchestration.notify`)::

    notify: ["smtp:bench_mail:perf@example.com", "slack:bench_slack:#performance"]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from croniter import CroniterBadDateError, croniter
from pydantic import Field, ValidationError, field_validator

from benchlib.errors import BadInput
from benchlib.orchestration.names import DAG_ID, DEVICE_POOL, DEVICE_QUEUE
from benchlib.orchestration.notify import ALLOWED, Channel, parse_channel
from benchlib.orchestration.sweep_params import flat_params, sweep_spec
from benchlib.profiles import expand
from benchlib.spec import Spec

NIGHTLY = "0 2 * * *"
NO_DEFAULTS: Mapping[str, Any] = {}
FORM_DEFAULTS: Mapping[str, Any] = {"model": "bert-base-uncased", "batch_sizes": "1-10"}
"""Of the DAG of the form, and of what an entry leaves out; the specification has the rest."""

SWEEPS_FILE = "sweeps.yaml"
SCHEDULE_ALLOWED = "a cron expression of five fields such as '0 2 * * *', or null for none"


class SweepDeclaration(Spec):
    """One entry: when and where a sweep runs."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,199}$")
    queue: str = Field(DEVICE_QUEUE, min_length=1, max_length=250)
    pool: str = Field(DEVICE_POOL, min_length=1, max_length=250)
    schedule: str | None = NIGHTLY
    notify: tuple[Channel, ...] | None = Field(None, description="None: whom the whole file names.")
    fail_on_change: bool = Field(False, description="Turn a run red when a loss is confirmed in it.")
    params: Mapping[str, Any] = Field({}, description="Flat parameters, complete.")

    @field_validator("schedule")
    @classmethod
    def _check_schedule(cls, schedule: str | None) -> str | None:
        if schedule is not None and not _is_schedule(schedule):
            raise BadInput("schedule", schedule, SCHEDULE_ALLOWED)
        return schedule

    @field_validator("notify", mode="before")
    @classmethod
    def _check_notify(cls, notify: object) -> tuple[Channel, ...] | None:
        return None if notify is None else _channels(notify)


@dataclass(frozen=True)
class Declarations:
    """What a file declares: the good entries, and one sentence for each bad one."""

    sweeps: tuple[SweepDeclaration, ...] = ()
    errors: tuple[str, ...] = ()
    notify: tuple[Channel, ...] = ()
    """Whom to tell of everything that has no channels of its own."""

    def notify_for(self, dag_id: str) -> tuple[Channel, ...]:
        """Whom to tell of this DAG."""
        own = next((sweep.notify for sweep in self.sweeps if sweep.name == dag_id), None)
        return self.notify if own is None else own


def _is_schedule(text: str) -> bool:
    if len(text.split()) != 5 or not croniter.is_valid(text):
        return False
    try:
        croniter(text, datetime.now(UTC)).get_next()
    except CroniterBadDateError:
        return False  # a day that never comes, such as 30 February
    return True


def deployed_sweeps(dags: Path, backend: str) -> Declarations:
    """All sweeps of a folder of DAGs: the one of the form, and those that its ``sweeps.yaml`` declares.

    An entry with the name of the form's DAG gives that its schedule and its defaults.
    """
    defaults = {**FORM_DEFAULTS, "backend": backend}
    declared = read_declarations(dags / SWEEPS_FILE, defaults)
    form = SweepDeclaration(name=DAG_ID, params=flat_params(sweep_spec(defaults)))
    own = next((sweep for sweep in declared.sweeps if sweep.name == DAG_ID), form)
    others = (sweep for sweep in declared.sweeps if sweep.name != DAG_ID)
    return replace(declared, sweeps=(own, *others))


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
    if not isinstance(content, dict) or not content or not set(content) <= {"sweeps", "notify"}:
        complaint = "must have the key `sweeps`, a list of entries, or `notify`, a list of channels, or both"
        return Declarations(errors=(f"{path.name}: {complaint}",))
    entries = content.get("sweeps", [])
    if not isinstance(entries, list):
        return Declarations(errors=(f"{path.name}: `sweeps` must be a list of entries",))
    return _read_entries(path, entries, defaults, _read_notify(path, content.get("notify", [])))


def _read_notify(path: Path, wanted: object) -> Declarations:
    """The file's own channels; one bad text costs none of the others."""
    channels, errors = [], []
    for text in wanted if isinstance(wanted, list) else [wanted]:
        try:
            channels.append(parse_channel(text))
        except BadInput as error:
            errors.append(f"{path.name}: {error}")
    return Declarations(errors=tuple(errors), notify=tuple(channels))


def _channels(wanted: object) -> tuple[Channel, ...]:
    if not isinstance(wanted, list):
        raise BadInput("notify", wanted, f"a list of channels, each as {ALLOWED}")
    return tuple(parse_channel(text) for text in wanted)


def _read_entries(
    path: Path, entries: list[Any], defaults: Mapping[str, Any], shared: Declarations
) -> Declarations:
    sweeps: dict[str, SweepDeclaration] = {}
    errors = [*shared.errors]
    for number, entry in enumerate(entries, 1):
        try:
            sweep = _read_entry(entry, defaults, taken=set(sweeps))
            sweeps[sweep.name] = sweep
        except BadInput as error:
            named = entry.get("name", "without a name") if isinstance(entry, dict) else "not a mapping"
            errors.append(f"{path.name}, entry {number} ({named}): {error}")
    return Declarations(tuple(sweeps.values()), tuple(errors), shared.notify)


def _read_entry(entry: object, defaults: Mapping[str, Any], taken: set[str]) -> SweepDeclaration:
    if not isinstance(entry, dict) or not all(isinstance(key, str) for key in entry):
        raise BadInput("entry", entry, "a mapping with name, schedule and parameters of a sweep")
    own = {key: value for key, value in entry.items() if key in SweepDeclaration.model_fields}
    own.pop("params", None)
    if own.get("name") in taken:
        raise BadInput("name", own["name"], "a name that no other entry has")
    asked = {key: value for key, value in entry.items() if key not in own}
    try:
        asked = expand(asked.pop("profile", None), {**defaults, **asked}, defaults)
        return SweepDeclaration.model_validate({**own, "params": flat_params(sweep_spec(asked))})
    except ValidationError as error:
        raise BadInput.from_validation(error) from error
