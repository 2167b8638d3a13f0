"""The neuron backend against the stand-in: every case in the data plane's own interpreter."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchlib.backends.neuron import NeuronBackend
from benchlib.backends.neuron.backend import transformers_problem
from benchlib.backends.neuron.host import NeuronHost
from benchlib.neuron_failures import classify
from tests import dataplane
from tests.core.conftest import Bench
from tests.standin.neuron_standin.builder import STANDIN, StandinHost, build_host

MODEL = {"name": "config:bert-tiny", "sequence_length": 16}
BF16_FLAGS = ["--target", "inf2", "--model-type", "transformer", "--auto-cast", "matmult"]

PRELUDE = """
import logging, os, sys, warnings
from pathlib import Path
import torch
from benchlib.backends.base import Program
from benchlib.backends.neuron import NeuronBackend

module = torch.nn.Sequential(torch.nn.Embedding(50, 8), torch.nn.Flatten(), torch.nn.Linear(32, 2)).eval()
example = (torch.arange(8).reshape(2, 4),)
backend = NeuronBackend()
def compiled(folder, flags=(), precision="bf16", inputs=example):
    Path(folder).mkdir(parents=True, exist_ok=True)
    return backend.compile(Program(module, inputs, precision, flags), Path(folder), "model_batch_size_2.pt")
def said(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
"""


@pytest.fixture
def host(tmp_path: Path) -> StandinHost:
    return build_host(tmp_path / "host", Path(dataplane.PYTHON))


def variables(host: StandinHost, **more: str) -> dict[str, str]:
    own = {"BENCH_NEURON_ROOT": str(host.root), "NEURON_STANDIN_SDK": host.sdk.release}
    return dataplane.environment(STANDIN, **own, **more)


def facts(host: StandinHost, code: str, **more: str) -> Any:
    return dataplane.facts(PRELUDE + code, variables(host, **more))


@pytest.mark.dataplane
def test_compiling_on_a_device_host(host: StandinHost, tmp_path: Path) -> None:
    found = facts(
        host,
        f"""
imported_early = "torch_neuronx" in sys.modules
path = compiled({str(tmp_path / "work")!r}, flags=("--verbose", "info"))
from torch_neuronx._runtime import runtime
report = backend.compile_report
error = (backend.try_out(path, example) - module(*example)).abs().max().item()
facts = dict(
    imported_early=imported_early, path=str(path), flags=report.flags, on_cpu=report.on_cpu,
    tail=report.log_tail, applied=report.applied_flags,
    notes=[backend.compile_notes().applied_flags, backend.compile_notes().warnings],
    rss=report.peak_rss_bytes, duration_s=report.duration_s,
    cores=[core.number for core in runtime.cores], error=error,
)
""",
        NEURON_STANDIN_COMPILE_BYTES=str(900 * 2**20),
    )
    assert not found["imported_early"]
    assert found["flags"] == [*BF16_FLAGS, "--auto-cast-type", "bf16", "-O2", "--verbose", "info"]
    assert not found["on_cpu"]
    assert found["tail"][0].endswith(f" --framework XLA {' '.join(found['flags'])}")
    assert found["applied"] == ["--framework", "XLA", *found["flags"]]
    assert found["notes"] == [found["applied"], []]
    assert found["tail"][-1] == "Compiler status PASS"
    assert found["rss"] > 900 * 2**20
    assert found["duration_s"] > 0
    assert found["cores"] == [0], "a compilation needs one core, not all"
    assert 0 < found["error"] < 0.02
    assert found["path"] == str(tmp_path / "work" / "model_batch_size_2.pt")
    assert not list((tmp_path / "work").glob("*.partial"))
    assert (tmp_path / "work" / "neuronx-cc" / "log-neuron-cc.txt").exists()


@pytest.mark.dataplane
def test_compiling_where_there_is_no_device(tmp_path: Path) -> None:
    found = facts(
        build_host(tmp_path / "host", Path(dataplane.PYTHON), devices=0),
        f"""
path = compiled({str(tmp_path / "work")!r}, precision="fp32")
described = backend.describe()
facts = dict(
    on_cpu=backend.compile_report.on_cpu, tail=backend.compile_report.log_tail,
    flags=backend.compile_report.flags, try_out=backend.try_out(path, example),
    load=said(backend.load, path, 0), hardware=described.hardware, device=described.device,
    cores=described.cores,
)
""",
    )
    assert found["on_cpu"]
    assert "platform target override: inf2" in found["tail"], "it must be there before the first import"
    assert found["flags"][found["flags"].index("--auto-cast") + 1] == "none"
    assert found["try_out"] is None
    assert "can be compiled here, not run" in found["load"]
    assert (found["hardware"], found["device"], found["cores"]) == (False, "Neuron stand-in", 0)


@pytest.mark.dataplane
@pytest.mark.parametrize("sdk", ["2.24", "2.31"])
def test_replicas_are_placed_one_per_visible_core_in_every_release(tmp_path: Path, sdk: str) -> None:
    found = facts(
        build_host(tmp_path / "host", Path(dataplane.PYTHON), devices=6, sdk=sdk),
        f"""
path = compiled({str(tmp_path / "work")!r})
code = '''
import os, sys, warnings
import torch
from pathlib import Path
from benchlib.backends.neuron import NeuronBackend
backend = NeuronBackend()
cores = [int(core) for core in sys.argv[2].split(",")]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    replicas = [backend.load(Path(sys.argv[1]), core) for core in cores]
from torch_neuronx._runtime import runtime
example = (torch.arange(8).reshape(2, 4),)
facts = dict(
    numbers=[c.number for c in runtime.cores], models=[c.models for c in runtime.cores],
    warned=[str(w.message) for w in caught if "experimental" in str(w.message)],
    shapes=[list(replica(*example).shape) for replica in replicas],
    cpus=[sorted(backend.worker_cpus(core) or ()) for core in cores],
)
try:
    backend.load(Path(sys.argv[1]), 9)
except Exception as error:
    facts["beyond"] = str(error)
import json; print("FACTS", json.dumps(facts))
'''
import json, subprocess
def fresh(cores, **more):
    env = {{k: v for k, v in os.environ.items() if k != "NEURON_RT_NUM_CORES"}} | more
    done = subprocess.run([sys.executable, "-c", code, str(path), ",".join(map(str, cores))], env=env,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("FACTS ")[2])
run = {{"NEURON_RT_VISIBLE_CORES": "4-7"}}
os.environ.update(run)
from benchlib.backends.neuron.placement import process_environment
own = process_environment([3])
del os.environ["NEURON_RT_VISIBLE_CORES"]
facts = dict(threads=fresh([0, 1, 2, 3], **run), process=fresh([3], **own))
""",
    )
    threads, process = found["threads"], found["process"]
    assert threads["numbers"] == [4, 5, 6, 7]
    assert threads["models"] == [1, 1, 1, 1]
    assert threads["shapes"] == [[2, 2]] * 4
    assert threads["warned"] == []
    assert "at most one per visible core, of which there are 4" in threads["beyond"]
    near = [] if sdk == "2.24" else sorted({0, 1, 2, 3} & _cpus())
    assert threads["cpus"] == [near] * 4, "the tools of 2.24 do not tell which CPUs are near"
    assert process["numbers"] == [7]
    assert process["models"] == [1]


def _cpus() -> set[int]:
    return os.sched_getaffinity(0)


@pytest.mark.dataplane
def test_flags_that_did_not_arrive_are_a_failure_and_unseen_ones_a_warning(
    host: StandinHost, tmp_path: Path
) -> None:
    found = facts(
        host,
        f"""
folder = {str(tmp_path)!r}
os.environ["NEURON_STANDIN_FAULTS"] = "flags_lost"
lost = said(compiled, folder + "/lost")
os.environ["NEURON_STANDIN_FAULTS"] = "command_unlogged"
unlogged = said(compiled, folder + "/unlogged")
notes = backend.compile_notes()
facts = dict(lost=lost, unlogged=unlogged, applied=notes.applied_flags, warnings=notes.warnings,
             left=sorted(os.listdir(folder + "/lost")))
""",
    )
    assert found["lost"].startswith(
        "NeuronFailed: the compiler did not run with -O2: by its own log it ran with --framework XLA --target"
    )
    assert found["left"] == ["neuronx-cc"], "no program is left that would carry the wrong label"
    assert found["unlogged"] is None
    assert found["applied"] == []
    assert "not checked whether the compiler ran with the flags" in found["warnings"][0]


def test_a_backend_goes_to_another_process_whole(host: StandinHost) -> None:
    """Load-generating processes get the loader, and the backend in it, pickled."""
    backend = NeuronBackend(NeuronHost.from_environment({"BENCH_NEURON_ROOT": str(host.root)}))
    assert pickle.loads(pickle.dumps(backend)).describe() == backend.describe()
    assert pickle.loads(pickle.dumps(NeuronBackend())).describe() == NeuronBackend().describe()


ONE_PER_CORE = """
import json, os, sys
from dataclasses import dataclass
from pathlib import Path
import torch
from benchlib.backends import get_backend
from benchlib.backends.base import Backend
from benchlib.backends.neuron import placement
from benchlib.core.layout import Layout
from benchlib.loadgen import LoadOptions, measure

# As in a torch_neuronx without the function: the one visible core is the only place.
placement.PLACEMENT = "no_such_function"

@dataclass(frozen=True)
class Loader:
    backend: Backend
    program: Path
    layout: Layout

    def __call__(self, index):
        return self.backend.load(self.program, self.layout.core_of_replica(index))

    def environment(self, replicas):
        return self.backend.process_environment(sorted({self.layout.core_of_replica(r) for r in replicas}))

def cores_of(replica, example):
    from torch_neuronx._runtime import runtime
    replica(*example)
    return os.getpid(), [core.number for core in runtime.cores], [core.models for core in runtime.cores]

def run(program):
    loader = Loader(get_backend("neuron"), Path(program), Layout(4, 4, 4))
    options = LoadOptions(replicas=4, processes=4, worker_context=loader.backend.worker_context,
                          probe=cores_of, process_env=loader.environment)
    example = (torch.arange(8).reshape(2, 4),)
    run = measure(loader, example, workers=4, batches_per_worker=5, options=options)
    needed = loader.backend.needs_process_per_core()
    print("FACTS", json.dumps(dict(needed=needed, cores=list(run.probes_before.values()))))
"""


@pytest.mark.dataplane
def test_without_placement_each_replica_gets_a_process_that_sees_one_core(tmp_path: Path) -> None:
    (tmp_path / "one_per_core.py").write_text(ONE_PER_CORE)
    host = build_host(tmp_path / "host", Path(dataplane.PYTHON), devices=2)
    made = facts(
        host,
        f"path = compiled({str(tmp_path / 'work')!r})\nfacts = [str(path), backend.needs_process_per_core()]",
    )
    env = variables(host)
    found = dataplane.facts(
        "import contextlib, io, json\nfrom one_per_core import run\n"
        f"with contextlib.redirect_stdout(io.StringIO()) as said:\n    run({made[0]!r})\n"
        "facts = json.loads(said.getvalue().rpartition('FACTS ')[2])",
        {**env, "PYTHONPATH": f"{tmp_path}:{env['PYTHONPATH']}"},
    )
    assert found["needed"]
    assert not made[1], "with the function there is no need"
    assert len({pid for pid, _, _ in found["cores"]}) == 4
    assert [found_on[1:] for found_on in found["cores"]] == [[[core], [1]] for core in range(4)]


HOLD_ALL_CORES = """
import torch_neuronx
from torch_neuronx._runtime import runtime
runtime.ensure()
print("UP", flush=True)
input()
"""


@pytest.mark.dataplane
def test_failures_are_explained(host: StandinHost, tmp_path: Path) -> None:
    """One process for all: a fault is chosen before each call."""
    other = subprocess.Popen(
        [host.python, "-c", HOLD_ALL_CORES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout
        while "UP" not in other.stdout.readline():
            assert other.poll() is None
        found = facts(
            host,
            f"""
folder = {str(tmp_path)!r}
broken = {{}}
for fault in ("compile_killed", "compile_error"):
    os.environ["NEURON_STANDIN_FAULTS"] = fault
    broken[fault] = said(compiled, f"{{folder}}/{{fault}}")
os.environ["NEURON_STANDIN_FAULTS"] = ""
broken["cores_taken"] = said(compiled, f"{{folder}}/taken")
nan = (torch.tensor([[0.0, float("nan")]]),)
negative = (torch.full((2, 4), -1),)
facts = dict(broken, nan=said(compiled, folder, inputs=nan), negative=said(compiled, folder, inputs=negative),
             flags=said(compiled, folder, flags=("--auto-cast", "none")), left=sorted(os.listdir(folder)))
""",
        )
    finally:
        other.communicate("\n")
    assert found["compile_killed"].startswith(
        "NeuronFailed: compiling failed: neuronx-cc failed with -9. The"
    )
    assert "want of host memory" in found["compile_killed"]
    assert "neuronx-cc failed with 70. The compiler refused" in found["compile_error"]
    assert f"held by process {other.pid} (" in found["cores_taken"]
    assert "free when it ends" in found["cores_taken"]
    for name in ("compile_killed", "compile_error", "cores_taken"):
        assert (failure := classify(found[name])) is not None
        assert failure.name == name.replace("compile_", "compiler_")
    assert found["nan"].startswith("BadInput: example")
    assert found["negative"].startswith("BadInput: example")
    assert found["flags"].startswith("BadInput: compiler_args")
    assert "model_batch_size_2.pt" not in found["left"]


@pytest.mark.dataplane
def test_a_release_that_needs_a_device_to_compile_says_so(tmp_path: Path) -> None:
    host = build_host(tmp_path / "host", Path(dataplane.PYTHON), devices=0, sdk="2.20")
    found = facts(host, f"facts = said(compiled, {str(tmp_path)!r})")
    assert found.startswith("BenchError")
    assert "no cpu_backend" in found


@pytest.mark.dataplane
def test_a_library_that_is_not_what_its_metadata_says_is_refused(host: StandinHost, tmp_path: Path) -> None:
    fake = tmp_path / "fake" / "torch_neuronx"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("def trace(*a, **k): raise AssertionError\n")
    found = dataplane.facts(
        PRELUDE + f"facts = said(compiled, {str(tmp_path)!r})",
        variables(host) | {"PYTHONPATH": f"{fake.parent}:{STANDIN}:{dataplane.ROOT}"},
    )
    assert "is not the package that this environment's metadata names" in found


def test_a_standin_is_never_called_an_accelerator(host: StandinHost) -> None:
    described = NeuronBackend(NeuronHost(host.root, {})).describe()
    assert not described.hardware
    assert described.device == "Neuron stand-in"
    assert described.instance_type == "stand-in inf2.xlarge"
    assert described.cores == 2
    assert dict(described.host_versions) == {"neuron_driver": "2.29.0.0", "neuron_runtime": "2.33.10.0"}
    assert "--auto-cast matmult" in dict(described.program_traits)["default_flags"]


def test_a_driver_upgrade_is_no_new_program(tmp_path: Path) -> None:
    def identity(sdk: str) -> object:
        backend = NeuronBackend(NeuronHost(build_host(tmp_path / sdk, Path("python"), sdk=sdk).root, {}))
        described = backend.describe()
        return described.versions, described.program_traits

    # Neither library is installed where this test runs: only the host differs.
    assert identity("2.30") == identity("2.31")


@pytest.mark.parametrize(
    ("version", "right"),
    [("4.51.3", False), ("4.52.0", True), ("4.57.6", True), ("5.0.0", False), (None, False)],
)
def test_the_range_of_transformers(version: str | None, right: bool) -> None:
    problem = transformers_problem(version)
    assert (problem is None) == right
    assert problem is None or "at least 4.52 and below 5.0" in problem


class NeuronBench(Bench):
    """The data plane's command line on a stand-in host."""

    def __init__(self, folder: Path, host: StandinHost) -> None:
        super().__init__(folder, variables(host))

    def compile_neuron(self, **request: Any) -> tuple[Any, dict[str, Any]]:
        return self.compile(backend="neuron", **request)


@pytest.fixture(scope="module")
def neuron(tmp_path_factory: pytest.TempPathFactory) -> tuple[NeuronBench, dict[str, Any]]:
    """A host of six chips, and a program of batch size 2 compiled on it."""
    folder = tmp_path_factory.mktemp("neuron")
    bench = NeuronBench(folder, build_host(folder / "host", Path(dataplane.PYTHON), devices=6))
    done, result = bench.compile_neuron()
    assert done.returncode == 0, done.stderr
    return bench, result


OF_THE_DEVICE = {
    "outputs_match_reference",
    "outputs_finite",
    "device_memory_errors",
    "device_execution_errors",
    "cores_used",
}
"""The checks that the stand-in answers for; how quiet the host of the tests is, is its own affair."""


def failed_checks(measured: dict[str, Any]) -> set[str]:
    made = {check["name"]: check["passed"] for check in measured["checks"]}
    assert set(made) >= OF_THE_DEVICE
    return {name for name in OF_THE_DEVICE if not made[name]}


@pytest.mark.dataplane
def test_a_sweeps_two_steps_on_twelve_cores(neuron: tuple[NeuronBench, dict[str, Any]]) -> None:
    bench, compiled = neuron
    assert compiled["precision"] == "bf16"
    load = {"batches_per_worker": 700, "rounds": 2}
    done, measured = bench.run(
        "measure", bench.measure_request(compiled, **load), NEURON_STANDIN_SERVICE_MS="2:2.0,4:3.0"
    )
    assert done.returncode == 0, done.stderr
    assert (measured["replicas"], measured["workers"]) == (12, 12)
    environment = measured["environment"]
    assert not environment["hardware"]
    assert environment["device"] == "Neuron stand-in"
    assert environment["instance_type"] == "stand-in inf2.24xlarge"
    assert environment["torch_neuronx"].endswith("+standin")
    assert environment["neuron_driver"] == "2.29.0.0"
    assert failed_checks(measured) == set()
    used = next(check for check in measured["checks"] if check["name"] == "cores_used")
    assert (used["figure"], used["limit"]) == (12, 12)
    told = [(reading["name"], reading["core"]) for reading in measured["telemetry"]]
    assert [core for name, core in told if name == "core_utilisation"] == list(range(12))
    assert {"device_memory", "device_latency_p50", "memory_errors", "execution_errors"} <= dict(told).keys()


@pytest.mark.dataplane
@pytest.mark.parametrize(
    ("faults", "failed"),
    [
        ("nan", {"outputs_finite", "outputs_match_reference"}),
        ("wrong=2", {"outputs_match_reference"}),
        ("wrong=3", set()),
    ],
)
def test_wrong_outputs_invalidate_a_measurement(
    neuron: tuple[NeuronBench, dict[str, Any]], faults: str, failed: set[str]
) -> None:
    bench, compiled = neuron
    done, measured = bench.run(
        "measure", bench.measure_request(compiled, replicas=2), NEURON_STANDIN_FAULTS=faults
    )
    assert done.returncode == 0, done.stderr
    # Whether neuron-monitor saw the NaN too depends on how long the run took: it looks once a second.
    assert failed_checks(measured) - {"device_execution_errors"} == failed


@pytest.mark.dataplane
@pytest.mark.parametrize(
    ("faults", "name"),
    [
        ("timeout@30", "execution_timeout"),
        ("sram_error@30", "sram_ecc"),
        ("device_memory", "device_memory"),
        ("cores_taken", "cores_taken"),
    ],
)
def test_a_device_that_fails_leaves_a_failure_that_can_be_classified(
    neuron: tuple[NeuronBench, dict[str, Any]], faults: str, name: str
) -> None:
    bench, compiled = neuron
    done, failure = bench.run(
        "measure", bench.measure_request(compiled, replicas=2), NEURON_STANDIN_FAULTS=faults
    )
    assert done.returncode == 1
    assert failure["kind"] == "error"
    assert (known := classify(f"{done.stderr}\n{failure['message']}", done.returncode)) is not None
    assert known.name == name


@pytest.mark.dataplane
def test_a_crash_of_the_compiler_is_seen_by_its_signal(neuron: tuple[NeuronBench, dict[str, Any]]) -> None:
    bench, _ = neuron
    request = bench.write({"backend": "neuron", "model": MODEL, "batch_size": 3})
    result = bench.folder / "crashed.json"
    env = {**bench.env, "NEURON_STANDIN_FAULTS": "compile_segfault"}
    done = dataplane.benchlib("compile", request, "--result", result, env=env)
    assert done.returncode == -signal.SIGSEGV
    assert not result.exists()
    assert (known := classify(done.stdout + done.stderr, done.returncode)) is not None
    assert known.name == "native_crash"


@pytest.mark.dataplane
def test_what_is_compiled_without_a_device_is_measured_with_one(tmp_path: Path) -> None:
    builder = NeuronBench(tmp_path, build_host(tmp_path / "builder", Path(dataplane.PYTHON), devices=0))
    done, compiled = builder.compile_neuron()
    assert done.returncode == 0, done.stderr
    assert compiled["environment"]["cores"] is None
    done, failure = builder.run("measure", builder.measure_request(compiled))
    assert done.returncode == 1
    assert "only compile" in failure["message"]
    runner = NeuronBench(tmp_path, build_host(tmp_path / "runner", Path(dataplane.PYTHON)))
    done, found = runner.compile_neuron()
    assert found["cache_hit"], "the device host looks for the same program"
    done, measured = runner.run("measure", runner.measure_request(compiled))
    assert done.returncode == 0, done.stderr
    assert failed_checks(measured) == set()
