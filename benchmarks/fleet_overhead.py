"""What does Airflow with Celery add to each step of a sweep?

    PYTHONPATH=. .venv/bin/python benchmarks/fleet_overhead.py

Brings up the whole deployment on this machine (Airflow's components, Redis, two PostgreSQL servers, a worker
of the default queue and two device "hosts", each with files and a device lock of its own) with the settings
that ship, and runs one sweep of ten batch sizes after one that warms up. The data plane is a stand-in that
ends at once: what is left is what the machinery costs. Says for each kind of task how long it waited in the
queue until it began, from there until the data plane ran, and from the data plane's end until Airflow knew.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from benchlib.orchestration.names import DAG_ID
from tests.e2e.fleet import Fleet, Step, fleet

HOSTS = ("host-a", "host-b")
SIZES = tuple(range(1, 11))
STAGES = {"per_batch_size.compile": "compile", "per_batch_size.measure": "measure"}

TASKS = text("""
    SELECT task_id, map_index, queued_dttm, start_date, end_date, pid
    FROM task_instance WHERE dag_id = :dag_id AND run_id = :run_id AND state = 'success'
    ORDER BY start_date
""")
RUN = text("SELECT start_date, end_date FROM dag_run WHERE dag_id = :dag_id AND run_id = :run_id")


@dataclass(frozen=True)
class Times:
    """One task; seconds since the epoch."""

    task_id: str
    queued_s: float
    began_s: float
    data_plane_s: tuple[float, float] | None
    """Begin and end of the data plane's process, where the task has one."""
    ended_s: float

    def parts(self) -> dict[str, float]:
        """What the task's time went into, s."""
        waited = {"queued to begun": self.began_s - self.queued_s}
        if self.data_plane_s is None:
            return {**waited, "begun to ended": self.ended_s - self.began_s}
        begin, end = self.data_plane_s
        return {
            **waited,
            "begun to data plane": begin - self.began_s,
            "data plane to ended": self.ended_s - end,
            "all but the data plane": self.ended_s - self.queued_s - (end - begin),
        }


def main() -> int:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1, help="measured sweeps after the first; default: 1")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder, fleet(Path(folder), hosts=HOSTS) as running:
        sweep(running)
        measured = [sweep(running) for _ in range(asked.runs)]
        print_table([times for tasks, _ in measured for times in tasks])
        told = ", ".join(f"{host} {tasks}" for host, tasks in spread(running).items())
        print(f"\ntasks of all sweeps by host: {told}")
        for _, duration_s in measured:
            print(f"sweep of {len(SIZES)} batch sizes: {duration_s:.1f} s")
    return 0


def sweep(running: Fleet) -> tuple[list[Times], float]:
    """One run of the DAG; the times of its tasks, and its duration in seconds."""
    since = time.monotonic()
    run_id = running.trigger(SIZES)
    state = running.finish(run_id)
    assert state == "success", f"the run ended as {state}"
    steps = running.steps(since)
    engine = create_engine(running.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    with engine.connect() as connection:
        which = {"dag_id": DAG_ID, "run_id": run_id}
        tasks = [times_of(row, steps) for row in connection.execute(TASKS, which).mappings()]
        began, ended = connection.execute(RUN, which).one()
    engine.dispose()
    return tasks, (ended - began).total_seconds()


def times_of(row: Mapping[Any, Any], steps: Iterable[Step]) -> Times:
    """A task with the step of the data plane that it ran."""
    stage, size = STAGES.get(row["task_id"]), SIZES[row["map_index"]]
    # Both clocks are this machine's.
    offset_s = time.time() - time.monotonic()
    own = {step.what: step.at + offset_s for step in steps if (step.stage, step.size) == (stage, size)}
    return Times(
        task_id=row["task_id"],
        queued_s=row["queued_dttm"].timestamp(),
        began_s=row["start_date"].timestamp(),
        data_plane_s=(own["began"], own["ended"]) if stage else None,
        ended_s=row["end_date"].timestamp(),
    )


def spread(running: Fleet) -> dict[str, int]:
    """How many tasks each host's worker has ended, by its own log."""
    logs = {host: (running.folder / f"{host}.log").read_text() for host in HOSTS}
    return {host: log.count("] succeeded in ") for host, log in logs.items()}


def print_table(tasks: Sequence[Times]) -> None:
    """Medians and maxima, as Markdown."""
    print("| task | part | tasks | median, s | maximum, s |\n|---|---|---:|---:|---:|")
    for task_id in dict.fromkeys(task.task_id for task in tasks):
        alike = [task.parts() for task in tasks if task.task_id == task_id]
        for part in alike[0]:
            values = [parts[part] for parts in alike]
            figures = f"{len(values)} | {statistics.median(values):.2f} | {max(values):.2f}"
            print(f"| `{task_id}` | {part} | {figures} |")


if __name__ == "__main__":
    sys.exit(main())
