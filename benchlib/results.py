"""What came back: the compiled program, the measurement and the environment they were made in.

These models cross from the data plane to the control plane as JSON files. Times are seconds for durations
and milliseconds for latencies; the unit is in each name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

BUCKET_GROWTH: Final = 1.01 / 0.99
"""Each bucket of a latency histogram ends this much higher than the one before.

The estimate ``2 * growth ** i / (growth + 1)`` ms is then within 1 % of every latency in bucket i
(Masson, Rim and Lee, DDSketch, PVLDB 12, 2019, section 2.1).
"""

COMPLETE: Final = "complete"
"""Name of the check that tells an interrupted measurement from a finished one."""

CONFIDENCE: Final = 0.95
"""Of every interval: two-sided."""

Scenario = Literal["offline", "single_stream", "server"]
"""MLPerf's terms. ``offline``: closed loop, every worker always busy; ``single_stream``: one worker on one
replica; ``server``: batches arrive at random at a given rate, latency counts from the scheduled arrival."""

WorkerMode = Literal["thread", "process", "native"]
"""What a worker was: a Python thread of one process, a thread of one of several processes, or a C++ loop."""

PERCENTILES: Final[Mapping[str, float]] = {
    "p50_ms": 50.0,
    "p90_ms": 90.0,
    "p95_ms": 95.0,
    "p99_ms": 99.0,
    "p99_9_ms": 99.9,
}
"""Field of `LatencySummary` and `LatencyIntervals` to percent."""


def samples_needed(percent: float) -> int:
    """The fewest samples that bound a percentile from both sides at `CONFIDENCE`.

    The largest of n samples lies above the percentile with probability ``1 - p**n``, the smallest below it
    with ``1 - (1 - p)**n``; each side may fail in 2.5 % of cases.
    """
    p = percent / 100
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(max(p, 1 - p)))


def why_blank(percentile: str, samples: int | None) -> str:
    """Why a result lacks the percentile of this field, in words that follow its name."""
    needed = samples_needed(PERCENTILES[percentile])
    if samples is not None and samples < needed:
        return f"needs {needed} samples, there are {samples}"
    return "was not recorded"


class Result(BaseModel):
    """A frozen model that refuses what it does not know, and refuses NaN and infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ArtifactRef(Result):
    """A compiled program in the artifact store, addressed by what went into it."""

    key: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of everything that shapes the program.")
    filename: str = Field(description="Name of the program's file, such as model_batch_size_4.pt.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Checksum of that file, verified at load.")
    size_bytes: int = Field(ge=1)


class Environment(Result):
    """Hardware and software that a result was made with. ``None``: not present or not known."""

    hardware: bool = Field(description="True only for a real accelerator; a CPU or stand-in result is False.")
    device: str = Field(description="What ran the model, such as 'Inferentia2' or the CPU's model name.")
    instance_type: str | None = None
    cores: int | None = Field(None, ge=1, description="Accelerator cores, or CPUs that may be used.")
    host: str | None = None
    memory_bytes: int | None = None
    kernel: str | None = None
    python: str | None = None
    torch: str | None = None
    transformers: str | None = None
    numpy: str | None = None
    torch_neuronx: str | None = None
    neuronx_cc: str | None = None
    neuron_runtime: str | None = None
    neuron_driver: str | None = None
    benchlib: str | None = None
    image: str | None = None
    neuron_sdk: str | None = Field(
        None, description="Release of the Neuron SDK, such as 2.26.0, where known."
    )
    fingerprint: str = Field(
        description="SHA-256 over the fields that define a comparable environment (not the host name)."
    )


class CompileResult(Result):
    """One compiled program, new or found in the store."""

    format_version: Literal[1] = 1
    batch_size: int = Field(ge=1)
    backend: str
    precision: Literal["fp32", "bf16"]
    artifact: ArtifactRef
    cache_hit: bool = Field(description="True: the store had it, nothing was compiled.")
    compile_duration_s: float = Field(ge=0, description="Of the compilation that made the artifact.")
    peak_rss_bytes: int | None = None
    environment: Environment
    warnings: tuple[str, ...] = ()


class LatencySummary(Result):
    """Latency of single batches. A percentile that the samples cannot support is ``None``."""

    samples: int | None = Field(ge=1, description="None: an imported table does not say.")
    mean_ms: float | None = Field(None, gt=0)
    p50_ms: float | None = Field(None, gt=0)
    p90_ms: float | None = Field(None, gt=0)
    p95_ms: float | None = Field(None, gt=0)
    p99_ms: float | None = Field(None, gt=0)
    p99_9_ms: float | None = Field(None, gt=0)
    max_ms: float | None = Field(None, gt=0)


class Interval(Result):
    """Two-sided limits at `CONFIDENCE`, in the unit of the figure that they belong to."""

    low: float
    high: float


class LatencyIntervals(Result):
    """Distribution-free limits of the percentiles, ms.

    ``None`` where the percentile is missing or, in the scenario server, too few arrivals bound it.
    """

    p50_ms: Interval | None = None
    p90_ms: Interval | None = None
    p95_ms: Interval | None = None
    p99_ms: Interval | None = None
    p99_9_ms: Interval | None = None


class LatencyHistogram(Result):
    """How many batches took how long, in buckets that are the same everywhere, so that histograms add up.

    Bucket i holds the latencies above ``BUCKET_GROWTH ** (i - 1)`` ms, up to ``BUCKET_GROWTH ** i`` ms.
    """

    buckets: tuple[int, ...] = Field(min_length=1, description="Numbers of the buckets in use, ascending.")
    batches: tuple[int, ...] = Field(description="Batches in each of them, in the same order.")

    @model_validator(mode="after")
    def _check(self) -> LatencyHistogram:
        if len(self.buckets) != len(self.batches) or min(self.batches) < 1:
            raise ValueError("a histogram needs at least one batch in each of its buckets")
        if any(before >= after for before, after in pairwise(self.buckets)):
            raise ValueError("the buckets of a histogram ascend")
        return self


class Round(Result):
    """One measured window: every worker was busy all the time, or (server) served what arrived."""

    index: int = Field(ge=0)
    batches: int = Field(ge=1)
    inferences: int = Field(ge=1)
    duration_s: float = Field(gt=0, description="Inferences divided by the throughput.")
    throughput_inf_per_s: float = Field(gt=0)
    latency: LatencySummary


class Check(Result):
    """One reason to believe a measurement, or not to."""

    name: str
    passed: bool
    figure: float | None = None
    limit: float | None = None
    unit: str = ""
    advice: str = Field(description="What was found and what to do about it.")


class HarnessOverhead(Result):
    """What the load generator itself costs and can show, measured in the same topology on the same host."""

    cost_per_call_ns: float = Field(ge=0, description="Median time of the loop around an empty replica.")
    service_ms: float = Field(gt=0, description="The latency per call that the other figures are for.")
    ideal_batches_per_s: float = Field(gt=0, description="Workers / service time.")
    ceiling_batches_per_s: float = Field(
        gt=0, description="What this harness shows of an ideal device that takes exactly the service time."
    )

    @property
    def share_of_latency(self) -> float:
        """The loop's cost as a share of the latency."""
        return self.cost_per_call_ns / (self.service_ms * 1e6)

    @property
    def share_of_ideal(self) -> float:
        """What the harness can show as a share of what is possible; 1 is perfect."""
        return self.ceiling_batches_per_s / self.ideal_batches_per_s


class ServerTrial(Result):
    """One arrival rate that was tried."""

    target_batches_per_s: float = Field(gt=0)
    achieved_batches_per_s: float = Field(gt=0)
    samples: int = Field(ge=1)
    p99_ms: float | None = Field(None, gt=0, description="From the scheduled arrival; None: too few samples.")
    met: bool = Field(description="The P99 limit was met and the arrivals were kept up with.")


class ServerFigures(Result):
    """What was particular to a measurement of the ``server`` scenario. One arrival is one batch."""

    target_batches_per_s: float = Field(gt=0, description="Mean rate of the Poisson arrivals.")
    arrival_seed: int = Field(ge=0)
    p99_limit_ms: float | None = Field(None, gt=0)
    trials: tuple[ServerTrial, ...] = Field((), description="Of the search, in order; empty: rate was given.")
    service: LatencySummary = Field(description="Latency of the calls alone, without waiting for a worker.")


class Reading(Result):
    """One figure that the device gave of itself while it was measured."""

    name: str = Field(description="Such as core_utilisation or device_memory.")
    value: float
    unit: str = Field(description="Such as ratio, bytes or count.")
    core: int | None = Field(None, ge=0, description="The core that it is of; None: the whole device.")


class Measurement(Result):
    """The rounds of one batch size in one scenario, with what is needed to believe them.

    What was measured here has its load and all counts. ``None`` stands for what an imported table does not
    say of them.
    """

    format_version: Literal[1] = 1
    filename: str
    batch_size: int = Field(ge=1)
    backend: str
    precision: Literal["fp32", "bf16"] | None = None
    scenario: Scenario = "offline"
    replicas: int | None = Field(ge=1)
    workers: int | None = Field(ge=1)
    worker_mode: WorkerMode | None = "thread"
    processes: int | None = Field(None, ge=1, description="Processes that the workers were spread over.")
    topology: str = Field("", description="What issued the calls and why, one sentence.")
    batches: int | None = Field(ge=1, description="Measured batches of all workers in all rounds.")
    inferences: int | None = Field(ge=1, description="batches x batch_size.")
    duration_s: float | None = Field(
        gt=0, description="Inferences divided by the throughput: the fully busy time, ramps excluded."
    )
    throughput_inf_per_s: float = Field(gt=0, description="Sum of the workers' rates while all were busy.")
    throughput_interval: Interval | None = Field(None, description="inf/s; None: too few rounds to tell.")
    latency: LatencySummary
    latency_intervals: LatencyIntervals | None = None
    overhead: HarnessOverhead | None = None
    server: ServerFigures | None = None
    telemetry: tuple[Reading, ...] = ()
    latency_histogram: LatencyHistogram | None = Field(None, description="Of all rounds; adds up over time.")
    rounds: tuple[Round, ...] = ()
    checks: tuple[Check, ...] = ()
    load_duration_s: float | None = Field(None, ge=0, description="Loading of all replicas.")
    environment: Environment
    started_at: datetime
    warnings: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_counts(self) -> Measurement:
        counts = (self.batches, self.inferences, self.duration_s, self.latency.samples)
        if None in counts and any(count is not None for count in counts):
            raise ValueError(
                "batches, inferences, duration_s and latency.samples are known together or not at all"
            )
        if self.latency_histogram and sum(self.latency_histogram.batches) != self.latency.samples:
            raise ValueError("the histogram holds as many batches as the latencies are taken from")
        return self

    @property
    def valid(self) -> bool:
        """True when every check passed: only then may it be a peak or a baseline."""
        return all(check.passed for check in self.checks)

    @property
    def complete(self) -> bool:
        """False when it was stopped before all that was asked for was measured."""
        return all(check.passed for check in self.checks if check.name == COMPLETE)


def samples_filename(batch_size: int) -> str:
    """Of the file that the data plane leaves a measurement's raw samples in."""
    return f"samples_batch_size_{batch_size}.npz"


class InterleavedResult(Result):
    """What came of an interleaved request: one measurement per program, in the order asked."""

    format_version: Literal[1] = 1
    measurements: tuple[Measurement, ...]


FailureKind = Literal["bad_input", "error", "crashed", "timeout"]


class Failure(Result):
    """Why a compilation or a measurement has no result."""

    stage: Literal["compile", "measure"]
    kind: FailureKind
    message: str = Field(description="One sentence for people.")
    log_tail: tuple[str, ...] = Field((), description="The child's last lines.")
