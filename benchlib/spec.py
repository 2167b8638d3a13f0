"""What is asked: the sweep, and the two requests that cross into the data plane.

Every model here is frozen, refuses unknown fields and validates itself, so that the planes can trust a
request file. The field descriptions are the reference documentation of the settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from benchlib.errors import BadInput
from benchlib.results import ArtifactRef, Scenario

FORMAT_VERSION: Final = 1
"""Version of the request and result files. A reader refuses any other."""

MAX_BATCH_SIZE = 1024
BATCH_SIZES_ALLOWED = f"distinct whole numbers from 1 to {MAX_BATCH_SIZE}, such as 1,2,4 or 1-10"

Precision = Literal["auto", "fp32", "bf16"]
CountOrAuto = Annotated[int, Field(ge=1, le=1024)] | Literal["auto"]


class Spec(BaseModel):
    """A frozen model that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def parse_batch_sizes(value: object) -> tuple[int, ...]:
    """Read batch sizes from ``"1,2,4"``, ``"1-10"`` or a sequence of numbers and such strings.

    Returns them in ascending order.

    Raises:
        BadInput: a size is not a whole number, out of range or named twice.
    """
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, Iterable):
        raise BadInput("batch_sizes", value, BATCH_SIZES_ALLOWED)
    sizes = [size for item in items for size in _expand(item)]
    repeated = sorted({size for size in sizes if sizes.count(size) > 1})
    if repeated:
        raise BadInput("batch_sizes", repeated[0], f"{BATCH_SIZES_ALLOWED}; this one is named twice")
    if not sizes:
        raise BadInput("batch_sizes", value, BATCH_SIZES_ALLOWED)
    return tuple(sorted(sizes))


def _expand(item: object) -> range:
    text = str(item).strip()
    match = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", text)
    if isinstance(item, (bool, float)) or not match:
        raise BadInput("batch_sizes", item, BATCH_SIZES_ALLOWED)
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last <= MAX_BATCH_SIZE:
        raise BadInput("batch_sizes", item, BATCH_SIZES_ALLOWED)
    return range(first, last + 1)


def _known_name(name: str) -> str:
    if not name.strip() or len(name) > 4096 or "\0" in name:
        raise BadInput("model", name, MODEL_ALLOWED)
    return name


MODEL_ALLOWED = (
    "a hub id such as bert-base-uncased, a directory with config.json and weights, "
    "or config:NAME for seeded random weights"
)


class ModelSpec(Spec):
    """Which network, and the shape of its input."""

    name: Annotated[str, AfterValidator(_known_name)] = Field(description=MODEL_ALLOWED)
    revision: str | None = Field(None, description="Hub revision (branch, tag or commit).")
    sequence_length: int = Field(128, ge=8, le=8192, description="Tokens per sequence, padding included.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the random weights of a config: model.")
    head: Literal["classification", "encoder"] = Field(
        "classification",
        description="classification: a sequence classifier, whose output is logits; "
        "encoder: the network without a head, whose output is its last hidden state.",
    )
    inputs: Literal["text", "zeros_int32"] = Field(
        "text",
        description="text: a tokenised pair of sentences, three int64 tensors; "
        "zeros_int32: ids and a mask of zeros, two int32 tensors, as AWS's published figures were made with.",
    )


class CompileRequest(Spec):
    """One program to compile: a model at one batch size on one backend."""

    format_version: Literal[1] = FORMAT_VERSION
    model: ModelSpec
    batch_size: int = Field(ge=1, le=MAX_BATCH_SIZE, description="Inferences per call.")
    backend: str = Field("cpu", description="Name of the backend that compiles and runs the model.")
    precision: Precision = Field("auto", description="auto: bf16 where the device computes in it, else fp32.")
    compiler_args: tuple[str, ...] = Field((), description="Flags for the device's compiler, one by one.")
    artifact_url: str = Field(description="fsspec URL of the artifact store, such as file:///srv/artifacts.")


class LoadSpec(Spec):
    """How hard and how long to drive the replicas.

    The seed of this project asked for 12 replicas, 12 workers and 1000 batches per worker.
    """

    replicas: CountOrAuto = Field("auto", description="Loaded copies of the model; auto: one per core.")
    workers: CountOrAuto = Field(
        "auto",
        description="Closed loops that issue batches, spread over the replicas; auto: one per replica.",
    )
    batches_per_worker: int = Field(
        1000, ge=2, le=10**7, description="Measured batches per worker and round."
    )
    warmup_batches: int = Field(8, ge=1, le=10**6, description="Batches per worker before anything counts.")
    rounds: int = Field(
        3,
        ge=1,
        le=1000,
        description="Measured windows, so that the result has a variance; "
        "for stop duration or precision, at least so many.",
    )
    warmup: Literal["stable", "fixed"] = Field(
        "stable",
        description="fixed: warmup_batches and no more; "
        "stable: at least so many, and on until the throughput has settled.",
    )
    worker_mode: Literal["auto", "thread", "process", "native"] = Field(
        "auto",
        description="What issues the batches: Python threads, threads over several processes, or a C++ loop; "
        "auto: calibrated on the spot.",
    )
    stop: Literal["rounds", "duration", "precision"] = Field(
        "rounds",
        description="When to stop: after the rounds, after duration_s, or as soon as throughput and P50 are "
        "known within relative_half_width (after duration_s at the latest).",
    )
    duration_s: float = Field(60.0, gt=0, le=86_400, description="Measured seconds, see stop.")
    relative_half_width: float = Field(
        0.005,
        gt=0,
        le=0.5,
        description="Wanted half of the 95 % interval over its value, such as 0.005 for ±0.5 %; see stop.",
    )
    target_batches_per_s: float | None = Field(
        None,
        gt=0,
        le=1e7,
        description="server: mean rate of the arrivals; none: search the highest that meets the limit.",
    )
    latency_limit_ms: float | None = Field(
        None,
        gt=0,
        le=3.6e6,
        description="Highest acceptable P99; the recommended batch size is the fastest that meets it.",
    )
    arrival_seed: int = Field(0, ge=0, lt=2**32, description="server: seed of the random arrivals.")
    interleave: bool = Field(
        False,
        description="Load the programs of all batch sizes side by side and measure them in turns, round by "
        "round, so that a drift of the host hits all alike; needs the device memory for all.",
    )


SCENARIO_DESCRIPTION = (
    "offline: all workers always busy; single_stream: one worker on one replica; "
    "server: random arrivals at target_batches_per_s, latency from the scheduled arrival."
)


def check_scenario(scenario: Scenario, load: LoadSpec) -> None:
    """Refuse a load that the scenario cannot have.

    Raises:
        BadInput: several workers in ``single_stream``; a ``server`` without a rate or a limit to search with;
            a rate without a server.
    """
    for name in ("workers", "replicas"):
        if scenario == "single_stream" and getattr(load, name) not in ("auto", 1):
            raise BadInput(name, getattr(load, name), "1 or auto in the scenario single_stream")
    if scenario == "server" and load.interleave:
        raise BadInput("interleave", True, "false in the scenario server")
    if scenario == "server" and load.stop == "precision":
        raise BadInput("stop", "precision", "rounds or duration in the scenario server")
    if load.interleave and load.worker_mode == "process":
        raise BadInput("interleave", True, "false with worker_mode process: the programs share one process")
    if scenario == "server" and load.target_batches_per_s is None and load.latency_limit_ms is None:
        allowed = "server with target_batches_per_s, or with latency_limit_ms to search the rate"
        raise BadInput("scenario", scenario, allowed)
    if scenario != "server" and load.target_batches_per_s is not None:
        raise BadInput("target_batches_per_s", load.target_batches_per_s, "none outside the scenario server")


class MeasureRequest(Spec):
    """One compiled program to measure under one load."""

    format_version: Literal[1] = FORMAT_VERSION
    artifact: ArtifactRef
    artifact_url: str = Field(description="fsspec URL of the artifact store that holds the artifact.")
    batch_size: int = Field(ge=1, le=MAX_BATCH_SIZE)
    backend: str = "cpu"
    scenario: Scenario = Field("offline", description=SCENARIO_DESCRIPTION)
    load: LoadSpec = LoadSpec()

    @model_validator(mode="after")
    def _check(self) -> MeasureRequest:
        check_scenario(self.scenario, self.load)
        return self


class InterleavedRequest(Spec):
    """Several compiled programs to load side by side and measure in turns, round by round."""

    format_version: Literal[1] = FORMAT_VERSION
    requests: tuple[MeasureRequest, ...] = Field(min_length=1, description="One backend and load for all.")

    @model_validator(mode="after")
    def _check_alike(self) -> InterleavedRequest:
        first = self.requests[0]
        for other in self.requests[1:]:
            for field in ("backend", "scenario", "load"):
                if getattr(other, field) != getattr(first, field):
                    raise BadInput(
                        field, getattr(other, field), "the same for all programs measured in turns"
                    )
        return self


class SweepSpec(Spec):
    """One model, one environment, several batch sizes: what one run of ``inf2_batch_sweep`` does."""

    model: ModelSpec
    batch_sizes: Annotated[tuple[int, ...], BeforeValidator(parse_batch_sizes)] = Field(
        description=BATCH_SIZES_ALLOWED
    )
    backend: str = "cpu"
    precision: Precision = "auto"
    compiler_args: tuple[str, ...] = ()
    scenario: Scenario = Field("offline", description=SCENARIO_DESCRIPTION)
    load: LoadSpec = LoadSpec()
    interpreter: str = Field("auto", description="Python of the data plane; auto: found on the worker.")
    label: str | None = Field(None, max_length=200, description='Such as "SDK 2.31".')
    note: str | None = Field(None, max_length=4000, description="Why this run was started.")

    @model_validator(mode="after")
    def _check(self) -> SweepSpec:
        check_scenario(self.scenario, self.load)
        return self
