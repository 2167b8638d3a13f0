from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchlib.core.measuring import Layout, littles_law
from benchlib.errors import BenchError
from benchlib.progress import MARK, parse
from benchlib.results import LatencySummary, Measurement, Round
from benchlib.spec import LoadSpec
from tests import dataplane
from tests.core.conftest import Bench


def total(throughput_inf_per_s: float, mean_ms: float) -> Round:
    latency = LatencySummary(samples=100, mean_ms=mean_ms)
    return Round(
        index=0,
        batches=100,
        inferences=400,
        duration_s=400 / throughput_inf_per_s,
        throughput_inf_per_s=throughput_inf_per_s,
        latency=latency,
    )


@pytest.mark.parametrize(
    ("load", "replicas", "workers"),
    [
        (LoadSpec(), 6, 6),
        (LoadSpec(workers=12), 6, 12),
        (LoadSpec(workers=1), 1, 1),
        (LoadSpec(replicas=12), 12, 12),
        (LoadSpec(replicas=2, workers=4), 2, 4),
    ],
)
def test_auto_means_a_replica_per_core_and_a_worker_per_replica(
    load: LoadSpec, replicas: int, workers: int
) -> None:
    assert Layout.of(load, cores=6) == Layout(6, replicas, workers)


def test_a_host_without_cores_does_not_measure() -> None:
    with pytest.raises(BenchError, match="only compile"):
        Layout.of(LoadSpec(), cores=0)


def test_replicas_and_workers_are_dealt_out_evenly() -> None:
    layout = Layout(cores=2, replicas=4, workers=8)
    assert [layout.core_of_replica(r) for r in range(4)] == [0, 1, 0, 1]
    assert [layout.core_of_worker(w) for w in range(8)] == [0, 1, 0, 1, 0, 1, 0, 1]
    assert [Layout(2, 1, 3).core_of_worker(w) for w in range(3)] == [0, 0, 0]


def test_littles_law_holds_for_a_sound_measurement() -> None:
    # 12 workers, 4 inferences in 2.73 ms each
    check = littles_law(total(12 * 4 / 2.73e-3, 2.73), batch_size=4, workers=12)
    assert check.passed
    assert check.figure == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("throughput", "mean_ms"),
    [(17582.4, 2.73e-3), (17582.4 * 11 / 12, 2.73), (17582.4, 2.73 * 1.021)],
)
def test_littles_law_shows_a_wrong_unit_or_a_missing_worker(throughput: float, mean_ms: float) -> None:
    check = littles_law(total(throughput, mean_ms), batch_size=4, workers=12)
    assert not check.passed
    assert "of 12" in check.advice


def measure(bench: Bench, compiled: dict[str, Any], **load: Any) -> tuple[Any, Any]:
    return bench.run("measure", bench.measure_request(compiled, **load))


@pytest.mark.dataplane
def test_a_measurement_is_complete_valid_and_labelled(compiled: tuple[Bench, dict[str, Any]]) -> None:
    done, raw = measure(*compiled, replicas=2, workers=4)
    assert done.returncode == 0, done.stderr
    result = Measurement.model_validate(raw)
    assert (result.replicas, result.workers, result.batch_size) == (2, 4, 2)
    assert (result.batches, result.inferences) == (4 * 20 * 2, 4 * 20 * 2 * 2)
    assert [r.batches for r in result.rounds] == [80, 80]
    assert result.precision in ("fp32", "bf16")
    assert not result.environment.hardware
    checks = {check.name: check for check in result.checks}
    assert set(checks) == {"outputs_match_reference", "outputs_finite", "littles_law"}
    assert checks["outputs_match_reference"].passed
    assert checks["outputs_finite"].passed
    steps = [step for line in done.stdout.splitlines() if (step := parse(line))]
    assert {(step.stage, step.state, step.batch_size) for step in steps} == {("measure", "running", 2)}
    assert steps[-1].fraction == 1
    assert "inf/s" in steps[-1].message


@pytest.mark.dataplane
def test_more_replicas_than_cores_are_measured_with_a_warning(
    compiled: tuple[Bench, dict[str, Any]],
) -> None:
    cores = len(os.sched_getaffinity(0))
    _, result = measure(*compiled, replicas=cores + 1)
    assert result["replicas"] == result["workers"] == cores + 1
    assert result["warnings"] == [
        f"{cores + 1} replicas shared {cores} cores: latencies include waiting for a core"
    ]


@pytest.mark.dataplane
def test_a_process_with_more_compute_threads_says_so(compiled: tuple[Bench, dict[str, Any]]) -> None:
    bench, made = compiled
    _, result = bench.run("measure", bench.measure_request(made), OMP_NUM_THREADS="2")
    assert any("OMP_NUM_THREADS is 2" in warning for warning in result["warnings"])


@pytest.mark.dataplane
def test_a_program_for_something_else_is_refused(compiled: tuple[Bench, dict[str, Any]]) -> None:
    bench, made = compiled
    done, result = bench.run("measure", {**bench.measure_request(made), "batch_size": 3})
    assert done.returncode == 2
    assert (result["stage"], result["kind"]) == ("measure", "bad_input")
    assert "batch_size: 3" in result["message"]


@pytest.mark.dataplane
def test_a_program_that_changed_since_is_not_measured(copied: tuple[Bench, dict[str, Any]]) -> None:
    bench, made = copied
    (program,) = bench.store.rglob("*.pt")
    program.write_bytes(program.read_bytes() + b"\0")
    done, result = measure(bench, made)
    assert done.returncode == 1
    assert "not what was stored" in result["message"]
    assert done.stderr.splitlines()[-1] == f"ERROR {result['message']}"


FAULTS = """
import os
from benchlib.core.compiling import compile_program
from benchlib.core.measuring import measure_program
from benchlib.loadgen import WorkerFailed
from benchlib.spec import CompileRequest, LoadSpec, MeasureRequest, ModelSpec

facts, store = {}, dict(artifact_url="file://{store}", batch_size=2, backend="faulty")
model = ModelSpec(name="config:bert-tiny", sequence_length=16)
compiled = compile_program(CompileRequest(model=model, **store))
load = LoadSpec(batches_per_worker=20, warmup_batches=2, rounds=1)
for fault in ("none", "wrong", "nan", "idle"):
    os.environ["FAULT"] = fault
    measured = measure_program(MeasureRequest(artifact=compiled.artifact, load=load, **store))
    facts[fault] = {check.name: (check.passed, check.advice) for check in measured.checks}
    facts[fault]["valid"] = measured.valid
os.environ["FAULT"] = "raise"
try:
    measure_program(MeasureRequest(artifact=compiled.artifact, load=load, **store))
except WorkerFailed as failure:
    facts["raise"] = str(failure)
"""


@pytest.mark.dataplane
def test_faults_of_one_replica_reach_the_result(faulty: Bench) -> None:
    facts = dataplane.facts(FAULTS.replace("{store}", str(faulty.store)), faulty.env)

    def outputs(fault: str) -> tuple[bool, bool]:
        return facts[fault]["outputs_match_reference"][0], facts[fault]["outputs_finite"][0]

    assert outputs("none") == (True, True)
    assert outputs("wrong") == (False, True)
    assert "replica 1" in facts["wrong"]["outputs_match_reference"][1]
    assert outputs("nan") == (False, False)
    assert "replica 1 after the load" in facts["nan"]["outputs_finite"][1]
    assert facts["none"]["cores_used"][0]
    assert not facts["idle"]["cores_used"][0]
    assert not facts["idle"]["valid"]
    assert facts["raise"] == "worker 1 on replica 1 failed: RuntimeError: the core is gone"


@pytest.mark.dataplane
def test_being_told_to_stop_ends_a_measurement_without_a_result(
    compiled: tuple[Bench, dict[str, Any]], tmp_path: Path
) -> None:
    bench, made = compiled
    request, result = bench.write(bench.measure_request(made, rounds=1000)), tmp_path / "result.json"
    command = [dataplane.PYTHON, "-m", "benchlib", "measure", str(request), "--result", str(result)]
    env = {**bench.env, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert any(line.startswith(MARK) for line in process.stdout)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 143
    assert not result.exists()
    assert list(tmp_path.glob("bench-*")) == []
