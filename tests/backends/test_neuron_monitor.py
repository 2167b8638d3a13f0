from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchlib.backends.neuron import monitor, sysfs
from benchlib.backends.neuron.host import NeuronHost
from benchlib.backends.neuron.monitor import Latency, Sampler, Telemetry, parse, read_once, summarise
from benchlib.backends.neuron.watch import cores_check, execution_check, memory_check, readings, watching
from tests.standin.neuron_standin.builder import build_host
from tests.standin.neuron_standin.host import Claim, CoreCounters


def record(
    *, pid: int = 7, cores: dict[str, float] | None = None, p50_s: float | None = 0.001, **errors: int
) -> dict[str, Any]:
    """A record as runtime 2.30 makes it, cut to what matters."""
    latency = (
        None if p50_s is None else {"p0": 0, "p1": 0, "p25": 0, "p50": p50_s, "p75": 0, "p99": 2 * p50_s}
    )
    in_use = {
        core: {"neuroncore_utilization": used, "effective_flops": 1} for core, used in (cores or {}).items()
    }
    stats = {
        "period": 1.0,
        "error_summary": {"generic": 0, "hardware": errors.get("hardware", 0)},
        "execution_summary": {"completed": 500, "timed_out": errors.get("timed_out", 0)},
        "latency_stats": {"total_latency": latency, "device_latency": latency},
        "error": "",
    }  # fmt: skip
    report = {
        "neuroncore_counters": {"period": 1.0, "neuroncores_in_use": in_use, "error": ""},
        "execution_stats": stats,
        "memory_used": {"neuron_runtime_used_bytes": {"host": 1, "neuron_device": 4096}},
    }
    ecc = {"neuron_device_index": 0, "mem_ecc_corrected": 9, "mem_ecc_uncorrected": errors.get("ecc", 0)}
    return {
        "neuron_runtime_data": [{"pid": pid, "error": "", "report": report}] if cores is not None else [],
        "system_data": {"neuron_hw_counters": {"neuron_devices": [ecc], "error": ""}},
        "instance_info": {"instance_id": "i-0123456789abcdef0", "ami_id": "ami-1", "subnet_id": "subnet-1"},
        "neuron_hardware_info": {"neuron_device_count": 6, "neuroncore_per_device_count": 2, "error": ""},
    }


def sample(**options: Any) -> monitor.Sample:
    found = parse(json.dumps(record(**options)))
    assert found is not None
    return found


def test_a_record_is_read() -> None:
    found = sample(cores={"0": 97.5, "11": 3.0}, p50_s=0.001, timed_out=2)
    (runtime,) = found.runtimes
    assert runtime.pid == 7
    assert runtime.utilisation_percent == {0: 97.5, 11: 3.0}
    assert runtime.device_latency == Latency(p50_ms=1.0, p99_ms=2.0)
    assert runtime.errors == {"generic": 0, "hardware": 0, "timed_out": 2}
    assert (runtime.device_memory_bytes, runtime.host_memory_bytes) == (4096, 1)
    assert found.memory_errors == {"neuron0/mem_ecc_uncorrected": 0}
    assert (found.device_count, found.cores_per_device) == (6, 2)


def test_nothing_that_identifies_anybody_is_kept() -> None:
    text = repr(sample(cores={"0": 1.0}))
    assert not any(part in text for part in ("i-0123", "ami-", "subnet-"))


def test_every_part_may_be_missing_or_null() -> None:
    nothing = parse('{"neuron_runtime_data": [], "system_data": null, "neuron_hardware_info": null}')
    assert nothing == monitor.Sample((), {}, None, None)
    for entry in ({}, {"pid": 7, "report": None}, {"report": {"execution_stats": None}}):
        found = parse(json.dumps({"neuron_runtime_data": [entry]}))
        assert found is not None
        assert found.runtimes[0].utilisation_percent == {}
    assert sample(cores={"0": 1.0}, p50_s=None).runtimes[0].device_latency is None


@pytest.mark.parametrize("line", ['{"neuron_runtime_data": [{"pid": 1', "", "null", "neuron-monitor 2.31"])
def test_a_line_that_is_no_record_is_passed_over(line: str) -> None:
    assert parse(line) is None


def test_the_edges_of_a_run_do_not_pull_its_utilisation_down() -> None:
    used = [0.0, 12.0, 95.0, 97.0, 96.0, 94.0, 20.0, 0.0]
    found = summarise([sample(cores={"0": one, "1": one / 2}) for one in used])
    assert found.samples == 6
    assert found.utilisation_percent == {0: 95.5, 1: 47.75}


def test_the_cores_of_several_processes_are_put_together() -> None:
    both = record(cores={"0": 90.0}) | {}
    other = record(pid=8, cores={"1": 80.0}, hardware=1)
    both["neuron_runtime_data"] += other["neuron_runtime_data"]
    joined = parse(json.dumps(both))
    assert joined is not None
    found = summarise([joined, joined])
    assert found.utilisation_percent == {0: 90.0, 1: 80.0}
    assert found.errors["hardware"] == 1


def test_an_error_counts_once_whether_it_is_told_by_period_or_from_the_start() -> None:
    by_period = [sample(cores={"0": 9.0}, timed_out=count) for count in (0, 1, 0)]
    from_the_start = [sample(cores={"0": 9.0}, timed_out=count) for count in (0, 1, 1)]
    assert summarise(by_period).errors["timed_out"] == summarise(from_the_start).errors["timed_out"] == 1


def test_only_new_memory_errors_count() -> None:
    assert summarise([sample(ecc=5), sample(ecc=5)]).memory_errors == 0
    assert summarise([sample(ecc=5), sample(ecc=6)]).memory_errors == 1


def test_memory_is_the_most_that_all_processes_used_together() -> None:
    two = record(cores={"0": 90.0})
    two["neuron_runtime_data"] += record(pid=8, cores={"1": 80.0})["neuron_runtime_data"]
    joined = parse(json.dumps(two))
    assert joined is not None
    found = summarise([sample(cores={"0": 90.0}), joined])
    assert (found.device_memory_bytes, found.host_memory_bytes) == (8192, 2)
    assert summarise([sample()]).device_memory_bytes is None


def test_what_the_monitor_told_becomes_readings_with_units() -> None:
    told = summarise([sample(cores={"0": 97.5, "11": 3.0}, timed_out=2)])
    found = {(reading.name, reading.core): (reading.value, reading.unit) for reading in readings(told)}
    assert found == {
        ("core_utilisation", 0): (0.975, "ratio"),
        ("core_utilisation", 11): (0.03, "ratio"),
        ("device_latency_p50", None): (1.0, "ms"),
        ("device_latency_p99", None): (2.0, "ms"),
        ("device_memory", None): (4096, "bytes"),
        ("runtime_host_memory", None): (1, "bytes"),
        ("errors_generic", None): (0, "count"),
        ("errors_hardware", None): (0, "count"),
        ("errors_timed_out", None): (2, "count"),
    }
    assert readings(summarise([])) == ()


def test_no_identifier_gets_into_the_readings() -> None:
    telling = record(cores={"0": 1.0})
    stats = telling["neuron_runtime_data"][0]["report"]["execution_stats"]
    stats["error_summary"] |= {"i-0123456789abcdef0": 1, "serial 0123456789abcdef": 2}
    found = parse(json.dumps(telling))
    assert found is not None
    text = repr(readings(summarise([found])))
    assert "errors_hardware" in text
    assert "0123456789abcdef" not in text


NO_COUNTERS = sysfs.Counters(())


def telemetry(**changes: Any) -> Telemetry:
    quiet: dict[str, Any] = {
        "samples": 3, "utilisation_percent": {0: 99.0, 1: 98.0}, "device_latency": None, "errors": {},
        "memory_errors": 0,
    }  # fmt: skip
    return Telemetry(**{**quiet, **changes})


def test_an_idle_core_is_found_out() -> None:
    assert cores_check(telemetry(), 2).passed
    doubled = cores_check(telemetry(utilisation_percent={0: 99.0, 1: 0.0}), 2)
    assert not doubled.passed
    assert (doubled.figure, doubled.limit) == (1, 2)
    assert "not placed one per core" in doubled.advice


def test_a_run_that_no_sample_saw_is_not_called_checked() -> None:
    unseen = cores_check(telemetry(samples=0, utilisation_percent={}), 2)
    assert unseen.passed
    assert unseen.figure is None
    assert "Not checked" in unseen.advice


def test_errors_seen_by_either_source_invalidate() -> None:
    moved = sysfs.Counters((("neuron0/mem_ecc_uncorrected", 1),))
    assert memory_check(NO_COUNTERS, telemetry()).passed
    assert "neuron0/mem_ecc_uncorrected 1" in memory_check(moved, None).advice
    assert memory_check(NO_COUNTERS, telemetry(memory_errors=2)).figure == 2
    assert execution_check(NO_COUNTERS, telemetry(errors={"generic": 0})).passed
    assert "timed_out 1" in execution_check(NO_COUNTERS, telemetry(errors={"timed_out": 1})).advice
    assert not execution_check(moved, None).passed


@pytest.fixture
def fake_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host of two cores that this process pretends to work on."""
    root = build_host(tmp_path / "host", Path(sys.executable)).root
    monkeypatch.setenv("BENCH_NEURON_ROOT", str(root))
    return root


def wait_for(condition: Callable[[], bool], deadline_s: float = 30) -> None:
    until = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < until, f"not within {deadline_s} s"
        time.sleep(0.01)


def test_one_record_is_read_and_the_monitor_ended(fake_root: Path, tmp_path: Path) -> None:
    tool = NeuronHost(fake_root, {}).tool("neuron-monitor")
    assert tool is not None
    found = read_once(tool, tmp_path)
    assert found is not None
    assert found.runtimes == ()
    assert (found.device_count, found.cores_per_device) == (1, 2)
    assert json.loads((tmp_path / "neuron-monitor.json").read_text())["period"] == "1s"


def test_a_monitor_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    silent = tmp_path / "neuron-monitor"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    assert read_once(silent, tmp_path, timeout_s=0.2) is None


def test_a_monitor_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "STOP_TIMEOUT_S", 0.2)
    stubborn = tmp_path / "neuron-monitor"
    stubborn.write_text(f"#!/bin/sh\ntrap '' TERM\necho $$ > {tmp_path}/pid\nwhile :; do sleep 0.1; done\n")
    stubborn.chmod(0o755)
    sampler = Sampler(stubborn, tmp_path)
    sampler.start()
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip().isdigit())
    sampler.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert sampler.samples() == ()


def test_a_run_is_watched_from_outside(fake_root: Path, tmp_path: Path) -> None:
    claim = Claim()
    assert claim.take(0)
    counters = CoreCounters(0, reset=True)
    host = NeuronHost(fake_root, {})
    records = tmp_path / "neuron-monitor.jsonl"
    with watching(host, tmp_path, 1) as watch:
        wait_for(lambda: records.exists() and records.read_text().count("\n") >= 1)
        counters.add("busy_ns", 700_000_000)
        counters.set("latency_ns", 1_500_000)
        error = fake_root / "sys/devices/virtual/neuron_device/neuron0/stats/hardware/sram_ecc_uncorrected"
        error.write_text("1\n")
        wait_for(lambda: records.read_text().count("\n") >= 2)
    claim.release()
    assert watch.monitored is not None
    assert watch.monitored.samples == 1
    assert 1 < watch.monitored.utilisation_percent[0] <= 71
    assert watch.monitored.device_latency == Latency(1.5, 1.5)
    assert watch.monitored.memory_errors == 1
    told = {(reading.name, reading.core): reading.value for reading in watch.telemetry}
    assert told["memory_errors", None] == 1
    assert told["execution_errors", None] == 0
    assert told["core_utilisation", 0] == watch.monitored.utilisation_percent[0] / 100
    assert told["device_memory", None] == 2**24
    verdicts = {check.name: check.passed for check in watch.checks}
    assert verdicts == {"device_memory_errors": False, "device_execution_errors": True, "cores_used": True}


def test_the_monitor_can_be_switched_off(
    fake_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_NEURON_MONITOR", "off")
    with watching(NeuronHost(fake_root, {}), tmp_path, 1) as watch:
        pass
    assert watch.monitored is None
    assert [check.name for check in watch.checks] == ["device_memory_errors", "device_execution_errors"]
    assert not (tmp_path / "neuron-monitor.jsonl").exists()


def test_a_record_of_an_unknown_form_costs_no_measurement(tmp_path: Path) -> None:
    odd = {"system_data": {"neuron_hw_counters": {"neuron_devices": [{"mem_ecc_uncorrected": None}]}}}
    sampler = monitor.Sampler(tmp_path / "neuron-monitor", tmp_path)
    sampler._records.write_text(json.dumps(odd) + "\n" + json.dumps({"neuron_hardware_info": {}}) + "\n")
    assert len(sampler.samples()) == 1
