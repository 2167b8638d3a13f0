"""What pages and API accept: query strings and bodies, checked before anything reads them."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from benchlib.errors import BadInput
from benchlib.store.history import Metric
from benchlib.store.incidents import WANT_ATTENTION
from benchlib.store.judgements import OPEN, SETTLED, IncidentStatus

NAME_CHARS = 500
REASON_CHARS = 2000
MOST_LINES = 200
FARTHEST = 100_000


def _storable(text: str) -> str:
    """PostgreSQL keeps neither the character NUL nor half a character."""
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("text without the character NUL and without unpaired surrogates")
    return text


Name = Annotated[str, StringConstraints(max_length=NAME_CHARS), AfterValidator(_storable)]
Reason = Annotated[
    str,
    StringConstraints(min_length=1, max_length=REASON_CHARS, strip_whitespace=True),
    AfterValidator(_storable),
]
Night = Annotated[date, Field(ge=date(1970, 1, 1), le=date(2999, 12, 31))]
IncidentId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Which = Literal["attention", "open", "acknowledged", "settled", "recovered", "all"]


def check_single(request: Request) -> None:
    """Of a name that is given twice nobody could tell which value counts.

    Raises:
        BadInput: names it.
    """
    for name, times in Counter(key for key, _ in request.query_params.multi_items()).items():
        if times > 1:
            raise BadInput(name, f"{times} values", "one value")


class Asked(BaseModel):
    """A query string. What a form leaves empty was not asked; what nobody knows is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            return {name: value for name, value in data.items() if value != ""}
        return data


class OverviewAsked(Asked):
    """Of which configurations."""

    model: Name | None = Field(None, description="Only of this model")


class SweepsAsked(Asked):
    """Which sweeps."""

    model: Name | None = Field(None, description="Only of this model")
    origin: Literal["dag", "import"] | None = Field(
        None, description="dag: measured here; import: read from somebody's table"
    )
    since: Night | None = Field(None, description="First night (UTC), 1970 to 2999")
    until: Night | None = Field(None, description="Last night (UTC), 1970 to 2999")
    limit: int = Field(50, ge=1, le=MOST_LINES, description="At most so many")
    offset: int = Field(0, ge=0, le=FARTHEST, description="Leave out so many")


class SweepAsked(Asked):
    """Which sweep: by its id or run, or by DAG and run as Airflow knows them."""

    sweep: Name | None = None
    dag: Name | None = None
    run: Name | None = None


class SeriesAsked(Asked):
    """Which series."""

    model: Name | None = Field(None, description="Only of this model")
    batch_size: int | None = Field(None, ge=1, le=2**31 - 1, description="Only of this batch size")
    instance_type: Name | None = Field(None, description="Only on this kind of machine")
    limit: int = Field(50, ge=1, le=MOST_LINES, description="At most so many")


class RangeAsked(Asked):
    """Which nights."""

    since: Night | None = Field(None, description="First night (UTC); default: the first of the series")
    until: Night | None = Field(None, description="Last night (UTC); default: today")


class HistoryAsked(RangeAsked):
    """Which series, what of it, which nights."""

    series: Annotated[Name, Field(pattern=r"^[0-9a-fA-F-]{1,36}$")] | None = Field(
        None, description="The beginning of a series' id"
    )
    model: Name | None = None
    metric: Metric = "throughput_inf_per_s"


class CompareAsked(Asked):
    """Which two sweeps, each by its run id or the beginning of its id; or which two SDKs."""

    a: Name | None = Field(None, description="The sweep to start from")
    b: Name | None = Field(None, description="The sweep to hold against it")
    series: Annotated[Name, Field(pattern=r"^[0-9a-fA-F-]{1,36}$")] | None = None
    sdk_a: Name | None = None
    sdk_b: Name | None = None


class CompareSdks(Asked):
    """Which two SDK versions of one configuration."""

    series: Annotated[Name, Field(pattern=r"^[0-9a-fA-F-]{1,36}$")] = Field(
        description="The beginning of the id of a series: all batch sizes of its configuration are compared"
    )
    sdk_a: Annotated[Name, StringConstraints(min_length=1)] = Field(description="The SDK to start from")
    sdk_b: Annotated[Name, StringConstraints(min_length=1)] = Field(description="The SDK to hold against it")


class CompareTwo(Asked):
    """Which two sweeps: each by its run id, or by the beginning of its id."""

    a: Annotated[Name, StringConstraints(min_length=1)] = Field(description="The sweep to start from")
    b: Annotated[Name, StringConstraints(min_length=1)] = Field(description="The sweep to hold against it")


class IncidentsAsked(Asked):
    """Which incidents."""

    status: Which = Field("attention", description="attention: open or acknowledged")
    model: Name | None = Field(None, description="Only of this model")
    muted: bool = Field(False, description="With those that somebody muted")
    limit: int = Field(20, ge=1, le=MOST_LINES, description="At most so many")

    @property
    def statuses(self) -> tuple[IncidentStatus, ...] | None:
        """The statuses that are meant; ``None``: any."""
        meant: dict[Which, tuple[IncidentStatus, ...] | None] = {
            "attention": WANT_ATTENTION,
            "open": OPEN,
            "acknowledged": ("acknowledged",),
            "settled": SETTLED,
            "recovered": ("recovered",),
            "all": None,
        }
        return meant[self.status]


class ChangesAsked(IncidentsAsked):
    """Which incidents, or the one."""

    incident: IncidentId | None = None


class BaselinesAsked(Asked):
    """Which baselines."""

    model: Name | None = Field(None, description="Only of this model")
    pinned: bool = Field(False, description="Only what a person pinned")
    limit: int = Field(50, ge=1, le=MOST_LINES, description="At most so many")


class Body(BaseModel):
    """A JSON document that somebody sends."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Judgement(Body):
    """Where an incident stands from now on."""

    status: Literal["acknowledged", "expected", "infra", "fixed", "wont_fix", "false_alarm", "reopened"]
    reason: Reason = Field(description="Why; kept with the author's name and the time")


class Pin(Body):
    """What series are judged against from now on."""

    first_sweep_id: uuid.UUID
    last_sweep_id: uuid.UUID | None = Field(None, description="Of a range; default: the first alone")
    series_ids: tuple[uuid.UUID, ...] = Field(
        (), max_length=MOST_LINES, description="Default: all series with a valid measurement in the sweep"
    )
    reason: Reason


class Withdrawal(Body):
    """Which pinned baselines no longer count."""

    sweep_id: uuid.UUID | None = Field(None, description="Where the range begins or ends with this sweep")
    series_ids: tuple[uuid.UUID, ...] = Field((), max_length=MOST_LINES, description="Default: of all series")
    reason: Reason
