"""The door between benchlib and a device: four questions that every backend answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import torch

ResolvedPrecision = Literal["fp32", "bf16"]

Replica = Callable[..., Any]
"""A loaded copy of a compiled program: called with the example tensors, it returns the output tensor."""


@dataclass(frozen=True)
class Program:
    """What a backend is asked to compile."""

    module: torch.nn.Module
    """In evaluation mode, fp32, on the CPU; returns one tensor (float, batch first)."""
    example: tuple[torch.Tensor, ...]
    """Example inputs (int64, each of shape (batch size, sequence length))."""
    precision: ResolvedPrecision
    compiler_args: Sequence[str]


@dataclass(frozen=True)
class DeviceDescription:
    """What the backend knows of the device without claiming it."""

    hardware: bool
    """True only for a real accelerator."""
    device: str
    """Such as 'Inferentia2' or the CPU's model name."""
    cores: int
    """Cores on which one replica each can be placed."""
    instance_type: str | None = None
    versions: tuple[tuple[str, str], ...] = ()
    """Versions that change the program or its speed: (field of `Environment`, version)."""
    program_traits: tuple[tuple[str, str], ...] = ()
    """Further traits of this host that change the compiled program; part of the artifact's key."""


class Backend(Protocol):
    """A device that compiles and runs models. One instance per process."""

    name: str

    def describe(self) -> DeviceDescription:
        """Describe the device without importing heavy libraries and without claiming a core."""
        ...

    def resolve_precision(self, asked: Literal["auto", "fp32", "bf16"]) -> ResolvedPrecision:
        """The precision to compile for; raises `BadInput` for one that the device lacks."""
        ...

    def compile(self, program: Program, workdir: Path, filename: str) -> Path:
        """Compile into ``workdir / filename`` and return that path. ``workdir`` is this program's own."""
        ...

    def load(self, artifact: Path, core: int) -> Replica:
        """Load one replica onto one core. Called in the main thread, one replica after the other."""
        ...
