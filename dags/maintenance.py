"""
### What piles up and is of no more use

Removes what nobody has touched or used for `keep_days` days, and names what only a person may remove. Rows
and figures in the database stay for ever.

| task | what it does |
|---|---|
| `programs` | removes compiled programs that no sweep has used; one that is asked for again is made again |
| `host_files` | removes old logs, working directories of killed steps and interrupted writes of a worker |
| `host_files_QUEUE` | the same on one device host of each queue, beside no measurement |

Results that were set aside as unreadable, and logs that hold a result which is nowhere else, are never
removed: they are warnings in the log, and told to the channels under `notify` in `sweeps.yaml` once. Removal
is safe beside a running sweep: programs stay while one is unfinished, and whatever is young stays. With
`dry_run` nothing is removed, and the log says what would be.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from benchlib.orchestration.declarations import deployed_sweeps
from benchlib.orchestration.retention import KEEP_DAYS, MOST_KEEP_DAYS
from benchlib.orchestration.run_notices import on_failed_run
from benchlib.settings import Settings

DECLARATIONS = deployed_sweeps(Path(__file__).parent, Settings.from_environment().backend)
PARAMS = {
    "keep_days": Param(
        KEEP_DAYS,
        type="integer",
        minimum=1,
        maximum=MOST_KEEP_DAYS,
        title="Days to keep",
        description="What was touched or used within so many days stays",
    ),
    "dry_run": Param(
        False,
        type="boolean",
        title="Dry run",
        description="Remove nothing; the log says what would be removed",
    ),
}


def prune_programs() -> dict[str, Any]:
    """Remove old programs from the artifact store; returns how much."""
    from benchlib.orchestration.maintenance import prune_programs

    return prune_programs(get_current_context()["params"])


def prune_files() -> dict[str, Any]:
    """Remove old files of the host that this runs on; returns how much."""
    from benchlib.orchestration.maintenance import prune_files

    return prune_files(get_current_context()["params"], DECLARATIONS.notify)


@dag(
    dag_id="maintenance",
    schedule="0 12 * * *",
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    default_args={"retries": 1},
    params=PARAMS,
    tags=["benchmark", "operation"],
    doc_md=__doc__,
    on_failure_callback=on_failed_run(DECLARATIONS.notify),
)
def maintenance() -> None:
    """The store once, and the files of a host of every queue."""
    task(task_id="programs", multiple_outputs=False)(prune_programs)()
    task(task_id="host_files", multiple_outputs=False)(prune_files)()
    for queue, pool in sorted({(sweep.queue, sweep.pool) for sweep in DECLARATIONS.sweeps}):
        task_id = f"host_files_{re.sub(r'[^A-Za-z0-9_.-]', '_', queue)}"
        task(task_id=task_id, queue=queue, pool=pool, multiple_outputs=False)(prune_files)()


maintenance()
