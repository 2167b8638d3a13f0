"""NVIDIA GPUs through PyTorch: to hold an Inferentia figure against a GPU's. Secondary, and no part of CI.

CI has no GPU: tests hold the logic against a stand-in for ``nvidia-smi`` and for the few calls of
``torch.cuda``; ``benchmarks/cuda_smoke.py`` is what a person runs on a GPU.

A core is a GPU here, and each replica has a CUDA stream of its own, also among several on one GPU. Programs
are TorchScript, traced on the GPU, but replicas are not: the native loop drops outputs without waiting for
them, and would time how long launching takes. Waiting for a GPU spins, which ``worker_mode`` auto takes for
work: it gives each replica a process. Processes use one GPU by turns, so name ``thread`` where several
replicas are to share one. GPUs split by MIG are refused.
"""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, Protocol

from benchlib.backends.base import Backend, DeviceDescription, Program, Replica, ResolvedPrecision, Watch
from benchlib.backends.cpu import CpuBackend
from benchlib.backends.neuron.host import parse_cpu_list, read_text
from benchlib.errors import BadInput, BenchError
from benchlib.results import Check

if TYPE_CHECKING:
    import torch

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
DEVICE_ORDER = "CUDA_DEVICE_ORDER"

BF16_CAPABILITY = (8, 0)
"""Compute capability from which on the GPU multiplies bf16 matrices (CUDA programming guide, table of
arithmetic instructions); older ones emulate it."""

SMI_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
SAMPLE_PERIOD_MS = 1000

_GPU_FIELDS = ("index", "uuid", "name", "driver_version", "compute_cap", "pci.bus_id", "mig.mode.current")
_ERRORS_FIELD = "ecc.errors.uncorrected.volatile.total"
_REASONS_FIELDS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")
"""The first is the newer name; drivers before it know the second only."""

IDLE = 0x1
POWER_CAP = 0x4
THROTTLED: Mapping[int, str] = {
    0x08: "slowed down by the hardware",
    0x20: "slowed down by the driver because of heat",
    0x40: "slowed down by the hardware because of heat",
    0x80: "slowed down by the power supply",
}
"""Bits of NVML's ``nvmlClocksEventReasons`` that no healthy GPU shows. Its power limit (`POWER_CAP`) is not
among them: a GPU for inference reaches it under any full load, and it is part of what was bought."""


@dataclass(frozen=True)
class Gpu:
    """One GPU as ``nvidia-smi`` lists it."""

    index: str
    uuid: str
    name: str
    driver_version: str
    compute_capability: tuple[int, int]
    bus_id: str
    """Such as ``00000000:3B:00.0``."""


@dataclass(frozen=True)
class NvidiaHost:
    """How to ask a host about its GPUs without PyTorch and without claiming one."""

    smi: str = "nvidia-smi"
    control: Path = Path("/dev/nvidiactl")
    """The device file that every CUDA process opens; a stand-in for nvidia-smi does not make one."""
    pci: Path = Path("/sys/bus/pci/devices")
    visible: str | None = None
    """As ``CUDA_VISIBLE_DEVICES``; ``None``: all."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> NvidiaHost:
        """This host."""
        return cls(visible=environ.get(VISIBLE_DEVICES))

    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs that this process may use, in the order in which it numbers them.

        Raises:
            BadInput: ``CUDA_VISIBLE_DEVICES`` names one that is not there.
            BenchError: nvidia-smi fails, or a GPU is split by MIG.
        """
        if shutil.which(self.smi) is None:
            return ()
        listed = tuple(_gpu(row) for row in self.query_gpus(*_GPU_FIELDS))
        if self.visible is None:
            return listed
        asked = [name.strip() for name in self.visible.split(",") if name.strip() not in ("", "-1")]
        return tuple(self._named(name, listed) for name in asked)

    def query_gpus(self, *fields: str) -> list[list[str]]:
        """One row per GPU with these fields.

        Raises:
            BenchError: nvidia-smi fails; says what it said.
        """
        return self._ask(_query(fields))

    def reasons_field(self) -> str:
        """What this driver calls the reasons for a clock below the highest."""
        try:
            self.query_gpus(_REASONS_FIELDS[0])
        except BenchError:
            return _REASONS_FIELDS[1]
        return _REASONS_FIELDS[0]

    def memory_errors(self, gpus: Sequence[Gpu]) -> int | None:
        """Uncorrected ECC errors of these GPUs since the driver was loaded; ``None``: they do not count."""
        rows = self.query_gpus("uuid", _ERRORS_FIELD)
        counts = [int(count) for uuid, count in rows if _is_one_of(uuid, gpus) and count.isdigit()]
        return sum(counts) if counts else None

    def processes(self, gpus: Sequence[Gpu]) -> dict[int, str]:
        """Number and name of every other process that computes on these GPUs."""
        rows = self._ask(["--query-compute-apps=gpu_uuid,pid,process_name", "--format=csv,noheader"])
        found = {int(row[1]): PurePath(row[2]).name for row in rows if _is_one_of(row[0], gpus)}
        found.pop(os.getpid(), None)
        return found

    def sample_clocks(self, output: Path) -> subprocess.Popen[bytes]:
        """Start an nvidia-smi that writes uuid, SM clock and reasons to a file until it is terminated."""
        command = [self.smi, *_query(self._clock_fields()), f"--loop-ms={SAMPLE_PERIOD_MS}"]
        with output.open("wb") as file:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.DEVNULL)

    def clocks(self) -> str:
        """What `sample_clocks` writes, once."""
        return "\n".join(", ".join(row) for row in self.query_gpus(*self._clock_fields()))

    def local_cpus(self, gpu: Gpu) -> frozenset[int]:
        """The CPUs next to a GPU; none where the kernel does not tell."""
        domain, _, rest = gpu.bus_id.partition(":")
        directory = f"{int(domain, 16):04x}:{rest.lower()}"
        return parse_cpu_list(read_text(self.pci / directory / "local_cpulist") or "")

    def _clock_fields(self) -> tuple[str, ...]:
        return "uuid", "clocks.sm", self.reasons_field()

    def _ask(self, arguments: Sequence[str]) -> list[list[str]]:
        try:
            answer = subprocess.run(
                [self.smi, *arguments], capture_output=True, text=True, timeout=SMI_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BenchError(f"nvidia-smi failed: {error}") from error
        if answer.returncode:
            said = " ".join((answer.stdout + answer.stderr).split())
            raise BenchError(f"nvidia-smi failed with status {answer.returncode}: {said}")
        return _rows(answer.stdout)

    def _named(self, name: str, gpus: Sequence[Gpu]) -> Gpu:
        for gpu in gpus:
            if gpu.index == name or (name.startswith("GPU-") and gpu.uuid.startswith(name)):
                return gpu
        listed = ", ".join(gpu.index for gpu in gpus)
        raise BadInput(VISIBLE_DEVICES, self.visible, f"numbers or UUIDs of the host's GPUs {listed}")


class Stream(Protocol):
    """As much of ``torch.cuda.Stream`` as is used."""

    def synchronize(self) -> None:
        """Wait until all that was put into the stream is done."""


class Runtime(Protocol):
    """The calls of ``torch.cuda`` that this backend needs, so that tests can do without a GPU."""

    def device(self, index: int) -> torch.device:
        """The GPU of this number; raises `BenchError` where there is none."""
        ...

    def stream(self, device: torch.device) -> Stream:
        """A new stream."""
        ...

    def on(self, stream: Stream) -> AbstractContextManager[Any]:
        """What is called inside goes into this stream."""
        ...


class TorchRuntime:
    """The real one."""

    def device(self, index: int) -> torch.device:
        """The GPU of this number, counted as nvidia-smi does."""
        os.environ[DEVICE_ORDER] = "PCI_BUS_ID"  # read when CUDA starts, which the import does not do
        import torch

        count = torch.cuda.device_count()
        if index >= count:
            raise BenchError(
                f"torch {torch.__version__} sees {count} GPUs and can't use GPU {index}: "
                "install its CUDA build for this driver"
            )
        return torch.device("cuda", index)

    def stream(self, device: torch.device) -> Stream:
        """A new stream of this GPU."""
        import torch

        stream: Stream = torch.cuda.Stream(device)
        return stream

    def on(self, stream: Stream) -> AbstractContextManager[Any]:
        """Also makes the stream's GPU the current one."""
        import torch

        context: AbstractContextManager[Any] = torch.cuda.stream(stream)
        return context


class CudaReplica:
    """A program on a GPU with a stream of its own. A call returns when its output is on the CPU.

    Workers that share a replica queue in its stream, and wait for each other.
    """

    def __init__(self, module: Replica, device: torch.device, runtime: Runtime) -> None:
        self.module = module
        self.stream = runtime.stream(device)
        self._device = device
        self._runtime = runtime
        self._moved: tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]] = ((), ())

    def __call__(self, *example: torch.Tensor) -> torch.Tensor:
        """The output for these inputs, which are copied to the GPU once as long as they are the same."""
        with self._runtime.on(self.stream):
            output: torch.Tensor = self.module(*self._on_gpu(example)).to("cpu")
        self.stream.synchronize()
        return output

    def _on_gpu(self, example: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        # Taken and replaced as one value: several workers may call at the same time.
        origin, moved = self._moved
        if len(origin) != len(example) or any(a is not b for a, b in zip(origin, example, strict=True)):
            moved = tuple(tensor.to(self._device) for tensor in example)
            self._moved = example, moved
        return moved


class CudaBackend(Backend):
    """Traced and frozen TorchScript on NVIDIA GPUs."""

    name = "cuda"

    def __init__(self, host: NvidiaHost | None = None, runtime: Runtime | None = None) -> None:
        self._host = host or NvidiaHost.from_environment()
        self._runtime = runtime or TorchRuntime()

    @cached_property
    def _gpus(self) -> tuple[Gpu, ...]:
        return self._host.gpus()

    def describe(self) -> DeviceDescription:
        """Asked of nvidia-smi. The driver is part of the device's name: `Environment` has no field for it."""
        kinds = sorted({f"{gpu.name}, driver {gpu.driver_version}" for gpu in self._gpus})
        return DeviceDescription(
            hardware=bool(self._gpus) and self._host.control.is_char_device(),
            device="; ".join(kinds) or "no NVIDIA GPU",
            cores=len(self._gpus),
        )

    def resolve_precision(self, asked: Literal["auto", "fp32", "bf16"]) -> ResolvedPrecision:
        """bf16 where every GPU computes in it; fp32 is without TF32, PyTorch's default.

        Raises:
            BadInput: bf16 is not to be had, or there is no GPU to compile for.
        """
        if not self._gpus:
            raise BadInput("backend", self.name, "cpu, neuron; nvidia-smi lists no GPU on this host")
        oldest = min(self._gpus, key=lambda gpu: gpu.compute_capability)
        has_bf16 = oldest.compute_capability >= BF16_CAPABILITY
        if asked == "bf16" and not has_bf16:
            needed, found = (".".join(map(str, c)) for c in (BF16_CAPABILITY, oldest.compute_capability))
            allowed = f"auto, fp32 (bf16 needs compute capability {needed}, {oldest.name} has {found})"
            raise BadInput("precision", asked, allowed)
        if asked == "auto":
            return "bf16" if has_bf16 else "fp32"
        return asked

    def check_compiler_args(self, compiler_args: Sequence[str]) -> None:
        """There is nothing that would take a flag."""
        if compiler_args:
            raise BadInput("compiler_args", " ".join(compiler_args), "none on the cuda backend")

    def compile(self, program: Program, workdir: Path, filename: str) -> Path:
        """Trace, freeze and save as on the CPU, but on the GPU: a trace keeps what its device chose."""
        device = self._runtime.device(0)
        moved = replace(
            program,
            module=copy.deepcopy(program.module).to(device),
            example=tuple(tensor.to(device) for tensor in program.example),
        )
        return CpuBackend().compile(moved, workdir, filename)

    def load(self, artifact: Path, core: int) -> CudaReplica:
        """Load a copy onto the GPU of this number, with a stream of its own."""
        import torch

        device = self._runtime.device(core)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(str(artifact), map_location=device)
        rehome(module, device)
        return CudaReplica(module, device, self._runtime)

    def worker_cpus(self, core: int) -> frozenset[int] | None:
        """The CPUs of the GPU's NUMA node, as far as this process may use them."""
        return self._host.local_cpus(self._gpus[core]) & frozenset(os.sched_getaffinity(0)) or None

    def watch(self, workdir: Path, cores: int) -> AbstractContextManager[Watch]:
        """Watch the clocks of the first ``cores`` GPUs; count errors and foreign processes at both ends."""
        return watching(self._host, self._gpus[:cores], workdir)


def rehome(module: Any, device: torch.device) -> None:
    """Put ``device`` where a frozen program names the GPU that it was traced on: loading moves tensors only.

    A "cpu" that is named stays: the GPU's trace has it where the model itself asks for the CPU.
    """
    for node in module.graph.findAllNodes("prim::Constant", True):
        if str(node.output().type()) == "Device" and node.s("value") != "cpu":
            node.s_("value", str(device))


@contextmanager
def watching(host: NvidiaHost, gpus: Sequence[Gpu], workdir: Path) -> Iterator[Watch]:
    """Sample the clocks while the body runs, and compare error counts and processes before and after it.

    What the GPUs do not count is left out, not made up.
    """
    watch = Watch()
    samples = workdir / "nvidia-smi.csv"
    errors, processes = host.memory_errors(gpus), host.processes(gpus)
    sampler = host.sample_clocks(samples)
    try:
        yield watch
    finally:
        _stop(sampler)
    # The sampler may have been stopped in the middle of a line.
    whole_lines = samples.read_text().rpartition("\n")[0]
    clocks = clock_samples(f"{whole_lines}\n{host.clocks()}", gpus)
    later = host.memory_errors(gpus)
    # One that has ended meanwhile was a load-generating process of ours, which the driver still lists.
    processes.update(
        {pid: name for pid, name in host.processes(gpus).items() if Path(f"/proc/{pid}").exists()}
    )
    watch.checks = (
        *((throttle_check(clocks),) if clocks else ()),
        *((errors_check(later - errors),) if errors is not None and later is not None else ()),
        processes_check(processes),
    )


@dataclass(frozen=True)
class ClockSample:
    """One GPU at one moment."""

    sm_mhz: int
    reasons: int
    """Bits of ``nvmlClocksEventReasons``: why the clock is below the highest."""


def throttle_check(samples: Sequence[ClockSample]) -> Check:
    """No GPU was slowed down by heat or by its power supply at any moment that was looked at."""
    bad = [sample for sample in samples if any(sample.reasons & bit for bit in THROTTLED)]
    names = [name for bit, name in THROTTLED.items() if any(sample.reasons & bit for sample in bad)]
    busy = [sample for sample in samples if not sample.reasons & IDLE]
    clocks = [sample.sm_mhz for sample in busy]
    found = f"The clock was {min(clocks)} to {max(clocks)} MHz under load." if clocks else "No load was seen."
    capped = sum(bool(sample.reasons & POWER_CAP) for sample in busy)
    if capped:
        found += f" In {capped} of {len(busy)} looks the GPU was at its power limit, as it may be."
    if bad:
        found += f" In {len(bad)} of {len(samples)} looks it was {', '.join(names)}: see to its cooling."
    return Check(
        name="gpu_not_throttled", passed=not bad, figure=len(bad), limit=0, unit="looks", advice=found
    )


def errors_check(increase: int) -> Check:
    """The GPUs' memory had no uncorrected error during the run."""
    return Check(
        name="gpu_errors_unchanged",
        passed=increase == 0,
        figure=increase,
        limit=0,
        unit="errors",
        advice="The GPU's memory had no uncorrected error."
        if increase == 0
        else "The GPU's memory had uncorrected errors: reset or replace the GPU and run again.",
    )


def processes_check(processes: Mapping[int, str]) -> Check:
    """Nobody else computed on the GPUs just before or just after the run."""
    listed = ", ".join(f"{name} ({pid})" for pid, name in sorted(processes.items()))
    return Check(
        name="no_foreign_processes",
        passed=not processes,
        figure=len(processes),
        limit=0,
        unit="processes",
        advice=f"Others computed on the GPU too: {listed}. End them and run again."
        if processes
        else "Nobody else computed on the GPU before or after the run.",
    )


def _query(fields: Sequence[str]) -> list[str]:
    return [f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]


def _rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split(",")] for line in text.splitlines() if line.strip()]


def _gpu(row: Sequence[str]) -> Gpu:
    index, uuid, name, driver_version, capability, bus_id, mig = row
    if mig == "Enabled":
        raise BenchError(f"GPU {index} is split by MIG, whose parts cannot be measured here: switch MIG off")
    major, _, minor = capability.partition(".")
    return Gpu(index, uuid, name, driver_version, (int(major), int(minor)), bus_id)


def _is_one_of(uuid: str, gpus: Sequence[Gpu]) -> bool:
    return uuid in {gpu.uuid for gpu in gpus}


def clock_samples(text: str, gpus: Sequence[Gpu]) -> tuple[ClockSample, ...]:
    """The samples of these GPUs, of lines such as ``GPU-1, 1980, 0x0000000000000004``."""
    rows = [row for row in _rows(text) if _is_one_of(row[0], gpus)]
    return tuple(
        ClockSample(int(clock), int(reasons, 16))
        for _, clock, reasons in rows
        if clock.isdigit() and reasons.startswith("0x")
    )


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
