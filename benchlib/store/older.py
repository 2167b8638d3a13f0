"""What records of older versions leave unsaid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNASKED: Mapping[str, Any] = {
    "worker_mode": "thread",
    "warmup": "fixed",
    "stop": "rounds",
    "duration_s": 60.0,
    "relative_half_width": 0.005,
    "target_batches_per_s": None,
    "latency_limit_ms": None,
    "arrival_seed": 0,
    "interleave": False,
}
"""What everything did before the load of a sweep could ask for it. The migrations do the same."""
