from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchlib.core.layout import Layout
from benchlib.errors import BenchError
from benchlib.progress import Progress, parse
from benchlib.results import InterleavedResult, Measurement
from benchlib.spec import LoadSpec
from tests import dataplane
from tests.core.conftest import Bench


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
    expected = {"littles_law", "worker_balance", "complete", "harness_ceiling", "environment_unchanged"}
    assert expected <= set(checks)
    for name in ("outputs_match_reference", "outputs_finite", "enough_samples", "complete"):
        assert checks[name].passed, checks[name].advice
    assert result.throughput_interval
    assert result.throughput_interval.low < result.throughput_inf_per_s < result.throughput_interval.high
    assert result.latency_intervals
    assert result.latency_intervals.p50_ms
    assert (result.latency.p99_ms, result.latency_intervals.p99_ms) == (None, None)
    assert result.overhead
    assert result.overhead.service_ms == result.latency.p50_ms
    assert 0 < result.overhead.share_of_latency < 1
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
@pytest.mark.parametrize("mode", ["thread", "process", "native"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_being_told_to_stop_keeps_the_finished_rounds(
    compiled: tuple[Bench, dict[str, Any]], tmp_path: Path, mode: str, number: signal.Signals, status: int
) -> None:
    bench, made = compiled
    request = bench.write(bench.measure_request(made, rounds=1000, worker_mode=mode))
    process = stopped(bench, request, tmp_path, number, once=lambda step: (step.fraction or 0) > 5 / 1000)
    assert process.returncode == status
    result = Measurement.model_validate_json((tmp_path / "result.json").read_bytes())
    assert 1 <= len(result.rounds) < 1000
    assert not result.valid
    assert not next(check for check in result.checks if check.name == "complete").passed
    assert list(tmp_path.glob("bench-*")) == []


@pytest.mark.dataplane
def test_being_told_to_stop_before_the_first_round_leaves_no_result(
    compiled: tuple[Bench, dict[str, Any]], tmp_path: Path
) -> None:
    bench, made = compiled
    request = bench.write(bench.measure_request(made, batches_per_worker=10**6))
    process = stopped(bench, request, tmp_path, signal.SIGTERM, once=lambda _step: True)
    assert process.returncode == 143
    assert not (tmp_path / "result.json").exists()
    assert list(tmp_path.glob("bench-*")) == []


def stopped(
    bench: Bench, request: Path, folder: Path, number: signal.Signals, once: Callable[[Progress], bool]
) -> subprocess.Popen[str]:
    """The ended process of a measurement that got this signal at a certain step."""
    result = folder / "result.json"
    command = [dataplane.PYTHON, "-m", "benchlib", "measure", str(request), "--result", str(result)]
    env = {**bench.env, "TMPDIR": str(folder)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert any((step := parse(line)) and once(step) for line in process.stdout)
        process.send_signal(number)
        process.stdout.read()
    return process


MODES = [
    ({"worker_mode": "thread"}, "thread", 1),
    ({"worker_mode": "process"}, "process", 2),
    ({"worker_mode": "native"}, "native", 1),
]


@pytest.mark.dataplane
@pytest.mark.parametrize(("load", "mode", "processes"), MODES)
def test_workers_are_what_was_asked_for(
    compiled: tuple[Bench, dict[str, Any]], load: dict[str, Any], mode: str, processes: int
) -> None:
    _, raw = measure(*compiled, replicas=2, **load)
    result = Measurement.model_validate(raw)
    assert (result.worker_mode, result.processes, result.batches) == (mode, processes, 80)
    assert "as asked" in result.topology


@pytest.mark.dataplane
def test_auto_says_what_it_chose_and_why(compiled: tuple[Bench, dict[str, Any]]) -> None:
    done, raw = measure(*compiled, worker_mode="auto", warmup="stable")
    assert raw["topology"].startswith(
        "C++ loop without the interpreter's lock: TorchScript replicas; a call takes"
    )
    assert f"INFO workers: {raw['topology']}" in done.stderr


@pytest.mark.dataplane
def test_a_single_stream_is_one_worker_on_one_replica(compiled: tuple[Bench, dict[str, Any]]) -> None:
    bench, made = compiled
    _, raw = bench.run("measure", {**bench.measure_request(made), "scenario": "single_stream"})
    assert (raw["scenario"], raw["workers"], raw["replicas"], raw["batches"]) == ("single_stream", 1, 1, 40)


@pytest.mark.dataplane
def test_the_stop_rules_reach_the_workers(compiled: tuple[Bench, dict[str, Any]]) -> None:
    _, for_a_while = measure(*compiled, stop="duration", duration_s=0.5, rounds=1)
    assert for_a_while["duration_s"] > 0.45
    assert for_a_while["batches"] == len(for_a_while["rounds"]) * 40
    _, precise = measure(*compiled, stop="precision", relative_half_width=0.5, duration_s=60)
    interval = precise["throughput_interval"]
    assert (interval["high"] - interval["low"]) / 2 / precise["throughput_inf_per_s"] <= 0.5


@pytest.mark.dataplane
def test_a_server_is_measured_from_the_scheduled_arrival(compiled: tuple[Bench, dict[str, Any]]) -> None:
    bench, made = compiled
    load = {"target_batches_per_s": 50.0, "arrival_seed": 7}
    request = {**bench.measure_request(made, **load), "scenario": "server"}
    done, raw = bench.run("measure", request)
    assert done.returncode == 0, done.stderr
    result = Measurement.model_validate(raw)
    assert result.server
    assert (result.server.target_batches_per_s, result.server.arrival_seed) == (50.0, 7)
    assert (result.batches, len(result.rounds), result.server.trials) == (80, 2, ())
    assert result.latency.mean_ms
    assert result.server.service.mean_ms
    assert result.latency.mean_ms > result.server.service.mean_ms
    assert "arrivals_kept_up" in {check.name for check in result.checks}
    assert "littles_law" not in {check.name for check in result.checks}


@pytest.mark.dataplane
def test_the_highest_rate_within_a_limit_is_searched(compiled: tuple[Bench, dict[str, Any]]) -> None:
    bench, made = compiled
    load = {"latency_limit_ms": 1000.0, "duration_s": 2.0}
    done, raw = bench.run("measure", {**bench.measure_request(made, **load), "scenario": "server"})
    assert done.returncode == 0, done.stderr
    server = Measurement.model_validate(raw).server
    assert server
    met = [trial.target_batches_per_s for trial in server.trials if trial.met]
    assert server.target_batches_per_s == max(met)
    assert raw["latency"]["p99_ms"] <= 1000.0


@pytest.mark.dataplane
def test_a_limit_that_no_rate_meets_is_one_sentence(compiled: tuple[Bench, dict[str, Any]]) -> None:
    bench, made = compiled
    load = {"latency_limit_ms": 0.001, "duration_s": 1.0}
    done, raw = bench.run("measure", {**bench.measure_request(made, **load), "scenario": "server"})
    assert done.returncode == 1
    assert raw["message"].startswith("latency_limit_ms: ")


@pytest.mark.dataplane
@pytest.mark.parametrize("mode", ["thread", "native"])
def test_batch_sizes_are_measured_in_turns(bench: Bench, mode: str) -> None:
    requests = []
    for size in (1, 2):
        _, made = bench.compile(batch_size=size)
        request = bench.measure_request(made, rounds=3, interleave=True, worker_mode=mode)
        requests.append({"artifact_url": f"file://{bench.store}", "batch_size": size, **request})
    done, raw = bench.run_as_is("measure-in-turns", {"requests": requests})
    assert done.returncode == 0, done.stderr
    result = InterleavedResult.model_validate(raw)
    assert [measured.batch_size for measured in result.measurements] == [1, 2]
    assert [len(measured.rounds) for measured in result.measurements] == [3, 3]
    for measured in result.measurements:
        checks = {check.name: check.passed for check in measured.checks}
        assert checks["outputs_match_reference"]
        assert checks["complete"]
    steps = [step.batch_size for line in done.stdout.splitlines() if (step := parse(line))]
    turns = [size for before, size in zip([None, *steps], steps, strict=False) if size != before]
    assert len(turns) >= 4
