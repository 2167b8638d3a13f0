"""The door between benchlib and a device: the questions that every backend answers.

A backend from another distribution registers its class under the entry-point group ``benchlib.backends`` and
derives it from `Backend`, so that it inherits the answers that are the same for most devices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from benchlib.results import Check, Reading

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
    """Example inputs (whole numbers, each of shape (batch size, sequence length))."""
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
    """Cores on which one replica each can be placed; 0 on a host that only compiles."""
    instance_type: str | None = None
    versions: tuple[tuple[str, str], ...] = ()
    """Versions that change the program: (field of `Environment`, version); part of the artifact's key."""
    host_versions: tuple[tuple[str, str], ...] = ()
    """Versions that change only how fast a program runs, such as the driver's; not part of the key."""
    program_traits: tuple[tuple[str, str], ...] = ()
    """Further traits of this host that change the compiled program; part of the artifact's key."""


@dataclass(frozen=True)
class CompileNotes:
    """What a backend has to say of the program that it has just compiled."""

    applied_flags: tuple[str, ...] = ()
    """Flags that the compiler's own command line was seen to have; empty where it cannot be seen."""
    warnings: tuple[str, ...] = ()


@dataclass
class Watch:
    """What a backend saw of the device while a measurement ran; complete when the measurement has ended."""

    checks: tuple[Check, ...] = ()
    telemetry: tuple[Reading, ...] = ()
    """Figures that the device gave of itself; nothing that identifies a host or an account."""


class Backend(Protocol):
    """A device that compiles and runs models. One instance per process."""

    name: str

    def describe(self) -> DeviceDescription:
        """Describe the device without importing heavy libraries and without claiming a core."""
        ...

    def resolve_precision(self, asked: Literal["auto", "fp32", "bf16"]) -> ResolvedPrecision:
        """The precision to compile for; raises `BadInput` for one that the device lacks."""
        ...

    def check_compiler_args(self, compiler_args: Sequence[str]) -> None:
        """Refuse flags that this compiler does not take, before anything heavy starts; raises `BadInput`."""

    def compile(self, program: Program, workdir: Path, filename: str) -> Path:
        """Compile into ``workdir / filename`` and return that path. ``workdir`` is this program's own."""
        ...

    def compile_notes(self) -> CompileNotes:
        """Of the last compilation of this process."""
        return CompileNotes()

    def load(self, artifact: Path, core: int) -> Replica:
        """Load one replica onto one core. Called in the main thread, one replica after the other."""
        ...

    def try_out(self, artifact: Path, example: tuple[torch.Tensor, ...]) -> torch.Tensor | None:
        """The program's output for ``example``, run by the process that has just compiled it.

        ``None`` where that process cannot run it; then only the measurement checks the outputs.
        """
        with self.worker_context():
            output: torch.Tensor = self.load(artifact, 0)(*example)
        return output

    def worker_cpus(self, core: int) -> frozenset[int] | None:  # noqa: ARG002
        """CPUs that the threads which drive this core may run on; ``None``: any."""
        return None

    def device_pids(self) -> frozenset[int] | None:
        """Processes that hold the device now, ours included; ``None``: cannot be told. Never raises."""
        return None

    def needs_process_per_core(self) -> bool:
        """Whether a process can load onto one core only, so that each replica needs a process of its own."""
        return False

    def process_environment(self, cores: Sequence[int]) -> Mapping[str, str]:  # noqa: ARG002
        """Variables for a child process that loads replicas onto these cores of the run, and no others."""
        return {}

    def watch(self, workdir: Path, cores: int) -> AbstractContextManager[Watch]:  # noqa: ARG002
        """Watch the device while a measurement keeps so many cores busy; ``workdir`` is for its files."""
        return nullcontext(Watch())

    def worker_context(self) -> AbstractContextManager[Any]:
        """What a thread must have entered before it calls a replica; entered once, not per call."""
        import torch

        context: AbstractContextManager[Any] = torch.inference_mode()
        return context
