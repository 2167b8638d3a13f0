"""The cuda backend without a GPU: its questions to a stand-in for nvidia-smi, its programs on the CPU."""

from __future__ import annotations

import os
import pickle
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchlib.backends import get_backend
from benchlib.backends.cuda import CudaBackend, NvidiaHost
from benchlib.errors import BadInput, BenchError
from benchlib.results import Check
from tests import dataplane
from tests.backends.nvidia_standin import L4, T4, NvidiaStandIn
from tests.core.conftest import Bench

DEVICE_FILE = Path("/dev/null")
"""A character device, as the driver's control file is one."""


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# What it says of the host.


def test_it_is_found_by_its_name() -> None:
    assert isinstance(get_backend("cuda"), CudaBackend)


def test_a_host_is_described_by_nvidia_smi(tmp_path: Path) -> None:
    backend = CudaBackend(NvidiaStandIn.build(tmp_path / "smi", L4, T4).host(DEVICE_FILE))
    described = backend.describe()
    assert described.hardware
    assert described.device == "NVIDIA L4, driver 570.124.06; Tesla T4, driver 570.124.06"
    assert described.cores == 2


def test_only_what_the_kernel_knows_too_is_hardware(tmp_path: Path) -> None:
    described = CudaBackend(NvidiaStandIn.build(tmp_path / "smi", L4).host()).describe()
    assert not described.hardware
    assert described.cores == 1


def test_a_host_without_nvidia_smi_has_no_gpu(tmp_path: Path) -> None:
    backend = CudaBackend(NvidiaHost(smi=str(tmp_path / "nvidia-smi"), control=DEVICE_FILE))
    described = backend.describe()
    assert not described.hardware
    assert described.cores == 0
    for precision in ("auto", "fp32"):
        with pytest.raises(BadInput, match="nvidia-smi lists no GPU"):
            backend.resolve_precision(precision)


def test_a_driver_that_does_not_answer_is_quoted(tmp_path: Path) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho couldn\\'t communicate with the driver; exit 9\n")
    smi.chmod(0o755)
    with pytest.raises(BenchError, match="status 9: couldn't communicate with the driver"):
        CudaBackend(NvidiaHost(str(smi))).describe()


def test_a_split_gpu_is_refused(tmp_path: Path) -> None:
    split = L4.replace("[N/A]", "Enabled")
    with pytest.raises(BenchError, match="GPU 0 is split by MIG"):
        CudaBackend(NvidiaStandIn.build(tmp_path / "smi", split).host()).describe()


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("1,0", ["Tesla T4", "NVIDIA L4"]),
        ("GPU-bbbb", ["Tesla T4"]),
        ("", []),
        ("-1", []),
        (None, ["NVIDIA L4", "Tesla T4"]),
    ],
)
def test_only_visible_gpus_count_and_in_their_order(
    tmp_path: Path, visible: str | None, names: list[str]
) -> None:
    host = NvidiaStandIn.build(tmp_path / "smi", L4, T4).host(visible=visible)
    assert [gpu.name for gpu in host.gpus()] == names


@pytest.mark.parametrize("visible", ["2", "MIG-cccc", "GPU-cccc", "0,x"])
def test_a_visible_gpu_that_is_not_there_is_refused(tmp_path: Path, visible: str) -> None:
    host = NvidiaStandIn.build(tmp_path / "smi", L4, T4).host(visible=visible)
    with pytest.raises(BadInput, match=r"CUDA_VISIBLE_DEVICES: .* GPUs 0, 1"):
        host.gpus()


def test_bf16_is_chosen_where_every_gpu_computes_in_it(tmp_path: Path) -> None:
    backend = CudaBackend(NvidiaStandIn.build(tmp_path / "smi", L4).host())
    assert backend.resolve_precision("auto") == "bf16"
    assert backend.resolve_precision("bf16") == "bf16"
    assert backend.resolve_precision("fp32") == "fp32"


def test_bf16_is_refused_where_a_gpu_would_emulate_it(tmp_path: Path) -> None:
    backend = CudaBackend(NvidiaStandIn.build(tmp_path / "smi", L4, T4).host())
    assert backend.resolve_precision("auto") == "fp32"
    with pytest.raises(BadInput, match=r"needs compute capability 8\.0, Tesla T4 has 7\.5") as refusal:
        backend.resolve_precision("bf16")
    assert refusal.value.field == "precision"


def test_capabilities_are_compared_as_numbers(tmp_path: Path) -> None:
    newest = L4.replace("8.9", "10.0")
    backend = CudaBackend(NvidiaStandIn.build(tmp_path / "smi", newest).host())
    assert backend.resolve_precision("auto") == "bf16"


def test_flags_are_refused() -> None:
    with pytest.raises(BadInput, match="none on the cuda backend"):
        CudaBackend().check_compiler_args(["-O2"])


def test_workers_run_next_to_their_gpu(tmp_path: Path) -> None:
    standin = NvidiaStandIn.build(tmp_path / "smi", L4, T4)
    usable = sorted(os.sched_getaffinity(0))
    near = standin.folder / "pci" / "0000:af:00.0"
    near.mkdir(parents=True)
    (near / "local_cpulist").write_text(f"{usable[-1]},4000-4003\n")
    backend = CudaBackend(standin.host())
    assert backend.worker_cpus(1) == {usable[-1]}
    assert backend.worker_cpus(0) is None


def test_load_generating_processes_get_the_backend(tmp_path: Path) -> None:
    backend = CudaBackend(NvidiaStandIn.build(tmp_path / "smi", L4, T4).host(visible="1"))
    expected = backend.describe()
    assert pickle.loads(pickle.dumps(backend)).describe() == expected


# What it sees while something is measured.


def watched(
    standin: NvidiaStandIn, workdir: Path, during: Callable[[Path], None], cores: int = 1
) -> dict[str, Check]:
    workdir.mkdir()
    with CudaBackend(standin.host()).watch(workdir, cores) as watch:
        during(workdir / "nvidia-smi.csv")
    return {check.name: check for check in watch.checks}


def nothing(_samples: Path) -> None:
    pass


def test_a_quiet_run_passes(tmp_path: Path) -> None:
    checks = watched(NvidiaStandIn.build(tmp_path / "smi", L4), tmp_path / "work", nothing)
    assert list(checks) == ["gpu_not_throttled", "gpu_errors_unchanged", "no_foreign_processes"]
    assert all(check.passed for check in checks.values())
    assert "2040 to 2040 MHz under load" in checks["gpu_not_throttled"].advice


@pytest.mark.parametrize("newest", [True, False])
def test_a_gpu_that_was_hot_for_a_moment_fails(tmp_path: Path, newest: bool) -> None:
    standin = NvidiaStandIn.build(tmp_path / "smi", L4, newest=newest)

    def hot_in_between(samples: Path) -> None:
        standin.say("clocks", "GPU-aaaa1111, 1200, 0x0000000000000060")
        wait_for(lambda: "1200" in samples.read_text())
        standin.say("clocks", "GPU-aaaa1111, 300, 0x0000000000000001")

    check = watched(standin, tmp_path / "work", hot_in_between)["gpu_not_throttled"]
    assert not check.passed
    assert check.figure is not None
    assert check.figure >= 1
    assert "by the driver because of heat, slowed down by the hardware because of heat" in check.advice
    assert "1200 to" in check.advice
    assert " 300 " not in check.advice, "an idle clock is not a clock under load"


@pytest.mark.parametrize(
    ("reasons", "passed"),
    [
        ("0x0000000000000001", True),
        ("0x0000000000000004", True),
        ("0x0000000000000008", False),
        ("0x0000000000000080", False),
        ("0x0000000000000044", False),
    ],
)
def test_which_reasons_count_as_throttled(tmp_path: Path, reasons: str, passed: bool) -> None:
    standin = NvidiaStandIn.build(tmp_path / "smi", L4)
    standin.say("clocks", f"GPU-aaaa1111, 1500, {reasons}")
    check = watched(standin, tmp_path / "work", nothing)["gpu_not_throttled"]
    assert check.passed == passed
    assert ("at its power limit" in check.advice) == bool(int(reasons, 16) & 4)


def test_the_sampler_ends_with_the_run_even_when_that_fails(tmp_path: Path) -> None:
    standin = NvidiaStandIn.build(tmp_path / "smi", L4)

    def fail(samples: Path) -> None:
        wait_for(lambda: samples.exists() and samples.stat().st_size > 0)
        raise RuntimeError("the run failed")

    with pytest.raises(RuntimeError, match="the run failed"):
        watched(standin, tmp_path / "work", fail)
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if str(standin.folder) in command] == []


def test_a_new_memory_error_fails(tmp_path: Path) -> None:
    standin = NvidiaStandIn.build(tmp_path / "smi", L4)
    standin.say("errors", "GPU-aaaa1111, 7")
    check = watched(
        standin, tmp_path / "work", lambda _: standin.say("errors", "GPU-aaaa1111, 9")
    )["gpu_errors_unchanged"]  # fmt: skip
    assert not check.passed
    assert check.figure == 2


def test_old_memory_errors_pass(tmp_path: Path) -> None:
    standin = NvidiaStandIn.build(tmp_path / "smi", L4)
    standin.say("errors", "GPU-aaaa1111, 7")
    assert watched(standin, tmp_path / "work", nothing)["gpu_errors_unchanged"].passed


def test_what_a_gpu_does_not_count_is_left_out(tmp_path: Path) -> None:
    standin = NvidiaStandIn.build(tmp_path / "smi", L4)
    standin.say("errors", "GPU-aaaa1111, [N/A]")
    standin.say("clocks", "GPU-aaaa1111, [N/A], [N/A]")
    assert list(watched(standin, tmp_path / "work", nothing)) == ["no_foreign_processes"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_somebody_elses_process_fails(tmp_path: Path, when: str) -> None:
    standin = NvidiaStandIn.build(tmp_path / "smi", L4)
    row = f"GPU-aaaa1111, {os.getppid()}, /usr/bin/trainer"
    if when == "before":
        standin.say("processes", row)
    change = () if when == "before" else (row,)
    check = watched(standin, tmp_path / "work", lambda _: standin.say("processes", *change))[
        "no_foreign_processes"
    ]
    assert not check.passed
    assert f"trainer ({os.getppid()})" in check.advice


def test_our_own_processes_are_not_foreign(tmp_path: Path) -> None:
    standin = NvidiaStandIn.build(tmp_path / "smi", L4)
    child = subprocess.Popen(["true"])
    child.wait()
    ours = [f"GPU-aaaa1111, {pid}, python" for pid in (os.getpid(), child.pid)]
    check = watched(standin, tmp_path / "work", lambda _: standin.say("processes", *ours))
    assert check["no_foreign_processes"].passed


def test_only_the_gpus_in_use_are_watched(tmp_path: Path) -> None:
    standin = NvidiaStandIn.build(tmp_path / "smi", L4, T4)
    standin.say("processes", f"GPU-bbbb2222, {os.getppid()}, trainer")
    standin.say("clocks", "GPU-aaaa1111, 2040, 0x0", "GPU-bbbb2222, 500, 0x0000000000000008")
    assert all(check.passed for check in watched(standin, tmp_path / "one", nothing, cores=1).values())
    both = watched(standin, tmp_path / "two", nothing, cores=2)
    assert {name for name, check in both.items() if not check.passed} == {
        "gpu_not_throttled",
        "no_foreign_processes",
    }


# Its programs, in the data plane's own interpreter: on the CPU, with a log in the place of streams.

PRELUDE = """
import contextlib, os, pickle, sys
from pathlib import Path
from benchlib.backends.cuda import CudaBackend, TorchRuntime
imported_early = "torch" in sys.modules
import torch
from benchlib.backends.base import Program

LOG = []

class Stream:
    def __init__(self, device):
        self.name = f"stream {len([e for e in LOG if e[0] == 'made'])} of {device}"
        LOG.append(("made", self.name))
    def synchronize(self):
        LOG.append(("waited", self.name))

class CpuRuntime:
    def device(self, index):
        LOG.append(("device", index))
        return torch.device("cpu")
    def stream(self, device):
        return Stream(device)
    @contextlib.contextmanager
    def on(self, stream):
        LOG.append(("entered", stream.name))
        yield
        LOG.append(("left", stream.name))

module = torch.nn.Sequential(torch.nn.Embedding(50, 8), torch.nn.Flatten(), torch.nn.Linear(32, 2)).eval()
example = (torch.arange(8).reshape(2, 4),)
backend = CudaBackend(runtime=CpuRuntime())
def compiled(folder, precision="fp32"):
    return backend.compile(Program(module, example, precision, ()), Path(folder), "model_batch_size_2.pt")
"""


def facts(code: str) -> Any:
    return dataplane.facts(PRELUDE + code)


@pytest.mark.dataplane
def test_a_replica_waits_on_a_stream_of_its_own(tmp_path: Path) -> None:
    found = facts(f"""
path = compiled({str(tmp_path)!r})
with backend.worker_context():
    replicas = [backend.load(path, core) for core in (0, 0, 1)]
    LOG.append(("calls",))
    outputs = [replica(*example) for replica in replicas]
    error = max((output - module(*example)).abs().max().item() for output in outputs)
from benchlib.loadgen.native import is_torchscript
facts = dict(log=LOG, error=error, early=imported_early, numbers=outputs[0].float().numpy().shape,
             native=is_torchscript(replicas[0]), name=path.name)
""")
    assert not found["early"], "describing the device must not import torch"
    calls = found["log"].index(["calls"])
    assert [index for event, index in map(tuple, found["log"][:calls]) if event == "device"] == [0, 0, 0, 1]
    assert found["log"][calls + 1 :] == [
        [event, f"stream {number} of cpu"] for number in range(3) for event in ("entered", "left", "waited")
    ]
    assert found["error"] == 0
    assert found["numbers"] == [2, 2]
    assert not found["native"], "the native loop would not wait for the output"
    assert found["name"] == "model_batch_size_2.pt"


@pytest.mark.dataplane
def test_inputs_are_moved_once_and_again_when_they_are_others(tmp_path: Path) -> None:
    found = facts(f"""
class Input:
    def __init__(self, tensor):
        self.tensor, self.moves = tensor, 0
    def to(self, device):
        self.moves += 1
        return self.tensor
replica = backend.load(compiled({str(tmp_path)!r}), 0)
first, other = Input(example[0]), Input(example[0] + 1)
with backend.worker_context():
    answers = [replica(given) for given in (first, first, first, other)]
    right = [module(given.tensor) for given in (first, first, first, other)]
facts = dict(moves=[first.moves, other.moves], equal=[bool((a == b).all()) for a, b in zip(answers, right)],
             different=bool((answers[0] != answers[3]).any()))
""")
    assert found == {"moves": [1, 1], "equal": [True] * 4, "different": True}


@pytest.mark.dataplane
def test_bf16_is_in_the_program_and_not_in_the_model(tmp_path: Path) -> None:
    found = facts(f"""
output = backend.try_out(compiled({str(tmp_path)!r}, "bf16"), example)
facts = dict(output=str(output.dtype), model=str(next(module.parameters()).dtype))
""")
    assert found == {"output": "torch.bfloat16", "model": "torch.float32"}


@pytest.mark.dataplane
def test_a_program_runs_on_another_device_than_it_was_traced_on() -> None:
    found = facts("""
from benchlib.backends.cuda import rehome
class Fills(torch.nn.Module):
    def forward(self, x):
        kept = torch.ones_like(x, device="cpu")
        return torch.ones_like(x, device=x.device), kept
traced = torch.jit.trace(Fills().eval(), torch.ones(3, device="meta"), check_trace=False)
def devices(program):
    return [str(output.device) for output in program(torch.ones(3))]
as_traced, rehomed = torch.jit.freeze(traced), torch.jit.freeze(traced)
rehome(rehomed, torch.device("cpu"))
with_cpu = torch.jit.freeze(traced)
rehome(with_cpu, torch.device("meta"))
facts = dict(as_traced=devices(as_traced), rehomed=devices(rehomed), with_cpu=devices(with_cpu))
""")
    assert found["as_traced"] == ["meta", "cpu"]
    assert found["rehomed"] == ["cpu", "cpu"]
    assert found["with_cpu"] == ["meta", "cpu"], "where the model asks for the CPU it gets the CPU"


@pytest.mark.dataplane
def test_a_torch_without_cuda_is_named(tmp_path: Path) -> None:
    found = facts("""
try:
    TorchRuntime().device(torch.cuda.device_count())
except Exception as error:
    facts = dict(kind=type(error).__name__, said=str(error), order=os.environ["CUDA_DEVICE_ORDER"])
""")
    assert found["kind"] == "BenchError"
    assert "install its CUDA build" in found["said"]
    assert found["order"] == "PCI_BUS_ID", "nvidia-smi counts that way"


STANDIN = """
from pathlib import Path
import contextlib
from benchlib.backends.cuda import CudaBackend, NvidiaHost

class Stream:
    def synchronize(self):
        pass

class CpuRuntime:
    def device(self, index):
        import torch
        return torch.device("cpu")
    def stream(self, device):
        return Stream()
    def on(self, stream):
        return contextlib.nullcontext()

class Offered(CudaBackend):
    name = "gpustandin"

    def __init__(self):
        super().__init__(NvidiaHost({smi!r}, control=Path({control!r})), CpuRuntime())
"""


@pytest.mark.dataplane
@pytest.mark.parametrize("worker_mode", ["thread", "process"])
def test_both_steps_of_a_sweep_on_a_stand_in(tmp_path: Path, worker_mode: str) -> None:
    standin = NvidiaStandIn.build(tmp_path / "smi", L4)
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    host = standin.host()
    code = STANDIN.format(smi=host.smi, control=str(host.control))
    dataplane.install_backend(plugins, "gpustandin", code)
    bench = Bench(tmp_path, dataplane.environment(plugins))
    done, compiled = bench.compile(backend="gpustandin")
    assert done.returncode == 0, done.stderr
    assert compiled["precision"] == "bf16"
    load = {"replicas": 2, "workers": 2, "batches_per_worker": 200, "worker_mode": worker_mode}
    done, measured = bench.run("measure", bench.measure_request(compiled, **load))
    assert done.returncode == 0, done.stderr
    assert measured["environment"]["device"] == "NVIDIA L4, driver 570.124.06"
    assert not measured["environment"]["hardware"], "a stand-in is never a GPU"
    checks = {check["name"]: check["passed"] for check in measured["checks"]}
    watched_names = ("gpu_not_throttled", "gpu_errors_unchanged", "no_foreign_processes")
    assert [checks[name] for name in (*watched_names, "outputs_match_reference")] == [True] * 4


@pytest.mark.dataplane
def test_the_try_out_on_a_gpu_says_where_there_is_none(tmp_path: Path) -> None:
    script = dataplane.ROOT / "benchmarks" / "cuda_smoke.py"
    env = dataplane.environment(PATH=str(tmp_path))
    done = subprocess.run(
        [dataplane.PYTHON, str(script)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == "There is no GPU to try here: no NVIDIA GPU\n"
