"""Named settings of a sweep, and whether a result is near what AWS published for the same workload.

A profile is not stored: it stands for parameters, which are. Both planes may import this module.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from benchlib.errors import BadInput
from benchlib.results import Check, Measurement
from benchlib.spec import ModelSpec

NO_PARAMETERS: Final[Mapping[str, Any]] = {}

OLD_DEFAULT_FLAGS = (
    "--target", "inf2", "--model-type", "generic", "--auto-cast", "matmult", "--auto-cast-type", "bf16",
    "--optlevel", "2",
)  # fmt: skip
"""What neuronx-cc did without any flag up to SDK 2.26. Neither workload below named one, and AWS labels its
figures Matmult-BF16, those of SDK 2.27 too."""


@dataclass(frozen=True)
class Profile:
    """Parameters under one name."""

    name: str
    purpose: str
    params: Mapping[str, Any]
    """As they are typed: flat, see `benchlib.orchestration.sweep_params`."""
    neuron_params: Mapping[str, Any]
    """More of them, for the backend neuron alone: no other takes the flags of its compiler."""


PROFILES: tuple[Profile, ...] = (
    Profile(
        "tutorial",
        "AWS's BERT tutorial on twelve cores: the workload that this project began with.",
        {
            "model": "bert-base-cased-finetuned-mrpc",
            "sequence_length": 128,
            "batch_sizes": list(range(1, 11)),
            "replicas": 12,
            "workers": 12,
            "batches_per_worker": 1000,
        },
        {"compiler_args": list(OLD_DEFAULT_FLAGS)},
    ),
    Profile(
        "aws-published",
        "What AWS's published encoder figures were made with: the bare network, two inputs of zeros, two "
        "replicas with one worker each.",
        {
            "model": "bert-base-uncased",
            "head": "encoder",
            "inputs": "zeros_int32",
            "sequence_length": 128,
            "batch_sizes": [1, 8],
            "replicas": 2,
            "workers": 2,
        },
        {"compiler_args": list(OLD_DEFAULT_FLAGS)},
    ),
)
"""AWS's script returns an encoder's pooled output too; here it is left out, one matrix of 768 by 768 for one
token of each sequence."""

NAMES = tuple(profile.name for profile in PROFILES)


def expand(
    name: str | None, params: Mapping[str, Any], defaults: Mapping[str, Any] = NO_PARAMETERS
) -> dict[str, Any]:
    """The parameters with those of a profile beneath them; without a name they stay as they are.

    Args:
        name: of a profile.
        params: flat parameters. The backend should be among them: it decides about compiler flags.
        defaults: where ``params`` are complete, as from a form, what they are when nobody touches them. Who
            leaves a parameter at its default gets the profile's.

    Raises:
        BadInput: there is no such profile.
    """
    if name is None:
        return dict(params)
    profile = next((profile for profile in PROFILES if profile.name == name), None)
    if profile is None:
        raise BadInput("profile", name, ", ".join(NAMES))
    settings = {**profile.params, **(profile.neuron_params if params.get("backend") == "neuron" else {})}
    given = {key: value for key, value in params.items() if key not in defaults or value != defaults[key]}
    return {**params, **settings, **given}


PUBLISHED = "aws_published_encoders.csv"
"""Rows of ``about-neuron/benchmarks/inf2/*.csv`` in github.com/aws-neuron/aws-neuron-sdk, every release that
had them; ``source_commit`` is the commit that first published the row. All are labelled FP32 weights,
Matmult-BF16, task "Raw Output (AutoModel)", sequence length 128, data parallel. Left out are rows that
contradict themselves by Little's law. Single values: AWS publishes no spread."""

FAR = 0.25
"""Relative distance from the published range that no change of speed between releases has come near: one
published figure lies at most 0.061 (throughput) or 0.099 (P50) outside the range of the others of its series
(78 figures in the 11 series here that have three or more)."""

_PREFIX = re.compile(r"^(config:|google-bert/|distilbert/)")
"""Names of the published networks have none; the hub's present owners and seeded weights change no speed."""

WORKERS = 2
"""AWS's script drives each of an inf2.xlarge's two cores with one worker."""


class PublishedFigure(BaseModel):
    """One row of AWS's tables."""

    model_config = ConfigDict(frozen=True)

    model: str
    instance_type: str
    batch_size: int
    neuron_sdk: str
    throughput_inf_per_s: float
    p50_ms: float
    source_file: str
    source_commit: str


@lru_cache
def published_figures() -> tuple[PublishedFigure, ...]:
    """All rows that come with this project."""
    text = resources.files("benchlib").joinpath("data", PUBLISHED).read_text()
    return tuple(PublishedFigure.model_validate(row) for row in csv.DictReader(text.splitlines()))


def sanity_check(model: ModelSpec, measurement: Measurement) -> Check | None:
    """Whether a result of an Inferentia2 is near what AWS published for the same workload.

    ``None`` where AWS published nothing that it could be held against: no accelerator, another load, model,
    batch size or instance type. A result outside the published range says so; one that is `FAR` outside
    fails: another program, another load or a disturbed host is likelier than a new speed.
    """
    if not _is_their_workload(model, measurement):
        return None
    key = (_PREFIX.sub("", model.name), measurement.environment.instance_type, measurement.batch_size)
    rows = [row for row in published_figures() if (row.model, row.instance_type, row.batch_size) == key]
    return _judge(measurement, rows) if rows else None


def _is_their_workload(model: ModelSpec, measurement: Measurement) -> bool:
    asked = (model.head, model.inputs, model.sequence_length, measurement.precision)
    load = (measurement.scenario, measurement.replicas, measurement.workers)
    is_theirs = asked == ("encoder", "zeros_int32", 128, "bf16") and load == ("offline", WORKERS, WORKERS)
    return is_theirs and measurement.environment.hardware and measurement.backend == "neuron"


def _judge(measurement: Measurement, rows: Sequence[PublishedFigure]) -> Check:
    found, p50_ms = measurement.throughput_inf_per_s, measurement.latency.p50_ms
    published = [row.throughput_inf_per_s for row in rows]
    distance = _outside(found, published)
    p50_distance = _outside(p50_ms, [row.p50_ms for row in rows]) if p50_ms else 0.0
    passed = max(distance, p50_distance) <= FAR
    nearest = _nearest(rows, measurement.environment.neuron_sdk)
    sentences = (
        f"AWS published {min(published):,.1f} to {max(published):,.1f} inf/s for this workload: "
        f"{found:,.1f} inf/s is {f'{distance:.1%} outside' if distance else 'within'}.",
        f"The P50 of {p50_ms:.2f} ms is {p50_distance:.1%} outside theirs." if p50_distance else "",
        f"SDK {nearest.neuron_sdk}, the nearest there, has {nearest.throughput_inf_per_s:,.1f} inf/s and a "
        f"P50 of {nearest.p50_ms:.2f} ms: this is {found / nearest.throughput_inf_per_s - 1:+.1%}.",
        "" if passed else "So far off is rather another program, another load or a disturbed host.",
    )
    return Check(
        name="published_band",
        passed=passed,
        figure=max(distance, p50_distance),
        limit=FAR,
        unit="relative distance",
        advice=" ".join(filter(None, sentences)),
    )


def _outside(value: float, published: Sequence[float]) -> float:
    """How far a value lies outside a range, relative to the limit that it passes; 0 within."""
    low, high = min(published), max(published)
    return max(1 - value / low, value / high - 1, 0.0)


def _nearest(rows: Sequence[PublishedFigure], sdk: str | None) -> PublishedFigure:
    """The row of this release, else of the last one before, else the oldest; for no release the newest."""
    ordered = sorted(rows, key=lambda row: _release(row.neuron_sdk))
    before = [row for row in ordered if sdk is None or _release(row.neuron_sdk) <= _release(sdk)]
    return before[-1] if before else ordered[0]


def _release(sdk: str) -> tuple[int, ...]:
    return tuple(int(part) for part in sdk.split("."))
