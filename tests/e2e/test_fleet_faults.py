"""What production does to a fleet, done to a real one: no finished measurement is lost or made twice."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from benchlib.settings import PROJECT_ROOT
from tests.conftest import RESULTS_FINISHED, RESULTS_STORED
from tests.e2e.fleet import RUN_TIMEOUT_S, Fleet, fleet
from tests.orchestration.channel_servers import Arrived, channel_servers, html_of
from tests.orchestration.conftest import wait_until

pytestmark = pytest.mark.slow

DETECTED_WITHIN_S = 60.0
WRITING = """
    SELECT FROM pg_locks
    WHERE relation = 'measurement'::regclass AND mode = 'RowExclusiveLock' AND NOT granted
"""
"""A writer whose transaction has begun and waits until it may write the measurement."""


@pytest.fixture(scope="module")
def arrived() -> Iterator[Arrived]:
    with channel_servers() as servers:
        yield servers


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, arrived: Arrived) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    dags = Path(shutil.copytree(PROJECT_ROOT / "dags", folder / "dags"))
    (dags / "sweeps.yaml").write_text('notify: ["apprise:dead", "smtp:mail:perf@localhost"]')
    with fleet(folder, AIRFLOW__CORE__DAGS_FOLDER=str(dags), **arrived.variables) as started:
        yield started


@pytest.fixture(autouse=True)
def nothing_is_lost(running: Fleet, record_property: Callable[[str, object], None]) -> Iterator[None]:
    """Every measurement that came to its end has its row; the summary of the tests adds them up."""
    since, earlier = time.monotonic(), running.stored()
    yield
    made = sum(count for (stage, _), count in finished(running, since).items() if stage == "measure")
    stored = running.stored() - earlier
    record_property(RESULTS_FINISHED, made)
    record_property(RESULTS_STORED, stored)
    assert stored == made


def finished(running: Fleet, since: float) -> Counter[tuple[str, int]]:
    """How often each step came to its end."""
    return Counter((step.stage, step.size) for step in running.steps(since) if step.what == "ended")


def states(running: Fleet, run_id: str, task_id: str) -> list[str | None]:
    """Where the mapped tasks of this name stand."""
    return [task.state for task in running.tasks(run_id) if task.task_id == task_id]


@pytest.mark.parametrize("stage", ["compile", "measure"])
def test_a_worker_that_is_killed_is_noticed_and_its_step_is_done_again(running: Fleet, stage: str) -> None:
    since = time.monotonic()
    hold = running.order("hold", stage, 2)
    run_id = running.trigger([1, 2, 3])
    struck = running.began(stage, 2, since)
    if stage == "compile":
        # A compile whose end the scheduler has not heard of is rightly begun again.
        wait_until(lambda: states(running, run_id, "per_batch_size.compile").count("success") == 2, 60)
    running.kill("host-a")
    killed_at = time.monotonic()
    wait_until(lambda: not running.leftovers())
    hold.unlink()
    running.start_worker("host-a")
    again = running.began(stage, 2, killed_at)
    assert again.at - killed_at < DETECTED_WITHIN_S + 30
    assert again.pid != struck.pid
    assert running.finish(run_id) == "success"
    assert running.rows(run_id) == [(1, "ok", 1), (2, "ok", 2 if stage == "measure" else 1), (3, "ok", 1)]
    assert set(finished(running, since).values()) == {1}
    assert running.leftovers() == []


def test_a_measuring_child_that_is_killed_is_measured_again(running: Fleet) -> None:
    since = time.monotonic()
    hold = running.order("hold", "measure", 1)
    run_id = running.trigger([1, 2])
    os.kill(running.began("measure", 1, since).pid, signal.SIGKILL)
    hold.unlink()
    assert running.finish(run_id) == "success"
    assert running.rows(run_id) == [(1, "failed", 1), (1, "ok", 2), (2, "ok", 1)]
    assert finished(running, since)["measure", 1] == 1


@contextmanager
def held(running: Fleet, stage: str, size: int) -> Iterator[Callable[[], None]]:
    """This step waits until the function is called that the block gets, or the block ends."""
    order = running.order("hold", stage, size)
    try:
        yield lambda: order.unlink()
    finally:
        order.unlink(missing_ok=True)


@contextmanager
def database_away(running: Fleet) -> Iterator[None]:
    """The results' database is stopped for the block."""
    running.results_server.stop()
    try:
        yield
    finally:
        running.results_server.start(databases=("bench",))


def waits_in_the_spool(running: Fleet, size: int) -> bool:
    """Whether the host keeps a measurement of this size for the database."""
    return any((running.home("host-a") / "spool").glob(f"*-measurement-{size}-*.json"))


def test_a_database_that_is_away_before_a_result_is_written_gets_it_later(running: Fleet) -> None:
    since = time.monotonic()
    with held(running, "measure", 1) as let_go:
        run_id = running.trigger([1, 2])
        running.began("measure", 1, since)
        with database_away(running):
            let_go()
            wait_until(lambda: waits_in_the_spool(running, 1), 60)
            assert finished(running, since)["measure", 1] == 1
    assert each_is_measured_once(running, run_id, [1, 2], since)


def test_a_database_that_goes_while_it_writes_a_result_gets_it_later(running: Fleet) -> None:
    """The server goes down with the write half done: its transaction has begun and waits for a lock."""
    since = time.monotonic()
    with held(running, "measure", 1) as let_go:
        run_id = running.trigger([1, 2])
        running.began("measure", 1, since)
        with running.results() as blocker:
            blocker.execute(text("LOCK TABLE measurement IN SHARE MODE"))
            let_go()
            wait_until(lambda: bool(running.ask(WRITING)), 60)
            with database_away(running):
                blocker.invalidate()
                assert waits_in_the_spool(running, 1)
    assert each_is_measured_once(running, run_id, [1, 2], since)


def test_a_database_that_goes_after_it_wrote_a_result_keeps_it(running: Fleet) -> None:
    since = time.monotonic()
    with held(running, "measure", 1) as first, held(running, "measure", 2) as second:
        run_id = running.trigger([1, 2])
        wait_until(lambda: began(running, since) != [], 90)
        # Either may come first, and has the device alone.
        (size,) = began(running, since)
        let_go, let_go_later = (first, second) if size == 1 else (second, first)
        let_go()
        wait_until(lambda: (size, "ok", 1) in running.rows(run_id), 60)
        wait_until(lambda: len(began(running, since)) == 2, 60)
        with database_away(running):
            let_go_later()
            wait_until(lambda: waits_in_the_spool(running, 3 - size), 60)
        assert (size, "ok", 1) in running.rows(run_id)
    assert each_is_measured_once(running, run_id, [1, 2], since)


def began(running: Fleet, since: float) -> list[int]:
    """The sizes whose measurement has begun, in this order."""
    return [each.size for each in running.steps(since) if (each.what, each.stage) == ("began", "measure")]


def each_is_measured_once(running: Fleet, run_id: str, sizes: list[int], since: float) -> bool:
    """Whether the run ends well with one row of each size, for which nothing was done twice."""
    assert running.finish(run_id) == "success"
    assert running.rows(run_id) == [(size, "ok", 1) for size in sizes]
    return set(finished(running, since).values()) == {1}


def test_redis_may_restart(running: Fleet) -> None:
    since = time.monotonic()
    hold = running.order("hold", "measure", 1)
    run_id = running.trigger([1, 2])
    running.began("measure", 1, since)
    running.kill("redis")
    running.start_redis()
    hold.unlink()
    assert running.finish(run_id) == "success"
    assert [row[:2] for row in running.rows(run_id)] == [(1, "ok"), (2, "ok")]
    assert set(finished(running, since).values()) == {1}


def test_the_scheduler_may_be_killed_in_mid_run(running: Fleet) -> None:
    since = time.monotonic()
    hold = running.order("hold", "measure", 1)
    run_id = running.trigger([1, 2])
    running.began("measure", 1, since)
    running.kill("scheduler")
    hold.unlink()
    running.start_airflow("scheduler")
    assert running.finish(run_id) == "success"
    assert [row[:2] for row in running.rows(run_id)] == [(1, "ok"), (2, "ok")]
    assert set(finished(running, since).values()) == {1}


@pytest.mark.parametrize("failing", [(1,), (2,), (3,), (1, 2, 3)])
def test_sizes_that_fail_to_compile_stop_no_other_and_are_told(
    running: Fleet, arrived: Arrived, failing: tuple[int, ...]
) -> None:
    orders = [running.order("fail", "compile", size) for size in failing]
    run_id = running.trigger([1, 2, 3])
    assert running.finish(run_id) == "failed"
    for order in orders:
        order.unlink()
    assert [size for size, status, _ in running.rows(run_id) if status == "ok"] == [
        size for size in (1, 2, 3) if size not in failing
    ]
    states = {(task.task_id, task.state) for task in running.tasks(run_id)}
    assert ("report", "success") in states
    assert ("some_batch_size_failed", "failed") in states
    # By the DAG processor, once the run has ended.
    told: list[str] = []

    def look() -> bool:
        told[:] = [html for html in map(html_of, arrived.mails) if f"Run {run_id}." in html]
        return bool(told)

    wait_until(look, 60)
    (html,) = told
    assert all(f"Batch size {size} failed: batch size {size} does not fit" in html for size in failing)
    assert html.count("failed: batch size") == len(failing)


def test_two_hosts_and_a_command_line_measure_one_after_the_other_on_one_device(running: Fleet) -> None:
    """Three that share a device's home: the lock holds between them, whatever the pool allows."""
    since = time.monotonic()
    hold = running.order("hold", "measure", 1)
    device = {"BENCH_HOME": str(running.home("host-a"))}
    running.start("host-b", running.processes["host-a"].args, **device)  # type: ignore[arg-type]
    try:
        runs = [running.trigger([1, 2, 3]) for _ in range(2)]
        running.began("measure", 1, since)
        typed = running.start_demo([1, 2, 3], "host-a")
        logs = running.home("host-a") / "logs"
        wait_until(lambda: any("waiting for the device" in log.read_text() for log in logs.glob("demo*")), 90)
        hold.unlink()
        assert [running.finish(run_id) for run_id in runs] == ["success", "success"]
        assert typed.wait(RUN_TIMEOUT_S) == 0
    finally:
        running.kill("host-b")
    assert set(finished(running, since).values()) == {3}
    assert alone(running, since)


def alone(running: Fleet, since: float) -> bool:
    """Whether no step ran while a measurement did."""
    spans = []
    open_steps = {}
    for step in running.steps(since):
        if step.what == "began":
            open_steps[step.pid] = step
        else:
            spans.append((open_steps[step.pid], step))
    return not any(
        begin.stage == "measure" and begin.at < other_begin.at < end.at
        for begin, end in spans
        for other_begin, _ in spans
        if other_begin.pid != begin.pid
    )
