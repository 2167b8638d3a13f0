"""The raw samples: every figure of the result can be made again from them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from benchlib.core.driving import Driven
from benchlib.core.samples import keep_samples
from benchlib.core.validity import Course
from benchlib.loadgen.stamps import Stamps
from benchlib.results import InterleavedResult, Measurement, samples_filename
from tests import dataplane
from tests.core.conftest import Bench

pytestmark = pytest.mark.dataplane


def run(bench: Bench, command: str, request: Path, samples: Path) -> str:
    result = bench.folder / "result.json"
    done = dataplane.benchlib(command, request, "--result", result, "--samples", samples, env=bench.env)
    assert done.returncode == 0, done.stderr
    return result.read_text()


def test_a_closed_loop_leaves_the_ends_of_all_batches(
    compiled: tuple[Bench, dict[str, Any]], tmp_path: Path
) -> None:
    bench, made = compiled
    request = bench.write(bench.measure_request(made, workers=2, batches_per_worker=50))
    result = Measurement.model_validate_json(run(bench, "measure", request, tmp_path))
    with np.load(tmp_path / samples_filename(2)) as samples:
        ns = samples["ns"]
    assert ns.shape == (2, 2, 51)
    assert ns.min() == 0
    latencies_ms = np.diff(ns) / 1e6
    assert latencies_ms.size == result.latency.samples
    assert latencies_ms.mean() == pytest.approx(result.latency.mean_ms)
    assert np.median(latencies_ms) == pytest.approx(result.latency.p50_ms)
    spans_s = (ns[:, :, -1] - ns[:, :, 0]).sum(axis=0) * 1e-9
    assert (2 * 50 * 2 / spans_s).sum() == pytest.approx(result.throughput_inf_per_s)


def test_a_server_leaves_when_each_batch_was_due_begun_and_done(
    compiled: tuple[Bench, dict[str, Any]], tmp_path: Path
) -> None:
    bench, made = compiled
    load = bench.measure_request(made, target_batches_per_s=200.0, workers=2)
    request = bench.write({**load, "scenario": "server"})
    result = Measurement.model_validate_json(run(bench, "measure", request, tmp_path))
    with np.load(tmp_path / samples_filename(2)) as samples:
        latencies_ms = (samples["end_ns"] - samples["scheduled_ns"]) / 1e6
        assert (samples["start_ns"] >= samples["scheduled_ns"]).all()
        assert set(samples["worker"]) <= {0, 1}
    assert latencies_ms.size == result.latency.samples
    assert np.median(latencies_ms) == pytest.approx(result.latency.p50_ms)


def test_programs_in_turns_leave_one_file_each(
    compiled: tuple[Bench, dict[str, Any]], tmp_path: Path
) -> None:
    bench, made = compiled
    one = {
        **bench.measure_request(made, interleave=True, worker_mode="thread"),
        "artifact_url": f"file://{bench.store}",
        "batch_size": 2,
    }
    request = bench.write_as_is({"requests": [one]})
    result = InterleavedResult.model_validate_json(run(bench, "measure-in-turns", request, tmp_path))
    with np.load(tmp_path / samples_filename(2)) as samples:
        assert np.diff(samples["ns"]).size == result.measurements[0].latency.samples


def test_a_place_that_is_none_is_refused_before_anything_is_loaded(
    compiled: tuple[Bench, dict[str, Any]], tmp_path: Path
) -> None:
    bench, made = compiled
    request = bench.write(bench.measure_request(made))
    asked = ("--result", tmp_path / "result.json", "--samples", tmp_path / "none")
    done = dataplane.benchlib("measure", request, *asked, env=bench.env)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("ERROR samples: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("interrupted", [False, True])
def test_readings_that_cannot_be_kept_cost_nothing_and_an_interrupted_run_leaves_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, interrupted: bool
) -> None:
    none_at_all = Stamps(np.empty((0, 1, 2), np.int64))
    course = Course(rounds_done=0, interrupted=interrupted)
    driven = SimpleNamespace(course=course, arrivals=None, stamps=none_at_all)
    keep_samples(cast("Driven", driven), 4, tmp_path)
    assert ("raw samples of batch size 4 are not kept" in caplog.text) == (not interrupted)
    assert list(tmp_path.iterdir()) == []
