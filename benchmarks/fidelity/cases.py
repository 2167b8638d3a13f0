"""What is run, and how close to a plain C loop the load generator has to come."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.fidelity.device import IdealDevice


@dataclass(frozen=True)
class Figures:
    """What one peer reports of one run."""

    throughput_batches_per_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Ratios:
    """Figures over those of the C loop; as a bar: the least throughput and the greatest latencies."""

    throughput: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Case:
    name: str
    """Workers x service time; held: CPU under the interpreter's lock too; scripted: a TorchScript module."""
    device: IdealDevice
    workers: int
    bar: Ratios
    batches_per_worker: int = 1000
    warmup_batches: int = 8


BERT_NS, SMALL_NS, LARGE_NS = 939_000, 500_000, 5_000_000
HOLD_NS = 15_000

CASES = (
    Case("12x0.939ms", IdealDevice("callable", BERT_NS), 12, Ratios(0.99, 1.01, 1.05)),
    Case("12x0.939ms-held", IdealDevice("callable", BERT_NS, HOLD_NS), 12, Ratios(0.99, 1.01, 1.06)),
    Case("12x0.939ms-scripted", IdealDevice("module", BERT_NS), 12, Ratios(0.98, 1.02, 1.10)),
    Case("24x0.5ms", IdealDevice("callable", SMALL_NS), 24, Ratios(0.99, 1.02, 1.12)),
    Case("24x0.5ms-held", IdealDevice("callable", SMALL_NS, HOLD_NS), 24, Ratios(0.92, 1.08, 1.35)),
    Case("24x0.5ms-scripted", IdealDevice("module", SMALL_NS), 24, Ratios(0.90, 1.10, 1.40)),
    Case("2x5ms", IdealDevice("callable", LARGE_NS), 2, Ratios(0.995, 1.005, 1.02), batches_per_worker=200),
)
