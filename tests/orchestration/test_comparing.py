"""Comparisons over a real database and real processes, with data planes that are as fast as they are told."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from benchlib.analysis.paired import Side
from benchlib.errors import BadInput, BenchError
from benchlib.experiments import ExperimentRecord, PairRecord
from benchlib.orchestration import comparing
from benchlib.orchestration.comparing import (
    Step,
    bring_in_journals,
    compile_side,
    conclude,
    conclude_and_log,
    experiment_record,
    measure_pairs,
    plan_experiment,
)
from benchlib.orchestration.comparing_journal import LOGGED, CompiledSide, Journal, journals
from benchlib.orchestration.device_lock import DeviceBusy, device_lock
from benchlib.orchestration.job import is_retryable
from benchlib.orchestration.launcher import StepFailed
from benchlib.report.comparing import ComparisonReport
from benchlib.results import Check
from benchlib.settings import Settings

from .test_steps import NOBODY, rows

MakePython = Callable[[str], Path]
PAIRS = 6
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MISMATCH = Check(
    name="outputs_match_reference", passed=False, figure=0.2, advice="It computes something else."
)
NOISY = Check(name="no_steal", passed=False, advice="Somebody took the CPU.")
HARNESS = Check(name="harness_ceiling", passed=False, advice="The harness is the limit.")

FAST = """
with open({log!r}, "a") as log:
    log.write(" ".join([stage, {side!r}, *[str(part["batch_size"]) for part in parts]]) + "\\n")
with open({log!r}) as log:
    turn = sum(line.startswith("measure") for line in log)
off = {noise} * ((turn * 7919) % 11 - 5) / 5
rate = {rate} * (1 + off)
def drive(result):
    result["throughput_inf_per_s"] *= rate
    result["duration_s"] = result["inferences"] / result["throughput_inf_per_s"]
    result["latency"] = dict(result["latency"], mean_ms=1 / rate, p50_ms=1 / rate)
    result["checks"] = {checks}
    result["environment"]["neuronx_cc"] = {compiler!r}
    return result
COMPILED["environment"]["neuronx_cc"] = {compiler!r}
if stage == "measure-in-turns":
    RESULT = dict(measurements=[drive(each) for each in IN_TURNS["measurements"]])
elif stage == "measure":
    RESULT = drive(MEASURED)
{before}
leave(RESULT)
"""


class Host:
    """Two interpreters, and the log of what they were asked."""

    def __init__(self, make_python: MakePython, folder: Path) -> None:
        self._make_python = make_python
        self.log = folder / "log"

    def python(self, side: Side, rate: float = 1.0, **changes: Any) -> Path:
        told: dict[str, Any] = {
            "noise": 0.002,
            "compiler": "2.20" if side == "old" else "2.21",
            "checks": [],
            "before": "",
        }
        return self._make_python(FAST.format(log=str(self.log), side=side, rate=rate, **(told | changes)))

    def asked(self, stage: str = "measure") -> list[str]:
        """Such as 'old 1'."""
        lines = [line.partition(" ") for line in self.log.read_text().splitlines()]
        return [rest for first, _, rest in lines if first == stage]


@pytest.fixture
def place(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BENCH_DATABASE_URL", database_url)
    return Settings.from_environment()


@pytest.fixture
def host(place: Settings, make_python: MakePython, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(comparing, "BETWEEN_PAIRS_S", 0.0)
    return Host(make_python, tmp_path)


def an_experiment(old: Path, new: Path, **params: Any) -> ExperimentRecord:
    given = {
        "model": "config:tiny",
        "batch_sizes": [1],
        "pairs": PAIRS,
        "max_pairs": PAIRS,
        "old_interpreter": str(old),
        "new_interpreter": str(new),
        **params,
    }
    return experiment_record(given, dag_id="sdk_comparison", run_id="r1", author="Ana", created_at=NOON)


def compiled(record: ExperimentRecord) -> dict[Side, CompiledSide]:
    return {"old": compile_side(record, "old"), "new": compile_side(record, "new")}


def carried_out(record: ExperimentRecord) -> ComparisonReport:
    plan_experiment(record)
    sides = compiled(record)
    measure_pairs(record, sides)
    return conclude(record, sides).report


def judged(report: ComparisonReport) -> dict[tuple[int | None, str], str]:
    return {(each.batch_size, each.metric): each.verdict for each in report.family.judgements}


def test_a_slower_sdk_is_found_in_turns_and_stored(host: Host, engine: Engine, place: Settings) -> None:
    record = an_experiment(host.python("old"), host.python("new", 0.96), batch_sizes=[1, 4])
    report = carried_out(record)
    assert report.verdict == "worse"
    assert set(judged(report).values()) == {"worse"}
    assert len(judged(report)) == 6  # two sizes and their mean, throughput and P50
    assert report.sentence.startswith("Verdict: worse. The new side against the old one: worse in ")
    # A B, then B A, and the sizes spread over the whole time.
    assert host.asked()[:8] == ["old 1", "new 1", "old 4", "new 4", "new 1", "old 1", "new 4", "old 4"]
    assert len(host.asked()) == 2 * 2 * PAIRS
    assert rows(engine, "SELECT verdict, pairs, environment_changes FROM experiment_history") == [
        ("worse", 2 * PAIRS, "neuronx_cc 2.20 -> 2.21")
    ]
    assert rows(engine, "SELECT DISTINCT verdict FROM experiment_judgement") == [("worse",)]
    assert journals(place) == []


def test_no_difference_is_no_worse(host: Host) -> None:
    report = carried_out(an_experiment(host.python("old"), host.python("new")))
    assert report.verdict == "no worse"
    told = "no worse in all 2 judgements; P99 is not judged at batch size 1."
    assert report.sentence == f"Verdict: no worse. The new side against the old one: {told}"


def test_an_interpreter_against_itself_reports_false_alarms(host: Host) -> None:
    python = host.python("old")
    report = carried_out(an_experiment(python, python))
    assert report.sentence.startswith("A/A, both sides are the same: no false alarm in 2 judgements")


def test_where_nothing_can_be_decided_more_is_measured_up_to_a_limit(host: Host) -> None:
    old, new = host.python("old", noise=0.2), host.python("new", noise=0.2)
    report = carried_out(an_experiment(old, new, max_pairs=2 * PAIRS))
    assert report.verdict == "undecided"
    assert {each.estimate.pairs for each in report.family.judgements} == {2 * PAIRS}
    assert "throughput at batch size 1 at ±" in report.sentence


class Stopped(Exception):
    """As Airflow's own, or a person's Ctrl-C."""


def stop_after(pairs: int) -> Callable[[Step], None]:
    left = iter(range(pairs))

    def tell(step: Step) -> None:
        next(left)
        if not left.__length_hint__():
            raise Stopped

    return tell


def test_what_was_stopped_goes_on_where_it_was(host: Host, engine: Engine) -> None:
    record = an_experiment(host.python("old"), host.python("new"))
    plan_experiment(record)
    sides = compiled(record)
    with pytest.raises(Stopped):
        measure_pairs(record, sides, stop_after(3))
    before = rows(engine, "SELECT pair::text FROM pair ORDER BY pair_number")
    assert len(before) == 3
    measure_pairs(record, sides)
    assert rows(engine, "SELECT pair::text FROM pair ORDER BY pair_number")[:3] == before
    assert len(host.asked()) == 2 * PAIRS
    assert conclude(record, sides).report.finished


def test_another_host_goes_on_from_the_database(host: Host, place: Settings) -> None:
    record = an_experiment(host.python("old"), host.python("new"))
    sides = compiled(record)
    with pytest.raises(Stopped):
        measure_pairs(record, sides, stop_after(3))
    shutil.rmtree(place.home)
    measure_pairs(record, sides)
    assert len(host.asked()) == 2 * PAIRS


def test_a_torn_pair_is_measured_again(host: Host, place: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    record = an_experiment(host.python("old"), host.python("new"))
    sides = compiled(record)
    with monkeypatch.context() as away:
        away.setenv("BENCH_DATABASE_URL", NOBODY)
        with pytest.raises(Stopped):
            measure_pairs(record, sides, stop_after(3))
    (Journal.of(place, record.experiment_id).directory / "pair-0001-0002.json").write_text("{")
    measure_pairs(record, sides)
    assert len(host.asked()) == 2 * (PAIRS + 1)


def test_without_a_database_all_of_it_waits_on_the_disk(
    host: Host,
    place: Settings,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = an_experiment(host.python("old"), host.python("new", 0.9))
    with monkeypatch.context() as away:
        away.setenv("BENCH_DATABASE_URL", NOBODY)
        plan_experiment(record)
        sides = compiled(record)
        measure_pairs(record, sides)
        concluded = conclude(record, sides)
    assert concluded.not_stored is not None
    assert concluded.report.verdict == "worse"
    assert rows(engine, "SELECT count(*) FROM experiment") == [(0,)]
    assert bring_in_journals(place) == 1
    assert rows(engine, "SELECT verdict, pairs FROM experiment_history") == [("worse", PAIRS)]
    assert journals(place) == []


def test_where_the_disk_takes_nothing_the_database_is_enough(
    host: Host,
    place: Settings,
    engine: Engine,
) -> None:
    record = an_experiment(host.python("old"), host.python("new"))
    sides = compiled(record)
    directory = Journal.of(place, record.experiment_id).directory

    def fill(step: Step) -> None:
        if directory.is_dir():
            shutil.rmtree(directory)
            directory.write_text("no room")

    measure_pairs(record, sides, fill)
    assert rows(engine, "SELECT count(*) FROM pair") == [(PAIRS,)]
    assert conclude(record, sides).not_stored is None
    assert rows(engine, "SELECT verdict FROM experiment") == [("no worse",)]


def test_where_nothing_takes_a_pair_it_is_in_the_log(
    host: Host, place: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record = an_experiment(host.python("old"), host.python("new"))
    sides = compiled(record)
    monkeypatch.setenv("BENCH_DATABASE_URL", NOBODY)
    directory = Journal.of(place, record.experiment_id).directory

    def fill(step: Step) -> None:
        shutil.rmtree(directory)
        directory.write_text("no room")

    with pytest.raises(BenchError, match=LOGGED.strip()):
        measure_pairs(record, sides, fill)
    (line,) = (each for each in caplog.messages if each.startswith(LOGGED))
    assert PairRecord.model_validate_json(line.removeprefix(LOGGED)).number == 2


def test_a_side_that_crashes_at_one_size_loses_it_and_the_others_are_judged(host: Host) -> None:
    crash = 'if stage == "measure" and size == 4: os.kill(os.getpid(), signal.SIGSEGV)'
    record = an_experiment(host.python("old"), host.python("new", before=crash), batch_sizes=[1, 4])
    report = carried_out(record)
    (problem,) = report.problems
    assert (problem.batch_size, problem.side, problem.stage) == (4, "new", "measure")
    assert "was killed by SIGSEGV" in problem.reason
    assert judged(report) == {(1, "throughput_inf_per_s"): "no worse", (1, "p50_ms"): "no worse"}
    assert report.verdict == "worse"
    assert "the new side cannot do batch size 4" in report.sentence
    assert host.asked().count("new 4") == 3


def test_a_size_that_the_old_side_cannot_compile_is_not_called_no_worse(host: Host) -> None:
    broken = 'if stage == "compile" and size == 4: sys.exit(1)'
    record = an_experiment(host.python("old", before=broken), host.python("new"), batch_sizes=[1, 4])
    report = carried_out(record)
    assert [(each.batch_size, each.side, each.stage) for each in report.problems] == [(4, "old", "compile")]
    assert report.verdict == "undecided"
    assert {line.split()[1] for line in host.asked()} == {"1"}


def test_a_compile_that_fails_once_is_tried_once_more(host: Host, tmp_path: Path) -> None:
    once = f"""
if stage == "compile" and not os.path.exists("{tmp_path}/failed"):
    open("{tmp_path}/failed", "w").close()
    sys.exit(1)
"""
    assert (
        compile_side(an_experiment(host.python("old"), host.python("new", before=once)), "new").problems == ()
    )
    assert host.asked("compile") == ["new 1", "new 1"]


def test_a_store_that_is_away_is_no_fault_of_the_sdk(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = host.python("new", before='if stage == "compile": sys.exit(1)')
    monkeypatch.setenv("BENCH_ARTIFACT_URL", "file:///proc/none")
    with pytest.raises(BenchError, match=r"/proc/none.*\(the step said: compile of batch size 1") as refusal:
        compile_side(an_experiment(host.python("old"), broken), "new")
    assert is_retryable(refusal.value)


def test_a_compile_that_never_ends_is_no_verdict(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "STEP_TIMEOUT_S", 0.5)
    hangs = host.python("new", before='if stage == "compile": time.sleep(60)')
    with pytest.raises(StepFailed, match="did not end within"):
        compile_side(an_experiment(host.python("old"), hangs), "new")
    assert host.asked("compile") == ["new 1"]


def test_what_neither_side_can_do_any_more_ends_nothing(host: Host, place: Settings, tmp_path: Path) -> None:
    away = f'if stage == "measure" and turn > 4 and not os.path.exists("{tmp_path}/mended"): sys.exit(1)'
    record = an_experiment(host.python("old", before=away), host.python("new", before=away))
    sides = compiled(record)
    with pytest.raises(BenchError, match="neither side can be measured any more at batch size 1"):
        measure_pairs(record, sides)
    assert [pair.unusable is None for pair in Journal.of(place, record.experiment_id).pairs()] == [
        True
    ] * 2 + [False] * 2
    (tmp_path / "mended").touch()
    measure_pairs(record, sides)
    report = conclude(record, sides).report
    assert (report.verdict, report.problems) == ("no worse", ())


def test_a_side_that_fails_after_good_pairs_is_undecided_and_they_are_judged(host: Host) -> None:
    fails = 'if stage == "measure" and turn > 2 * 6 + 1: sys.exit(1)'
    record = an_experiment(host.python("old"), host.python("new", before=fails), pairs=12, max_pairs=12)
    report = carried_out(record)
    (problem,) = report.problems
    assert (problem.side, problem.stage) == ("both", "measure")
    assert problem.reason.startswith("after ")
    assert report.verdict == "undecided"
    assert set(judged(report).values()) == {"no worse"}
    assert "broken off at batch size 1" in report.sentence


def test_an_interpreter_that_is_none_is_no_verdict_on_the_sdk(host: Host) -> None:
    record = an_experiment(host.python("old"), Path("/nowhere"))
    with pytest.raises(StepFailed, match="interpreter: '/nowhere' is not allowed"):
        compile_side(record, "new")


def test_wrong_outputs_are_no_speed(host: Host) -> None:
    wrong = host.python("new", 2.0, checks=f"[{MISMATCH.model_dump()}]")
    report = carried_out(an_experiment(host.python("old"), wrong))
    assert report.verdict == "worse"
    assert report.problems[0].side == "new"
    assert "outputs_match_reference" in report.problems[0].reason
    assert report.family.judgements == ()


def test_noise_is_told_and_counts(host: Host) -> None:
    noisy = f"[{NOISY.model_dump()}] if turn == 3 else []"
    report = carried_out(an_experiment(host.python("old", checks=noisy), host.python("new", checks=noisy)))
    assert report.verdict == "no worse"
    told = f"1 of {PAIRS} pairs were noisy (no_steal), which makes the intervals wider"
    assert report.notes[0] == told


def test_a_load_generator_that_is_the_limit_hides_differences(host: Host) -> None:
    limited = f"[{HARNESS.model_dump()}]"
    report = carried_out(an_experiment(host.python("old", checks=limited), host.python("new")))
    assert report.verdict == "undecided"
    assert set(judged(report).values()) == {"no worse"}
    assert "the load generator may hide differences at batch size 1" in report.sentence


def test_all_sizes_in_one_process_of_each_side(host: Host) -> None:
    record = an_experiment(host.python("old"), host.python("new"), batch_sizes=[1, 4], interleave=True)
    report = carried_out(record)
    assert host.asked("measure-in-turns")[:3] == ["old 1 4", "new 1 4", "new 1 4"]
    assert len(host.asked("measure-in-turns")) == 2 * PAIRS
    assert report.verdict == "no worse"
    assert len(report.family.judgements) == 6


def test_an_upgrade_in_the_middle_is_refused(host: Host) -> None:
    record = an_experiment(host.python("old"), host.python("new"))
    plan_experiment(record)
    sides = compiled(record)
    with pytest.raises(Stopped):
        measure_pairs(record, sides, stop_after(1))
    known = comparing.with_environments(record, sides)
    renewed = known.model_copy(
        update={"spec": known.spec.model_copy(update={"new": str(host.python("new", compiler="2.22"))})}
    )
    with pytest.raises(BenchError, match=r"the new side is no longer .* \(neuronx_cc 2.21 -> 2.22\)"):
        compile_side(renewed, "new")


def test_a_turn_in_another_environment_is_refused_and_not_kept(host: Host, place: Settings) -> None:
    upgraded = 'if stage == "measure" and turn == 3: RESULT["environment"]["torch"] = "2.9"'
    record = an_experiment(host.python("old", before=upgraded), host.python("new", before=upgraded))
    sides = compiled(record)
    with pytest.raises(BenchError, match=r"the new side is no longer .* \(torch None -> 2.9\)"):
        measure_pairs(record, sides)
    assert len(Journal.of(place, record.experiment_id).pairs()) == 1


def test_pairs_of_another_environment_are_not_gone_on_with(host: Host, place: Settings) -> None:
    """As the DAG does it, whose tasks do not know what an earlier try has compiled."""
    old = host.python("old")
    record = an_experiment(old, host.python("new"))
    with pytest.raises(Stopped):
        measure_pairs(record, compiled(record), stop_after(1))
    upgraded = record.model_copy(
        update={"spec": record.spec.model_copy(update={"new": str(host.python("new", compiler="2.22"))})}
    )
    shutil.rmtree(place.home)
    with pytest.raises(BenchError, match=r"the new side is no longer .* \(neuronx_cc 2.21 -> 2.22\)"):
        measure_pairs(upgraded, compiled(upgraded))


def test_a_verdict_on_another_host_waits_for_the_pairs_of_the_first(
    host: Host, place: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = an_experiment(host.python("old"), host.python("new"))
    sides = compiled(record)
    with monkeypatch.context() as away:
        away.setenv("BENCH_DATABASE_URL", NOBODY)
        measure_pairs(record, sides)
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("BENCH_HOME", str(tmp_path / "another host"))
        with pytest.raises(BenchError, match="pairs are missing here: they wait on another host"):
            conclude_and_log(record, sides)
    assert rows(engine, "SELECT finished_at FROM experiment") == [(None,)]
    bring_in_journals(place)
    assert rows(engine, "SELECT verdict, pairs FROM experiment_history") == [("no worse", PAIRS)]
    assert journals(place) == []


def test_a_pair_that_two_hosts_made_counts_once_and_the_other_is_in_the_log(
    host: Host,
    place: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    record = an_experiment(host.python("old"), host.python("new"))
    sides = compiled(record)
    with monkeypatch.context() as away:
        away.setenv("BENCH_DATABASE_URL", NOBODY)
        with pytest.raises(Stopped):
            measure_pairs(record, sides, stop_after(1))
    (mine,) = Journal.of(place, record.experiment_id).pairs()
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("BENCH_HOME", str(tmp_path / "another host"))
        measure_pairs(record, sides)
    bring_in_journals(place)
    line, *_ = (each for each in caplog.messages if "was measured on another host too" in each)
    assert PairRecord.model_validate_json(line.partition("does not count: ")[2]) == mine


def test_a_pair_has_the_device_to_itself_and_a_busy_device_ends_it(
    host: Host,
    place: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = f"""
if stage == "measure":
    import fcntl
    own = open({str(place.device_lock)!r})
    try:
        fcntl.flock(own, fcntl.LOCK_SH | fcntl.LOCK_NB)
        sys.exit(1)
    except BlockingIOError:
        pass
"""
    report = carried_out(an_experiment(host.python("old", before=body), host.python("new", before=body)))
    assert report.problems == ()
    monkeypatch.setattr(comparing, "DEVICE_TIMEOUT_S", 0.0)
    with (
        device_lock(place.device_lock, exclusive=True, what="a nightly", timeout_s=0),
        pytest.raises(DeviceBusy, match="a nightly"),
    ):
        compile_side(an_experiment(host.python("old"), host.python("new")), "old")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("pairs", 5, "pairs: 5 is not allowed; allowed: a whole number from 6 to 1000"),
        ("pairs", "many", "pairs: 'many' is not allowed; allowed: a whole number from 6 to 1000"),
        ("pairs", 7, "max_pairs: 6 is not allowed; allowed: a whole number from 7 (pairs)"),
        ("min_effect", 0, "min_effect: 0 is not allowed; allowed: a number above 0, at most 0.5"),
        ("p99_min_effect", 1, "p99_min_effect: 1 is not allowed; allowed: a number above 0, at most 0.5"),
        ("old_interpreter", "", "old_interpreter: '' is not allowed; allowed: a Python of the data plane"),
        ("batch_sizes", "0", "batch_sizes: '0' is not allowed; allowed: distinct whole numbers"),
        ("rounds", 0, "rounds: 0 is not allowed; allowed: a whole number from 1 to 1000"),
        ("scenario", "server", "scenario: 'server' is not allowed"),
        ("stop", "precision", "parameter: 'stop' is not allowed; allowed: one of old_interpreter"),
    ],
)
def test_wrong_values_are_refused_by_name(name: str, value: object, sentence: str) -> None:
    with pytest.raises(BadInput) as refusal:
        an_experiment(Path("/old"), Path("/new"), **{name: value})
    assert str(refusal.value).startswith(sentence)


@pytest.fixture(autouse=True)
def _no_connection_is_left(engine: Engine) -> Iterator[None]:
    yield
    with engine.connect() as connection:
        others = text(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert connection.scalar(others) == 0
