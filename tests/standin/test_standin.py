"""The stand-in keeps to what is known of the real thing; else nothing proved with it would mean much."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import dataplane
from tests.standin.neuron_standin.builder import STANDIN, StandinHost, build_host

pytestmark = pytest.mark.dataplane

PRELUDE = """
import inspect, itertools, os, subprocess, sys, threading, warnings
warnings.simplefilter("ignore")
import torch, torch_neuronx
from torch_neuronx._runtime import runtime
from neuron_standin.faults import configured

example = (torch.arange(6).reshape(2, 3),)
def model(ids):
    return ids.float() / 3
def compiled(flags=("--target", "inf2", "--auto-cast", "none"), func=model, **options):
    return torch_neuronx.trace(func, example, compiler_args=list(flags), **options)
def said(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
def break_it(faults):
    os.environ["NEURON_STANDIN_FAULTS"] = faults
    runtime.faults = configured()
"""


def variables(host: StandinHost, **more: str) -> dict[str, str]:
    own = {"BENCH_NEURON_ROOT": str(host.root), "NEURON_STANDIN_SDK": host.sdk.release}
    return dataplane.environment(STANDIN, **own, **more)


def facts(host: StandinHost, code: str, **more: str) -> Any:
    return dataplane.facts(PRELUDE + code, variables(host, **more))


def make_host(tmp_path: Path, **options: Any) -> StandinHost:
    return build_host(tmp_path / "host", Path(dataplane.PYTHON), **options)


def test_trace_has_the_published_signature_and_returns_what_can_be_saved(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    found = facts(
        host,
        f"""
path = {str(tmp_path / "m.pt")!r}
program = compiled(compiler_workdir={str(tmp_path / "cc")!r})
torch.jit.save(program, path)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    torch_neuronx.trace(model, example, "positional", compiler_args="--target inf2")
facts = dict(
    names=list(inspect.signature(torch_neuronx.trace).parameters),
    kinds=[p.kind.name for p in inspect.signature(torch_neuronx.trace).parameters.values()],
    script=isinstance(program, torch.jit.ScriptModule),
    same=all(torch.equal(one(*example), model(*example)) for one in (program, torch.jit.load(path))),
    unknown=said(torch_neuronx.trace, model, example, options={{}}),
    warned=[str(w.message) for w in caught if w.category is UserWarning],
    shape=said(program, torch.zeros(1, 3, dtype=torch.int64)),
    kind=said(program, torch.zeros(2, 3)),
    pairs=[list(f.shape) for f in compiled(func=lambda x: (x * 2, x.sum(1)))(*example)],
    named=sorted(compiled(func=lambda x: {{"b": x * 2, "a": x}})(*example)),
)
""",
    )
    assert found["names"] == [
        "func", "example_inputs", "_", "input_output_aliases", "compiler_workdir", "compiler_args",
        "partitioner_config", "inline_weights_to_neff", "cpu_backend",
    ]  # fmt: skip
    assert found["kinds"] == ["POSITIONAL_OR_KEYWORD"] * 2 + ["VAR_POSITIONAL"] + ["KEYWORD_ONLY"] * 6
    assert found["script"]
    assert found["same"]
    assert found["unknown"].startswith("TypeError")
    assert any("args for kwargs" in text for text in found["warned"])
    assert any("discouraged" in text for text in found["warned"])
    assert "status=2" in found["shape"]
    assert "status=2" in found["kind"]
    assert found["pairs"] == [[2, 3], [2]]
    assert found["named"] == ["a", "b"]
    log = (tmp_path / "cc" / "log-neuron-cc.txt").read_text()
    assert "--auto-cast none" in log
    lone = subprocess.run(
        [dataplane.PYTHON, "-c", f"import torch; torch.jit.load({str(tmp_path / 'm.pt')!r})"],
        env=variables(host),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Unknown builtin op: neuron_standin::forward" in lone.stderr


@pytest.mark.parametrize(
    ("sdk", "stable", "cpu_backend", "casts"),
    [("2.20", False, False, True), ("2.24", False, True, True), ("2.27", True, True, False)],
)
def test_releases_differ_as_the_real_ones_do(
    tmp_path: Path, sdk: str, stable: bool, cpu_backend: bool, casts: bool
) -> None:
    found = facts(
        make_host(tmp_path, sdk=sdk),
        """
from importlib.metadata import version
import torch_neuronx.experimental
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    with torch_neuronx.experimental.neuron_cores_context(start_nc=0, nc_count=1):
        pass
facts = dict(
    stable=hasattr(torch_neuronx, "neuron_cores_context"),
    warned=any("Call torch_neuronx.neuron_cores_context instead" in str(w.message) for w in caught),
    cpu_backend="cpu_backend" in inspect.signature(torch_neuronx.trace).parameters,
    casts=not torch.equal(compiled(flags=("--target", "inf2"))(*example), model(*example)),
    versions=[version("torch-neuronx"), torch_neuronx.__version__],
)
""",
    )
    versions = found.pop("versions")
    assert versions[0] == versions[1]
    assert versions[0].endswith("+standin")
    assert found == {"stable": stable, "warned": stable, "cpu_backend": cpu_backend, "casts": casts}


def test_models_go_where_they_are_told_or_else_to_the_least_used_core(tmp_path: Path) -> None:
    found = facts(
        make_host(tmp_path, devices=6),
        f"""
path = {str(tmp_path / "m.pt")!r}
cores = lambda: [core.models for core in runtime.cores]
program = compiled()
torch.jit.save(program, path)
traced = cores()
first, second = torch.jit.load(path), torch.jit.load(path)
linear = cores()
with torch_neuronx.neuron_cores_context(start_nc=3, nc_count=1):
    placed = torch.jit.load(path)
there = cores()
torch_neuronx.set_neuron_cores(placed, start_nc=2, nc_count=1)
moved = cores()
with torch_neuronx.multicore_context():
    everywhere = torch.jit.load(path)
facts = dict(
    numbers=[core.number for core in runtime.cores], traced=traced, linear=linear, there=there, moved=moved,
    everywhere=cores(),
    too_many=said(torch_neuronx.set_neuron_cores, placed, start_nc=0, nc_count=5),
    context=said(torch_neuronx.neuron_cores_context(start_nc=0, nc_count=5).__enter__),
)
""",
        NEURON_RT_VISIBLE_CORES="4-7",
    )
    assert found["numbers"] == [4, 5, 6, 7]
    assert found["traced"] == [1, 0, 0, 0]
    assert found["linear"] == [1, 1, 1, 0]
    assert found["there"] == [1, 1, 1, 1]
    assert found["moved"] == [1, 1, 2, 0]
    assert found["everywhere"] == [2, 2, 3, 1]
    assert found["too_many"].startswith("ValueError")
    assert found["context"].startswith("ValueError")


def test_cores_belong_to_one_process_until_it_ends_and_a_fork_has_none(tmp_path: Path) -> None:
    host = make_host(tmp_path, devices=2)
    found = facts(
        host,
        f"""
import json
path = {str(tmp_path / "m.pt")!r}
torch.jit.save(compiled(), path)
code = "import torch, torch_neuronx; torch.jit.load(%r)" % path
def other(**more):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=dict(os.environ, **more),
                          capture_output=True, text=True)
    return done.stderr
tool = {str(host.root / "opt/aws/neuron/bin/neuron-ls")!r}
listed = json.loads(subprocess.run([tool, "-j"], capture_output=True, text=True).stdout)
program = compiled()
read, write = os.pipe()
pid = os.fork()
if pid == 0:
    os.dup2(write, 2)
    os.write(write, said(program, *example).encode())
    os._exit(0)
os.close(write)
os.waitpid(pid, 0)
facts = dict(
    own=os.getpid(),
    owners=[[p["pid"] for p in device["neuron_processes"]] for device in listed],
    taken=other(NEURON_RT_VISIBLE_CORES="0-1"),
    choice=other(NEURON_RT_VISIBLE_CORES="", NEURON_RT_NUM_CORES="2"),
    everything=other(NEURON_RT_VISIBLE_CORES=""),
    fork=os.read(read, 65536).decode(),
)
""",
        NEURON_RT_VISIBLE_CORES="0-1",
    )
    assert found["owners"] == [[found["own"]], []]
    assert "NeuronCore(s) not available - Requested:nc0-nc1 Available:0" in found["taken"]
    assert "RuntimeError: The PyTorch Neuron Runtime could not be initialized" in found["taken"]
    assert found["choice"] == ""
    assert "Requested:nc0-nc3" in found["everything"]
    assert "Incompatible runtime state: NRT_STATE_CHILD" in found["fork"]
    after = subprocess.run([host.root / "opt/aws/neuron/bin/neuron-ls", "-j"], capture_output=True, text=True)
    assert '"pid"' not in after.stdout


def test_every_fault_can_be_had(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    found = facts(
        host,
        """
program = compiled()
right = model(*example)
call = lambda: program(*example)
kinds = {}
for fault in ("timeout", "sram_error", "hbm_error"):
    break_it(fault)
    kinds[fault] = said(call)
runtime._executions = itertools.count()
break_it("timeout@2")
later = [said(call) is None for _ in range(4)]
break_it("nan")
nan = bool(call().isnan().all())
break_it("wrong=3")
below = torch.equal(call(), right)
break_it("wrong=2")
at = torch.equal(call(), right)
break_it("slow_core=0:3")
factor = runtime._service_s(runtime.cores[0], 2) / runtime._service_s(runtime.cores[1], 2)
for fault in ("compile_killed", "compile_error", "device_memory"):
    break_it(fault)
    kinds[fault] = said(compiled)
break_it("compile_killed#1")
once = [said(compiled), said(compiled)]
break_it("hang")
hanging = threading.Thread(target=call, daemon=True)
hanging.start()
hanging.join(0.2)
torch_neuronx._runtime.CORE_MEMORY_BYTES = 2**20
break_it("")
large = said(compiled, func=torch.nn.Embedding(2**10, 2**9))
facts = dict(kinds=kinds, nan=nan, later=later, large=large, below=below, at=at, factor=factor, once=once,
             hangs=hanging.is_alive(), unknown=said(break_it, "typo"))
import json; print("FACTS", json.dumps(facts), flush=True); os._exit(0)
""",
    )
    kinds = found["kinds"]
    assert "status=5 message=Timeout Exceeded" in kinds["timeout"]
    assert "Uncorrectable memory error is detected" in kinds["sram_error"]
    assert "Uncorrectable HBM memory error is detected" in kinds["hbm_error"]
    assert found["later"] == [True, True, False, False]
    assert kinds["compile_killed"] == "RuntimeError: neuronx-cc failed with -9"
    assert kinds["compile_error"] == "RuntimeError: neuronx-cc failed with 70"
    assert "status=4 message=Allocation Failure" in kinds["device_memory"]
    assert "status=4" in found["large"]
    assert found["once"] == ["RuntimeError: neuronx-cc failed with -9", None]
    assert (found["nan"], found["below"], found["at"]) == (True, True, False)
    assert found["factor"] == pytest.approx(3)
    assert found["hangs"]
    assert found["unknown"].startswith("ValueError")
    counter = host.root / "sys/devices/virtual/neuron_device/neuron0/stats/hardware/sram_ecc_uncorrected"
    assert counter.read_text().strip() == "1"


def test_a_host_without_device_compiles_only_as_the_real_one_does(tmp_path: Path) -> None:
    found = facts(
        make_host(tmp_path, devices=0),
        """
program = compiled(cpu_backend=True)
facts = dict(
    no_device=said(compiled),
    no_target=said(compiled, flags=("--auto-cast", "none"), cpu_backend=True),
    loaded=len(runtime.cores),
    call=said(program, *example),
)
""",
    )
    assert "!(num_devices > 0)" in found["no_device"]
    assert "please supply compiler argument target" in found["no_target"]
    assert found["loaded"] == 0
    assert found["call"].startswith("RuntimeError")


def test_the_tools_fail_as_the_real_ones_do(tmp_path: Path) -> None:
    def neuron_ls(host: StandinHost, *arguments: str) -> subprocess.CompletedProcess[str]:
        tool = host.root / "opt/aws/neuron/bin/neuron-ls"
        return subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)

    bare = neuron_ls(make_host(tmp_path / "bare", devices=0), "-j")
    assert (bare.returncode, bare.stdout) == (1, "")
    assert bare.stderr.startswith("level=")
    one = make_host(tmp_path / "one")
    assert neuron_ls(one, "--what").returncode == 1
    assert '"connected_to": null' in neuron_ls(one, "--json-output").stdout
    assert "neuroncore_ids" not in neuron_ls(make_host(tmp_path / "old", sdk="2.24"), "-j").stdout


def test_it_cannot_be_had_without_its_mark(tmp_path: Path) -> None:
    info = tmp_path / "torch_neuronx-2.9.0.2.15.32035.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch-neuronx\nVersion: 2.9.0.2.15.32035\n")
    done = subprocess.run(
        [dataplane.PYTHON, "-S", "-c", "import torch_neuronx"],
        env=dataplane.environment(tmp_path, STANDIN),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "this is the stand-in, but the metadata of torch-neuronx says" in done.stderr
