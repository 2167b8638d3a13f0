"""The ideal device: takes exactly as long as it is told, as a callable or inside a TorchScript module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch

from benchlib.loadgen import Stamps, extension


@lru_cache(maxsize=1)
def _extension() -> ModuleType:
    return extension.load(Path(__file__).with_name("device.cpp"), "fidelity_device")


@dataclass(frozen=True)
class IdealDevice:
    """Loads the i-th replica, in any process."""

    kind: Literal["callable", "module"]
    service_ns: int
    hold_ns: int = 0
    """CPU per call, with the interpreter's lock held, before the device starts; a callable's only."""

    def __call__(self, _index: int) -> Callable[..., Any]:
        if self.kind == "callable":
            callable_device: Callable[..., Any] = _extension().device(self.service_ns, self.hold_ns)
            return callable_device
        _extension()
        module: Callable[..., Any] = torch.jit.trace(
            _Module(self.service_ns), self.example, check_trace=False
        )
        return module

    @property
    def example(self) -> tuple[torch.Tensor, ...]:
        return () if self.kind == "callable" else (torch.zeros(1),)

    def limit(self, workers: int, batches_per_worker: int, warmup_batches: int) -> Stamps:
        """What a plain C loop gets out of this device."""
        ns = _extension().drive(workers, self.service_ns, self.hold_ns, batches_per_worker, warmup_batches)
        return Stamps(np.asarray(ns)[np.newaxis])


class _Module(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, service_ns: int) -> None:
        super().__init__()
        self.service_ns = service_ns

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.ops.fidelity.wait(inputs, self.service_ns)
