"""What came back: the compiled program, the measurement and the environment they were made in.

These models cross from the data plane to the control plane as JSON files. Times are seconds for durations
and milliseconds for latencies; the unit is in each name.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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

    samples: int = Field(ge=1)
    mean_ms: float | None = Field(None, gt=0)
    p50_ms: float | None = Field(None, gt=0)
    p90_ms: float | None = Field(None, gt=0)
    p95_ms: float | None = Field(None, gt=0)
    p99_ms: float | None = Field(None, gt=0)
    p99_9_ms: float | None = Field(None, gt=0)
    max_ms: float | None = Field(None, gt=0)


class Round(Result):
    """One measured window in which every worker was busy all the time."""

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


class Measurement(Result):
    """The rounds of one batch size in one scenario, with what is needed to believe them."""

    format_version: Literal[1] = 1
    filename: str
    batch_size: int = Field(ge=1)
    backend: str
    precision: Literal["fp32", "bf16"] | None = None
    scenario: Literal["offline"] = "offline"
    replicas: int = Field(ge=1)
    workers: int = Field(ge=1)
    worker_mode: Literal["thread"] = "thread"
    batches: int = Field(ge=1, description="Measured batches of all workers in all rounds.")
    inferences: int = Field(ge=1, description="batches x batch_size.")
    duration_s: float = Field(
        gt=0, description="Inferences divided by the throughput: the fully busy time, ramps excluded."
    )
    throughput_inf_per_s: float = Field(gt=0, description="Sum of the workers' rates while all were busy.")
    latency: LatencySummary
    rounds: tuple[Round, ...] = ()
    checks: tuple[Check, ...] = ()
    load_duration_s: float | None = Field(None, ge=0, description="Loading of all replicas.")
    environment: Environment
    started_at: datetime
    warnings: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """True when every check passed: only then may it be a peak or a baseline."""
        return all(check.passed for check in self.checks)


FailureKind = Literal["bad_input", "error", "crashed", "timeout"]


class Failure(Result):
    """Why a compilation or a measurement has no result."""

    stage: Literal["compile", "measure"]
    kind: FailureKind
    message: str = Field(description="One sentence for people.")
    log_tail: tuple[str, ...] = Field((), description="The child's last lines.")
