"""The neuron backend: one compiled program per batch size, one replica per NeuronCore."""

from __future__ import annotations

import logging
import os
import resource
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from benchlib.backends.base import (
    Backend,
    CompileNotes,
    DeviceDescription,
    Program,
    Replica,
    ResolvedPrecision,
)
from benchlib.backends.neuron import flags, placement, sysfs
from benchlib.backends.neuron.host import NeuronDevice, NeuronHost, is_hardware, is_marked, scrub
from benchlib.backends.neuron.watch import DeviceWatch, watching
from benchlib.errors import BadInput, BenchError
from benchlib.neuron_failures import FailureClass, classify

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

COMPILER_LOG = "log-neuron-cc.txt"
COMMAND_FILE = "command.txt"
"""Beside the log in some releases: the compiler's command line alone."""
LOG_TAIL_LINES = 40
OLDEST_TRANSFORMERS = (4, 52)
"""AWS's table of supported versions starts here; it names no end."""
NEXT_TRANSFORMERS = (5, 0)
"""What AWS's BERT examples call is gone from here on."""

FLAGS_UNSEEN = (
    f"not checked whether the compiler ran with the flags that were asked: its log ({COMPILER_LOG}) does not "
    "show its command line"
)

STANDIN_DEVICE = "Neuron stand-in"


class NeuronFailed(BenchError):
    """Compiling or loading failed on the Neuron side."""

    def __init__(self, what: str, failure: FailureClass | None, log_tail: tuple[str, ...] = ()) -> None:
        super().__init__(f"{what}. {failure.sentence}" if failure else what)
        self.failure = failure
        """``None``: not a known kind."""
        self.log_tail = log_tail
        """The compiler's last lines."""


@dataclass(frozen=True)
class CompileReport:
    """How the last compilation of this process went."""

    flags: tuple[str, ...]
    applied_flags: tuple[str, ...] | None
    """What the compiler's command line was seen to have; ``None`` where its log does not show it."""
    on_cpu: bool
    """True: no device took part."""
    duration_s: float
    """Of the trace alone."""
    peak_rss_bytes: int
    """The largest child process of this one, which is the compiler."""
    log_tail: tuple[str, ...]
    environment: Mapping[str, str]
    """Variables that the compiler reads."""


class NeuronBackend(Backend):
    """Inferentia2 through torch_neuronx. One instance per process, and a process for each job."""

    name = "neuron"

    def __init__(self, host: NeuronHost | None = None) -> None:
        self._host = host or NeuronHost.from_environment()
        self.compile_report: CompileReport | None = None

    @cached_property
    def _devices(self) -> tuple[NeuronDevice, ...]:
        return self._host.devices()

    def describe(self) -> DeviceDescription:
        """Driver, tools and metadata are asked; no core is claimed and torch_neuronx is not imported."""
        torch_neuronx = _version("torch-neuronx")
        hardware = is_hardware(
            own_root=self._host.own_root,
            driver_loaded=self._host.driver_loaded(),
            torch_neuronx=torch_neuronx,
        )
        is_standin = is_marked(torch_neuronx) or not self._host.own_root
        instance_type = self._host.instance_type(self._devices)
        return DeviceDescription(
            hardware=hardware,
            device=STANDIN_DEVICE if is_standin else self._device_name(),
            cores=len(self._visible_cores()) if self._devices else 0,
            # Never to be taken for the series of the real thing.
            instance_type=f"stand-in {instance_type or ''}".strip() if is_standin else instance_type,
            versions=_known(torch_neuronx=torch_neuronx, neuronx_cc=_version("neuronx-cc")),
            host_versions=_known(
                neuron_driver=self._host.driver_version(), neuron_runtime=self._host.runtime_version()
            ),
            program_traits=_known(
                default_flags=flags.default_flags(),
                torch_xla=_version("torch-xla"),
                libneuronxla=_version("libneuronxla"),
                **_compiler_variables(),
            ),
        )

    def resolve_precision(self, asked: Literal["auto", "fp32", "bf16"]) -> ResolvedPrecision:
        """bf16 by default; both are supported."""
        return "bf16" if asked == "auto" else asked

    def check_compiler_args(self, compiler_args: Sequence[str]) -> None:
        """Flags of neuronx-cc, the first possibly ``profile:NAME``."""
        flags.check(compiler_args)

    def compile(self, program: Program, workdir: Path, filename: str) -> Path:
        """Trace with the compiler's files in ``workdir / "neuronx-cc"``; see also `compile_report`.

        Where the kernel has no Neuron driver the compiler runs without a device. Otherwise the program is
        loaded on a core when this returns, as torch_neuronx does it, until the process ends.

        Raises:
            BadInput: flags that contradict the precision, or a transformers that AWS does not support.
            NeuronFailed: the compiler or the runtime refused, or the compiler ran with other flags.
        """
        compiler_flags = flags.compiler_flags(program.precision, program.compiler_args)
        _check_inputs(program.example)
        _check_transformers(_version("transformers"))
        on_cpu = not self._host.driver_loaded()
        self._prepare_process(on_cpu, flags.target(compiler_flags))
        compiler_dir = workdir / "neuronx-cc"
        compiler_dir.mkdir(parents=True, exist_ok=True)
        began_s = time.perf_counter()
        traced = self._trace(program, compiler_dir, compiler_flags, on_cpu)
        self.compile_report = CompileReport(
            flags=compiler_flags,
            applied_flags=_applied_flags(compiler_dir, compiler_flags),
            on_cpu=on_cpu,
            duration_s=time.perf_counter() - began_s,
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
            log_tail=_log_tail(compiler_dir),
            environment=_compiler_variables(),
        )
        return _save(traced, workdir / filename)

    def compile_notes(self) -> CompileNotes:
        """The flags that the compiler's log shows, or a warning that it shows none."""
        if self.compile_report is None:
            return CompileNotes()
        if self.compile_report.applied_flags is None:
            return CompileNotes(warnings=(FLAGS_UNSEEN,))
        return CompileNotes(self.compile_report.applied_flags)

    def load(self, artifact: Path, core: int) -> Replica:
        """Load onto one core; the first load claims all cores that this process may see.

        Raises:
            BenchError: no device, or more replicas than cores.
            NeuronFailed: the runtime refused.
        """
        if not self._devices:
            raise BenchError("no Neuron device on this host: a program can be compiled here, not run")
        torch_neuronx = placement.import_torch_neuronx()
        import torch

        visible = self._visible_cores()
        index = placement.index_in_process(core)
        if index >= len(visible):
            raise BadInput(
                "replicas", core + 1, f"at most one per visible core, of which there are {len(visible)}"
            )
        try:
            with placement.placed_on(torch_neuronx, index, len(visible)):
                replica: Replica = torch.jit.load(str(artifact))
        except RuntimeError as error:
            self._fail(f"loading onto core {core} failed", error)
        return replica

    def try_out(self, artifact: Path, example: tuple[torch.Tensor, ...]) -> torch.Tensor | None:
        """As every backend does it, but on a host that only compiles."""
        return super().try_out(artifact, example) if self._devices else None

    def worker_cpus(self, core: int) -> frozenset[int] | None:
        """The CPUs next to the core's chip, as far as this process may use them."""
        core_of_host = self._visible_cores()[placement.index_in_process(core)]
        for device in self._devices:
            if core_of_host in self._cores_of(device):
                return device.cpu_affinity & frozenset(os.sched_getaffinity(0)) or None
        return None

    def worker_context(self) -> AbstractContextManager[Any]:
        """``no_grad``: nothing is documented about ``inference_mode`` with Neuron programs."""
        import torch

        context: AbstractContextManager[Any] = torch.no_grad()
        return context

    def needs_process_per_core(self) -> bool:
        """True for a torch_neuronx that cannot place a model on a core."""
        return not placement.has_placement()

    def process_environment(self, cores: Sequence[int]) -> dict[str, str]:
        """Variables for a child process that loads replicas onto these cores only."""
        return placement.process_environment(cores)

    def watch(self, workdir: Path, cores: int) -> AbstractContextManager[DeviceWatch]:
        """Watch the device while a measurement uses so many cores; the checks are there afterwards."""
        return watching(self._host, workdir, cores)

    def device_pids(self) -> frozenset[int] | None:
        """Processes that hold a core, as far as they can be seen from here.

        In a container neuron-ls may tell numbers of the host's: those that this namespace does not have could
        be our own and are left out.
        """
        try:
            listed = {process.pid for device in self._host.devices() for process in device.processes}
        except BenchError:
            return None
        return frozenset(pid for pid in listed if Path(f"/proc/{pid}").exists())

    def _visible_cores(self) -> tuple[int, ...]:
        return placement.visible_cores(sum(device.core_count for device in self._devices))

    def _cores_of(self, device: NeuronDevice) -> Sequence[int]:
        first = sum(d.core_count for d in self._devices if d.index < device.index)
        return device.core_ids or range(first, first + device.core_count)

    def _device_name(self) -> str:
        directories = sysfs.device_directories(self._host.root)
        if not self._devices:
            return "none: Neuron compiler on a CPU"
        return (sysfs.architecture(directories[0]).device_name if directories else None) or "Neuron device"

    def _prepare_process(self, on_cpu: bool, target: str) -> None:
        """Set what must be in the environment before any Neuron library is imported."""
        if on_cpu:
            os.environ.setdefault(placement.TARGET_OVERRIDE, target)
        elif placement.VISIBLE_CORES not in os.environ:
            # Tracing loads the program: it needs one core, not all of them.
            os.environ.setdefault(placement.NUM_CORES, "1")

    def _trace(
        self, program: Program, compiler_dir: Path, compiler_flags: tuple[str, ...], on_cpu: bool
    ) -> Any:
        torch_neuronx = placement.import_torch_neuronx()
        options: dict[str, Any] = {
            "compiler_workdir": str(compiler_dir),
            "compiler_args": list(compiler_flags),
        }
        if on_cpu:
            if not placement.accepts(torch_neuronx.trace, "cpu_backend"):
                raise BenchError(
                    "this torch_neuronx compiles only where a Neuron device is: it has no cpu_backend"
                )
            options["cpu_backend"] = True
        try:
            return torch_neuronx.trace(program.module, program.example, **options)
        except RuntimeError as error:
            self._fail("compiling failed", error, _log_tail(compiler_dir))

    def _fail(self, what: str, error: RuntimeError, log_tail: tuple[str, ...] = ()) -> NoReturn:
        for line in log_tail:
            log.info("%s", line)
        said = scrub(str(error).strip())
        failure = classify("\n".join((said, *log_tail)))
        owners = self._owners() if failure and failure.name == "cores_taken" else ""
        raise NeuronFailed(
            f"{what}: {(said.splitlines() or ['no message'])[0]}{owners}", failure, log_tail
        ) from error

    def _owners(self) -> str:
        """Who holds cores right now; nothing when that cannot be told."""
        try:
            devices = self._host.devices()
        except BenchError:
            return ""
        owners = {process.pid: process.command for device in devices for process in device.processes}
        owners.pop(os.getpid(), None)
        listed = ", ".join(f"{pid} ({command})" if command else str(pid) for pid, command in owners.items())
        return f"; cores are held by process {listed}" if listed else ""


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _known(**found: str | None) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in found.items() if value)


def _compiler_variables() -> dict[str, str]:
    """Flags that come from the environment; they have been seen to work and not to work, so they count."""
    return {name: os.environ[name] for name in ("NEURON_CC_FLAGS",) if os.environ.get(name)}


def _check_inputs(example: Sequence[torch.Tensor]) -> None:
    """NaN slows the device down, and a negative id reads beside the embedding table."""
    for tensor in example:
        bad = ~tensor.isfinite() if tensor.is_floating_point() else tensor < 0
        if bool(bad.any()):
            raise BadInput(
                "example", "NaN, infinite or negative values", "finite numbers and valid token ids"
            )


def _check_transformers(found: str | None) -> None:
    problem = transformers_problem(found)
    if problem and found and _release(found) < OLDEST_TRANSFORMERS:
        raise BadInput("transformers", found, problem)
    if problem and found:
        log.warning("transformers %s: %s", found, problem)


def transformers_problem(found: str | None) -> str | None:
    """What is wrong with a version of transformers, in words that also say which would be right."""
    oldest, following = (".".join(map(str, v)) for v in (OLDEST_TRANSFORMERS, NEXT_TRANSFORMERS))
    wanted = f"at least {oldest} and below {following} for torch-neuronx"
    if found is None:
        return f"{wanted}; none is installed"
    return None if OLDEST_TRANSFORMERS <= _release(found) < NEXT_TRANSFORMERS else wanted


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])


def _applied_flags(compiler_dir: Path, asked: Sequence[str]) -> tuple[str, ...] | None:
    """The flags that the compiler's files show; raises `NeuronFailed` when others were asked."""
    files = [path for name in (COMPILER_LOG, COMMAND_FILE) for path in sorted(compiler_dir.rglob(name))]
    found = (flags.command_flags(path.read_text(errors="replace")) for path in files)
    applied = next((one for one in found if one is not None), None)
    if applied is None:
        return None
    lost, told = flags.not_applied(asked, applied), flags.without_files(applied)
    if lost:
        raise NeuronFailed(
            f"the compiler did not run with {', '.join(lost)}: by its own log it ran with "
            f"{' '.join(told) or 'no flags'}. What changes flags on their way is NEURON_CC_FLAGS, or a fault "
            "of this torch_neuronx",
            None,
        )
    return told


def _log_tail(compiler_dir: Path) -> tuple[str, ...]:
    logs = sorted(compiler_dir.rglob(COMPILER_LOG), key=lambda path: path.stat().st_mtime)
    if not logs:
        return ()
    lines = logs[-1].read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return tuple(scrub(line) for line in lines)


def _save(traced: Any, path: Path) -> Path:
    """Under a temporary name first: a file that is there is whole."""
    import torch

    partial = path.with_name(path.name + ".partial")
    torch.jit.save(traced, str(partial))
    return partial.replace(path)
