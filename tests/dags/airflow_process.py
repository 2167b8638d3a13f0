"""What only a process that has imported Airflow can find out about the DAGs, as JSON.

Run by `facts_of`: Airflow's import takes seconds and changes logging for the whole process. Reads a `Wishes`
object from stdin and writes the facts to the file that the first argument names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

DAG_ID = "inf2_batch_sweep"


def facts_of(wishes: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Let another process look at the DAGs and run them; ``wishes`` has ``params`` and ``runs``.

    A run has ``params`` and the data plane's ``python``, a ``dag_id`` where it is of another DAG, and
    ``run_after`` where it is not of this moment.
    """
    facts = folder / "facts.json"
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(facts)],
        input=json.dumps(wishes),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return {**json.loads(facts.read_text()), "output": done.stdout + done.stderr}


def _describe(dag: Any) -> dict[str, Any]:
    return {
        "tags": sorted(dag.tags),
        "doc": dag.doc_md or "",
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "schedule": str(getattr(dag.timetable, "expression", None)),
        "schedule_timezone": str(getattr(dag.timetable, "timezone", None)),
        "has_deadline": bool(dag.deadline),
        "defaults": dag.params.dump(),
        "tasks": {task.task_id: _describe_task(task) for task in dag.tasks},
    }


def _describe_task(task: Any) -> dict[str, Any]:
    return {
        "queue": task.queue,
        "pool": task.pool,
        "pool_slots": task.pool_slots,
        "trigger_rule": str(task.trigger_rule.value),
        "retries": task.retries,
        "timeout_s": task.execution_timeout.total_seconds() if task.execution_timeout else None,
        "upstream": sorted(task.upstream_task_ids),
    }


def _accepts(dag: Any, name: str, value: object) -> bool:
    from airflow.sdk.exceptions import ParamValidationError

    before = dag.params[name]
    try:
        dag.params[name] = value
    except ParamValidationError:
        return False
    dag.params[name] = before
    return True


def _run(dag: Any, wish: Mapping[str, Any]) -> dict[str, Any]:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    os.environ["BENCH_DATA_PYTHON"] = wish["python"]
    at = wish.get("run_after")
    run = dag.test(run_after=at and datetime.fromisoformat(at), run_conf=wish["params"])
    with create_session() as session:
        events = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run.run_id)).all()
        extras = [event.extra for event in events]
    return {
        "run_id": run.run_id,
        "state": str(run.state),
        "events": extras,
        "tasks": [
            [task.task_id, task.map_index, str(task.state), task.try_number, task.rendered_map_index]
            for task in run.get_task_instances()
        ],
    }


def _sleep_less(sleep: Callable[[float], None], duration_s: float) -> None:
    is_dag_test = sys._getframe(1).f_globals["__name__"] == "airflow.sdk.definitions.dag"
    sleep(0.02 if is_dag_test else duration_s)


def _main(target: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import upgradedb

    wishes = json.load(sys.stdin)
    # `dag.test` sleeps for a second whenever nothing can begin at once, which is so in every run.
    time.sleep = partial(_sleep_less, time.sleep)
    upgradedb()
    bag = DagBag()
    dag = bag.dags[DAG_ID]
    facts = {
        "import_errors": bag.import_errors,
        "dags": {dag_id: _describe(found) for dag_id, found in bag.dags.items()},
        "files": {dag_id: Path(found.fileloc).stem for dag_id, found in bag.dags.items()},
        "params": [_accepts(dag, name, value) for name, value in wishes["params"]],
        "runs": {
            name: _run(bag.dags[wish.get("dag_id", DAG_ID)], wish) for name, wish in wishes["runs"].items()
        },
    }
    target.write_text(json.dumps(facts))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
