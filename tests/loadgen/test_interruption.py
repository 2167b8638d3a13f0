"""Told to stop, a run keeps its finished rounds; with none it says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchlib.loadgen import FixedRounds, Interrupted, LoadOptions, LoadProgress, measure, processes
from tests import dataplane
from tests.loadgen.devices import NeverLoaded, Sleeper, ask

ROOT = Path(__file__).parents[2]
SENTENCE = "stopped before the first round was complete"


@pytest.mark.parametrize("processes", [1, 2])
def test_finished_rounds_are_handed_over(processes: int) -> None:
    seen: list[LoadProgress] = []
    options = LoadOptions(processes=processes, probe=ask)
    run = measure(
        Sleeper(),
        (),
        workers=2,
        batches_per_worker=20,
        stop=FixedRounds(1000),
        options=options,
        interrupted=lambda: bool(seen) and seen[-1].batches > 100,
        on_progress=seen.append,
    )
    assert run.interrupted
    assert not run.satisfied
    assert 1 <= run.stamps.rounds < 1000
    assert run.stamps.ns.shape[1:] == (2, 21)
    assert (np.diff(run.stamps.ns) > 0).all(), "whole rounds only"
    assert run.probes_before == run.probes_after, "the replicas are asked once more"


def test_a_run_that_is_left_alone_is_satisfied() -> None:
    run = measure(Sleeper(), (), workers=2, batches_per_worker=5, interrupted=lambda: False)
    assert (run.interrupted, run.satisfied) == (False, True)


def test_nothing_is_loaded_after_the_word() -> None:
    loaded: list[int] = []
    with pytest.raises(Interrupted, match=SENTENCE):
        measure(loaded.append, (), workers=2, interrupted=lambda: True)  # type: ignore[arg-type]
    assert loaded == []


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("processes", [1, 2])
def test_in_the_warm_up_or_the_first_round_there_is_nothing_to_show(processes: int, stable: bool) -> None:
    def driven() -> bool:
        asked.append(None)
        return len(asked) > 20

    asked: list[None] = []
    before = threading.active_count()
    with pytest.raises(Interrupted, match=SENTENCE):
        measure(
            Sleeper(),
            (),
            workers=2,
            batches_per_worker=10**6,
            warmup_batches=10**6 if stable else 1,
            stable=stable,
            options=LoadOptions(processes=processes),
            interrupted=driven,
        )
    assert threading.active_count() == before
    assert psutil.Process().children() == []


def test_children_that_still_load_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LEAVE_S", 0.1)
    with pytest.raises(Interrupted, match=SENTENCE):
        measure(
            NeverLoaded(str(tmp_path)),
            (),
            workers=2,
            options=LoadOptions(processes=2),
            interrupted=lambda: len(list(tmp_path.iterdir())) == 2,
        )
    assert psutil.Process().children() == []


@pytest.mark.dataplane
def test_the_native_loop_stops_too() -> None:
    rounds, interrupted, batches = dataplane.facts(
        "from benchlib.loadgen import *\n"
        "from tests.loadgen.scripted import *\n"
        "run = measure(recording(0.001, 0.001), EXAMPLE, workers=2, batches_per_worker=20,\n"
        "              stop=FixedRounds(1000), options=NATIVE, interrupted=lambda: len(calls) > 200)\n"
        "facts = run.stamps.rounds, run.interrupted, len(calls)"
    )
    assert interrupted
    assert 1 <= rounds < 1000
    assert batches >= 2 * 20 * rounds


@contextmanager
def harness(processes: int, report_after: int) -> Iterator[subprocess.Popen[str]]:
    """A real run in a session of its own that has measured so many batches, and stops on a signal."""
    script = (
        "import signal\n"
        "from benchlib.loadgen import FixedRounds, Interrupted, LoadOptions, measure\n"
        "from tests.loadgen.devices import Sleeper\n"
        "received = []\n"
        "for number in (signal.SIGINT, signal.SIGTERM):\n"
        "    signal.signal(number, lambda number, frame: received.append(number))\n"
        "def tell(progress):\n"
        f"    if progress.batches > {report_after}: print('measuring', flush=True)\n"
        "try:\n"
        "    run = measure(Sleeper(), (), workers=2, batches_per_worker=20, stop=FixedRounds(10**5),\n"
        f"                  options=LoadOptions(processes={processes}), on_progress=tell,\n"
        "                  interrupted=lambda: bool(received))\n"
        "    print(run.stamps.rounds, run.interrupted, *received)\n"
        "except Interrupted as why:\n"
        "    print(why)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_signal_to_the_whole_group_ends_a_real_run_cleanly(number: signal.Signals, processes: int) -> None:
    with harness(processes, report_after=80) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "measuring\n"
        os.killpg(process.pid, number)
        out, errors = process.communicate(timeout=30)

    rounds, interrupted, received = out.splitlines()[-1].split()
    assert int(rounds) >= 1
    assert (interrupted, int(received)) == ("True", number)
    assert errors == ""
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_children_start_is_not_taken_for_their_failure(number: signal.Signals) -> None:
    with harness(processes=2, report_after=80) as process:
        end_s = time.monotonic() + 30
        while len(psutil.Process(process.pid).children()) < 2:
            assert time.monotonic() < end_s, "waited in vain"
            time.sleep(0.005)
        os.killpg(process.pid, number)
        out, errors = process.communicate(timeout=60)
    assert (out.strip(), errors) == (SENTENCE, "")
