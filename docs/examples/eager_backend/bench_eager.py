"""A backend for benchlib in one file: the exported graph, run operator by operator on the CPU."""

from __future__ import annotations

import io
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from benchlib.backends.base import Backend, DeviceDescription, Program, Replica, ResolvedPrecision
from benchlib.errors import BadInput


class EagerBackend(Backend):
    """What the compiling backends can be held against: the same graph without a compiler."""

    name = "eager"

    def describe(self) -> DeviceDescription:
        """A CPU, and said so: ``hardware`` is for accelerators only."""
        cpus = len(os.sched_getaffinity(0))
        return DeviceDescription(hardware=False, device=f"{platform.machine()} CPU, eager", cores=cpus)

    def resolve_precision(self, asked: Literal["auto", "fp32", "bf16"]) -> ResolvedPrecision:
        """The model's own precision; asked for another one, say what there is."""
        if asked == "bf16":
            raise BadInput("precision", asked, "auto, fp32")
        return "fp32"

    def check_compiler_args(self, compiler_args: Sequence[str]) -> None:
        """No compiler, no flags."""
        if compiler_args:
            raise BadInput("compiler_args", " ".join(compiler_args), "none on the eager backend")

    def compile(self, program: Program, workdir: Path, filename: str) -> Path:
        """Export the graph; torch is imported here, because describing a host must be fast."""
        import torch

        path = workdir / filename
        buffer = io.BytesIO()
        torch.export.save(torch.export.export(program.module, program.example), buffer)
        path.write_bytes(buffer.getvalue())
        return path

    def load(self, artifact: Path, core: int) -> Replica:  # noqa: ARG002 - worker_cpus does the placing
        """A callable that takes the example tensors and returns the output, for one core."""
        import torch

        replica: Replica = torch.export.load(io.BytesIO(artifact.read_bytes())).module()
        return replica

    def worker_cpus(self, core: int) -> frozenset[int]:
        """One CPU to a core, so that replicas don't push each other around."""
        return frozenset({sorted(os.sched_getaffinity(0))[core]})
