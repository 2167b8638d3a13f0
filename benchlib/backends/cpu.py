"""The host's own CPU: for development, and for the tests of everything around the device.

Its figures say nothing about an accelerator, and its description says so.
"""

from __future__ import annotations

import copy
import os
import platform
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from benchlib.backends.base import Backend, DeviceDescription, Program, Replica, ResolvedPrecision
from benchlib.errors import BadInput

CPUINFO = Path("/proc/cpuinfo")

BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
"""Instruction sets that multiply bf16 matrices. Without one PyTorch emulates bf16, several times slower than
fp32, while its own query calls bf16 supported: so the kernel's flags decide, not the library."""


class CpuBackend(Backend):
    """Traced and frozen TorchScript, one replica to a CPU, one thread to a replica."""

    name = "cpu"

    def __init__(self, cpuinfo: Path = CPUINFO) -> None:
        self._cpuinfo = cpuinfo.read_text()

    def describe(self) -> DeviceDescription:
        """The CPU's name, and how many of its processors this process may use."""
        model = self._field("model name") or platform.machine()
        return DeviceDescription(hardware=False, device=model, cores=len(_usable_cpus()))

    def resolve_precision(self, asked: Literal["auto", "fp32", "bf16"]) -> ResolvedPrecision:
        """bf16 only where the CPU computes in it."""
        has_bf16 = not BF16_FLAGS.isdisjoint(self._field("flags").split())
        if asked == "bf16" and not has_bf16:
            wanted = " or ".join(sorted(BF16_FLAGS))
            raise BadInput("precision", asked, f"auto, fp32 (bf16 needs a CPU with {wanted})")
        if asked == "auto":
            return "bf16" if has_bf16 else "fp32"
        return asked

    def check_compiler_args(self, compiler_args: Sequence[str]) -> None:
        """There is nothing that would take a flag."""
        if compiler_args:
            raise BadInput("compiler_args", " ".join(compiler_args), "none on the cpu backend")

    def compile(self, program: Program, workdir: Path, filename: str) -> Path:
        """Trace, freeze and save."""
        import torch

        module = program.module
        if program.precision == "bf16":
            module = copy.deepcopy(module).to(torch.bfloat16)
        with warnings.catch_warnings(), torch.inference_mode():
            # Tracing warns of what it fixes in the graph; the outputs are compared instead.
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(module, program.example, check_trace=False)
            path = workdir / filename
            torch.jit.freeze(traced).save(str(path))
        return path

    def load(self, artifact: Path, core: int) -> Replica:  # noqa: ARG002
        """Load a copy; what ties it to its core is the worker that calls it."""
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            replica: Replica = torch.jit.load(str(artifact), map_location="cpu")
        return replica

    def worker_cpus(self, core: int) -> frozenset[int]:
        """The one CPU behind this core."""
        return frozenset({_usable_cpus()[core]})

    def _field(self, name: str) -> str:
        match = re.search(rf"^{name}\s*: (.*)$", self._cpuinfo, re.MULTILINE)
        return match[1] if match else ""


def _usable_cpus() -> list[int]:
    return sorted(os.sched_getaffinity(0))
