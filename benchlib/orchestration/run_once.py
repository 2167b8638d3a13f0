"""Runs a DAG once, without a scheduler and apart from every other Airflow of this machine.

`DagRun` is for the process that wants the run. The run itself is another process, ``python -m
benchlib.orchestration.run_once DAG_ID TEMPLATE`` with the parameters as JSON on stdin: importing Airflow
takes seconds and fills the screen. Airflow's tables are an SQLite file of that run alone: in a database that
a scheduler also looks at, the scheduler would run the same tasks too.
"""

from __future__ import annotations

import gc
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchlib.orchestration.airflow_environment import common_environment
from benchlib.orchestration.process_tree import MARK_VARIABLE, ProcessTree, dies_with_this_process
from benchlib.orchestration.progress_file import PROGRESS_FILE_VARIABLE, ProgressReader
from benchlib.settings import PROJECT_ROOT, Settings

_TABLES = "airflow.db"
_STOP_GRACE_S = 10.0


class DagRun:
    """A run of a DAG in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], progress: ProgressReader) -> None:
        self._process = process
        self.progress = progress
        """What the run's steps tell."""

    def wait(self, timeout_s: float) -> bool | None:
        """Whether the run succeeded; ``None`` when it has not ended within ``timeout_s``."""
        try:
            return self._process.wait(timeout_s) == 0
        except subprocess.TimeoutExpired:
            return None


@contextmanager
def start_run(dag_id: str, params: Mapping[str, Any], settings: Settings, log: Path) -> Iterator[DagRun]:
    """Start a run; all that it prints goes to ``log``. Leaving the block ends the run and all its steps."""
    with tempfile.TemporaryDirectory(prefix="bench-run-") as directory, log.open("wb") as output:
        home, mark = Path(directory), uuid.uuid4().hex
        progress_file = home / "progress.jsonl"
        follow = {PROGRESS_FILE_VARIABLE: str(progress_file), MARK_VARIABLE: mark}
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, dag_id, str(_template(settings))],
            env=_environment(settings, home) | follow,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A session of its own: Ctrl-C reaches only us, and we end the run in order.
            start_new_session=True,
            preexec_fn=dies_with_this_process(),
        )
        tree = ProcessTree(mark)
        tree.add(process.pid)
        try:
            assert process.stdin
            with process.stdin as stdin:
                stdin.write(json.dumps(params).encode())
            yield DagRun(process, ProgressReader(progress_file))
        finally:
            tree.stop(_STOP_GRACE_S)
            process.wait()


def _environment(settings: Settings, home: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return (
        inherited
        | common_environment(settings, home, metadata_url=f"sqlite:///{home / _TABLES}")
        | {
            # Whatever a killed step leaves behind goes with this directory.
            "TMPDIR": str(home),
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
        }
    )


def _template(settings: Settings) -> Path:
    """Where Airflow's tables are kept as they are before any run: making them takes seconds."""
    return settings.airflow_home / f"empty-{version('apache-airflow')}.db"


def _run(dag_id: str, params: Mapping[str, Any], template: Path, tables: Path) -> bool:
    """Run the DAG of this name from the file of this name; returns whether the run succeeded."""
    if template.exists():
        _copy(template, tables)
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import upgradedb

    if not template.exists():
        upgradedb()
        template.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: another run may be starting.
        _copy(tables, template.with_suffix(f".{os.getpid()}")).replace(template)
    bag = DagBag(dag_folder=str(PROJECT_ROOT / "dags" / f"{dag_id}.py"))
    if bag.import_errors:
        raise SystemExit("\n".join(bag.import_errors.values()))
    return str(bag.dags[dag_id].test(run_conf=dict(params)).state) == "success"


def _copy(source: Path, target: Path) -> Path:
    with closing(sqlite3.connect(source)) as a, closing(sqlite3.connect(target)) as b:
        a.backup(b)
    return target


if __name__ == "__main__":
    # Importing Airflow makes millions of objects that stay: looking for garbage among them costs a second.
    gc.set_threshold(200_000)
    run_tables = Path(os.environ["AIRFLOW_HOME"]) / _TABLES
    sys.exit(not _run(sys.argv[1], json.load(sys.stdin), Path(sys.argv[2]), run_tables))
