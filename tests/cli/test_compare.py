"""`bench compare` and `bench experiment` as they are typed, with data planes that are as fast as told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from benchlib.orchestration import comparing
from benchlib.orchestration.comparing_params import PARAMETERS
from benchlib.results import Interval, LatencyIntervals
from benchlib.settings import PROJECT_ROOT
from benchlib.spec import ModelSpec
from benchlib.store.repository import Repository
from tests.orchestration.conftest import is_running, pid_in, wait_until
from tests.orchestration.fake_python import write_fake_python
from tests.orchestration.test_comparing import FAST
from tests.store import experiments, samples

from .conftest import Bench

QUICK = ("--model", "config:tiny", "--batch-sizes", "1,4", "--pairs", "6", "--max-pairs", "6")
Python = Callable[..., str]


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Python:
    """An interpreter of one side, by how fast it is."""
    monkeypatch.setattr(comparing, "BETWEEN_PAIRS_S", 0.0)

    def make(side: str, rate: float = 1.0, before: str = "") -> str:
        told: dict[str, Any] = {"noise": 0.002, "compiler": f"2.{side}", "checks": [], "before": before}
        body = FAST.format(log=str(tmp_path / "log"), side=side, rate=rate, **told)
        return str(write_fake_python(tmp_path / f"python-{side}", body))

    return make


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_two_interpreters_get_a_table_and_a_verdict_and_can_be_accepted(
    bench: Bench, python: Python, engine: Engine
) -> None:
    sides = python("old"), python("new", 0.97)
    code, out, err = bench("compare", "--interpreters", *sides, *QUICK)
    assert code == 0
    (experiment,) = rows(engine, "SELECT experiment_id::text, author FROM experiment")
    short = experiment[0][:8]
    assert f"Experiment {short}; stopped, it goes on with: bench compare --resume {short}" in err
    assert "batch size 4: pair 6 of 6: " in err
    lines = out.splitlines()
    assert lines[0].startswith(f"Experiment {short}, model config:tiny")
    assert "Measured on a CPU: not an inf2 result." in lines[0]
    assert lines[3] == "Changes: neuronx_cc 2.old -> 2.new"
    table = [line.split() for line in lines if "throughput (inf/s)" in line]
    assert [(row[0], row[-1]) for row in table] == [("1", "worse"), ("4", "worse"), ("all", "worse")]
    assert [float(row[5]) for row in table] == pytest.approx([-3.0] * 3, abs=0.3)
    assert lines[-1].startswith("Verdict: worse. The new side against the old one: worse in ")
    assert lines[-1].endswith(". Measured on a CPU: not an inf2 result.")

    assert bench("compare", *QUICK, "--batch-sizes", "1", "--interpreters", *sides, "--fail")[0] == 1
    listed = bench("experiment", "list")[1]
    assert ("worse" in listed, "neuronx-cc 2.old ->" in listed, "not inf2 results" in listed) == (True,) * 3
    shown = bench("experiment", "show", short)[1]
    assert [line for line in shown.splitlines() if line.startswith("Verdict:")] == [lines[-1]]
    accepted = bench("experiment", "accept", short, "--reason", "We know why.", "--author", "Ana")[1]
    assert accepted.startswith(f"experiment {short} accepted\nits series begin anew with the first nightly")
    again = bench("experiment", "accept", short, "--reason", "Me too.", "--author", "Ben")[1]
    assert f"experiment {short} is accepted already, says Ana (" in again
    assert "Accepted by Ana" in bench("experiment", "show", short)[1]


def test_where_nothing_could_be_compared_there_is_no_verdict(bench: Bench, python: Python) -> None:
    broken = 'if stage == "measure": sys.exit(1)'
    sides = python("old", before=broken), python("new", before=broken)
    code, out, _ = bench("compare", "--interpreters", *sides, *QUICK, "--batch-sizes", "1")
    assert (code, "Verdict: not compared." in out) == (1, True)


def test_json_is_all_that_is_printed(bench: Bench, python: Python) -> None:
    code, out, _ = bench("compare", "--interpreters", python("old"), python("new"), *QUICK, "--json")
    told = json.loads(out)
    assert (code, told["verdict"], told["hardware"], told["finished"]) == (0, "no worse", False, True)
    assert {each["verdict"] for each in told["judgements"]} == {"no worse"}
    assert told["environment_changes"][0]["field"] == "neuronx_cc"
    shown = json.loads(bench("experiment", "show", told["experiment_id"][:8], "--json")[1])
    assert shown["judgements"] == told["judgements"]


def test_an_interpreter_against_itself(bench: Bench, python: Python, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA_PYTHON", python("old"))
    code, out, _ = bench("compare", "--aa", *QUICK)
    assert code == 0
    assert "A/A, both sides are the same: no false alarm in 6 judgements" in out
    short = out.split()[1].rstrip(",")
    code, _, err = bench("experiment", "accept", short, "--reason", "Why not.")
    assert (code, "sides differ" in err) == (2, True)
    assert "A/A" in bench("experiment", "list")[1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "interpreters: None is not allowed; allowed: --interpreters OLD NEW, --aa, --resume, or two"),
        (("--aa", "--interpreters", "/a", "/b"), "allowed: the same one twice, or none, with --aa"),
        (("one",), "sweeps: 'one' is not allowed; allowed: two sweeps"),
        (("a", "b", "--pairs", "9"), "allowed: none beside --pairs"),
        (("a", "b"), "sweep: 'a' is not allowed; allowed: a run id"),
        (("--aa", "--pairs", "5"), "pairs: '5' is not allowed; allowed: a whole number from 6 to 1000"),
        (
            ("--aa", "--max-pairs", "6"),
            "max_pairs: 6 is not allowed; allowed: a whole number from 20 (pairs)",
        ),
        (("--aa", "--min-effect", "2"), "min_effect: '2' is not allowed; allowed: a number above 0"),
        (("--aa", "--model", "config:none"), "model: 'config:none' is not allowed"),
        (("--interpreters", "/nowhere", "/nowhere"), "interpreter: '/nowhere' is not allowed"),
        (("--resume", "abc"), "experiment: 'abc' is not allowed; allowed: a run id, or the first"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_nothing_is_written(
    bench: Bench,
    python: Python,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.setenv("BENCH_DATA_PYTHON", python("old"))
    code, out, error = bench("compare", *arguments)
    assert (code, out) == (2, "")
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "home" / "experiments").exists()


def test_every_parameter_is_an_option_with_a_help(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out = bench("compare", "--help")[1]
    for name in set(PARAMETERS) - {"old_interpreter", "new_interpreter"}:
        assert f"--{name.replace('_', '-')}" in out


def test_a_killed_comparison_goes_on_where_it_was(
    bench: Bench, python: Python, tmp_path: Path, engine: Engine
) -> None:
    """Killed as the kernel kills: nothing is cleaned up, and still no child stays, no finished pair goes."""
    hang = f"""
if stage == "measure" and turn == 7 and not os.path.exists("{tmp_path}/pid"):
    leave_pid("{tmp_path}/pid", os.getpid())
    time.sleep(600)
"""
    sides = (python("old", before=hang), python("new", before=hang))
    command = [sys.executable, "-m", "benchlib.cli", "compare", "--interpreters", *sides, *QUICK]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until((tmp_path / "pid").exists, deadline_s=120)
    child = pid_in(tmp_path / "pid")
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not is_running(child))
    before = rows(engine, "SELECT pair::text FROM pair ORDER BY 1")
    assert len(before) == 3
    (short,) = (row[0] for row in rows(engine, "SELECT left(experiment_id::text, 8) FROM experiment"))
    assert "not finished" in bench("experiment", "list")[1]
    assert "this is no verdict yet" in bench("experiment", "show", short)[1]
    code, out, _ = bench("compare", "--resume", short)
    assert (code, "Verdict: no worse." in out) == (0, True)
    after = rows(engine, "SELECT pair::text FROM pair ORDER BY 1")
    assert set(before) < set(after)
    turns = [line for line in (tmp_path / "log").read_text().splitlines() if line.startswith("measure")]
    assert len(turns) == 2 * 2 * 6 + 1
    code, _, err = bench("compare", "--resume", short)
    assert (code, "one without a verdict" in err) == (2, True)


def night(engine: Engine, day: int, rate: float, model: str | None = None, **changes: Any) -> str:
    """Two batch sizes, each known to half a percent."""
    sweep = samples.sweep(f"night-{day}", created_at=samples.NOON + timedelta(days=day))
    if model is not None:
        spec = sweep.spec.model_copy(update={"model": ModelSpec(name=model)})
        sweep = sweep.model_copy(update={"spec": spec})
    for size in (1, 2):
        throughput, p50_ms = 1000.0 * size * rate, 1 / rate
        result = samples.measured(
            size,
            throughput,
            throughput_interval=Interval(low=0.995 * throughput, high=1.005 * throughput),
            latency=samples.latency(mean_ms=p50_ms, p50_ms=p50_ms, p95_ms=1.1 * p50_ms, p99_ms=1.2 * p50_ms),
            latency_intervals=LatencyIntervals(p50_ms=Interval(low=0.99 * p50_ms, high=1.01 * p50_ms)),
            **changes,
        )
        Repository(engine).record(samples.measurement(size, sweep=sweep, result=result))
    return f"night-{day}"


def test_two_stored_sweeps_are_set_against_each_other_with_a_warning(bench: Bench, engine: Engine) -> None:
    first, second = night(engine, 0, 1.0), night(engine, 1, 0.95, environment=experiments.NEW)
    code, out, err = bench("compare", first, second)
    assert (code, err) == (0, "")
    assert "Environment: neuronx_cc None -> 2.21.0, python None -> 3.12.3" in out
    figures = [line.split() for line in out.splitlines() if "(inf/s)" in line or "(ms)" in line]
    told = {(row[0], row[1]): row[-1] for row in figures}
    assert told == {
        ("1", "throughput"): "slower", ("1", "P50"): "slower", ("1", "P99"): "known",
        ("2", "throughput"): "slower", ("2", "P50"): "slower", ("2", "P99"): "known",
    }  # fmt: skip
    assert "-5.00 %" in out
    assert "in a third to three quarters of all cases with nothing changed" in out
    assert out.rstrip().endswith("Measured on a CPU: not an inf2 result.")
    as_json = json.loads(bench("compare", first, second, "--json")[1])
    assert as_json["differences"][0]["change"] == pytest.approx(-0.05)
    assert "To decide, measure in turns" in as_json["warning"]
    assert "cannot be told apart" in bench("compare", first, night(engine, 2, 1.001))[1]


def test_two_models_are_shown_side_by_side_and_not_judged(bench: Bench, engine: Engine) -> None:
    first, second = night(engine, 0, 1.0), night(engine, 1, 0.3, model="bert-large-uncased")
    _, out, _ = bench("compare", first, second)
    assert "The models differ: the figures are not comparable." in out
    assert "Neither is called slower or faster." in out
    document = json.loads(bench("compare", first, second, "--json")[1])
    assert {each["standing"] for each in document["differences"]} == {"not comparable"}
    assert document["differences"][0]["change"] == pytest.approx(-0.7)
    other_load = night(engine, 2, 1.0, replicas=4, workers=4, precision="bf16")
    notes = json.loads(bench("compare", first, other_load, "--json")[1])["notes"]
    assert [note.split(" (")[0] for note in notes] == [
        "The precisions differ",
        "Replicas x workers differ at batch sizes 1 and 2",
    ]
