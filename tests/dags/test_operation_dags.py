"""The DAGs that look after the others, run by Airflow: the watch over the nights, and maintenance."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from benchlib.orchestration.airflow_environment import common_environment
from benchlib.orchestration.names import DAG_ID
from benchlib.settings import PROJECT_ROOT, Settings
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.repository import Repository
from benchlib.store.spool import Spool
from tests.conftest import new_database
from tests.orchestration.channel_servers import Arrived, channel_servers, html_of
from tests.orchestration.fake_python import OBEDIENT, write_fake_python
from tests.store import samples

from .airflow_process import facts_of

SWEEPS = """
notify: ["smtp:mail:perf@localhost", "apprise:dead"]
sweeps:
  - {name: tiny_nightly, model: "config:bert-tiny", batch_sizes: [1, 2], queue: inf2_large, pool: large_host}
  - {name: chatty, model: "config:bert-tiny", batch_sizes: [8], notify: ["slack:chat:#perf"]}
  - {name: by_hand, model: "config:bert-tiny", batch_sizes: [1], schedule: null}
  - {name: deaf, model: "config:bert-tiny", batch_sizes: [1], notify: ["fax:5550100"]}
"""

LOOK_BACK = {"hours_allowed": 0, "try_channels": False}
"""Then every nightly sweep was due within the 24 hours before now."""


@dataclass(frozen=True)
class Week:
    facts: dict[str, Any]
    arrived: Arrived
    home: Path

    def states(self, run: str) -> dict[str, str]:
        return {task: state for task, _, state, _, _ in self.facts["runs"][run]["tasks"]}


@pytest.fixture(scope="module")
def week(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Week]:
    folder = tmp_path_factory.mktemp("operation")
    dags = Path(shutil.copytree(PROJECT_ROOT / "dags", folder / "dags"))
    (dags / "sweeps.yaml").write_text(SWEEPS)
    python = str(write_fake_python(folder / "python", OBEDIENT))
    settings = Settings.from_environment({"BENCH_HOME": str(folder / "home")})
    leave_rubbish(settings)

    def run(dag_id: str, **params: Any) -> dict[str, Any]:
        return {"dag_id": dag_id, "python": python, "params": params}

    runs = {
        "trial": run("nightly_watch", try_channels=True),
        "missing": run("nightly_watch", **LOOK_BACK),
        "missing again": run("nightly_watch", **LOOK_BACK),
        "tiny": run("tiny_nightly"),
        "still broken": run("nightly_watch", **LOOK_BACK),
        "dry": run("maintenance", keep_days=7, dry_run=True),
        "real": run("maintenance", keep_days=7, dry_run=False),
    }
    with new_database(postgres) as url, channel_servers() as arrived:
        fill_the_form_s_night(url)
        environment = {
            **common_environment(settings, folder / "airflow", f"sqlite:///{folder}/airflow/airflow.db"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            "AIRFLOW__API__BASE_URL": "https://airflow.example",
            "BENCH_DATABASE_URL": url,
            "TMPDIR": str(folder / "home"),
            **arrived.variables,
        }
        yield Week(facts_of({"params": [], "runs": runs}, environment, folder), arrived, settings.home)


def leave_rubbish(settings: Settings) -> None:
    spool, old_s = Spool(settings.spool_dir), (datetime.now(UTC) - timedelta(days=8)).timestamp()
    spool.set_aside(spool.write(samples.measurement()), "breaks a rule")
    settings.logs_dir.mkdir(parents=True)
    (settings.logs_dir / "demo-1.log").write_text("x")
    os.utime(settings.logs_dir / "demo-1.log", (old_s, old_s))


def fill_the_form_s_night(url: str) -> None:
    engine = create_engine(url)
    spec = samples.sweep().spec.model_copy(update={"batch_sizes": tuple(range(1, 11))})
    tonight = samples.sweep("tonight", spec=spec, created_at=datetime.now(UTC) - timedelta(seconds=1))
    repository = Repository(engine)
    repository.record_all([samples.measurement(size, sweep=tonight) for size in spec.batch_sizes])
    engine.dispose()


def test_a_trial_reaches_every_channel_and_says_which_failed(week: Week) -> None:
    assert week.states("trial") == {"look": "failed", "every_night_is_there": "upstream_failed"}
    assert "apprise:dead: not all of the 1 services of the connection took it" in week.facts["output"]
    first, second = week.arrived.mails[:2]
    assert first["Subject"] == "Trial message of the benchmark deployment"
    assert second["Subject"] == "nightly_watch failed"
    assert "Trial message" in week.arrived.posted("/chat.postMessage")[0]["text"]


def test_a_missing_night_turns_the_run_red(week: Week) -> None:
    for run in ("missing", "missing again"):
        assert week.states(run) == {"look": "success", "every_night_is_there": "failed"}
        assert week.facts["runs"][run]["state"] == "failed"


def test_each_missing_night_is_told_once_to_those_who_want_to_know(week: Week) -> None:
    missing, broken = week.arrived.mails[2:4]
    assert missing["Subject"].startswith("Missing night ")
    assert missing["Subject"].endswith(": tiny_nightly")
    html = html_of(missing)
    assert "config:bert-tiny, batch sizes 1 and 2: no sweep ran: see whether its DAG is paused" in html
    assert 'href="https://airflow.example/dags/nightly_watch/runs/' in html
    assert "by_hand" not in html
    assert "entry 4 (deaf): notify: &#39;fax:5550100&#39; is not allowed" in html_of(broken)
    slack = [post["text"].splitlines()[0] for post in week.arrived.posted("/chat.postMessage")]
    assert len(slack) == 2
    assert slack[1].endswith(": chatty")


def test_what_has_come_is_no_longer_missing(week: Week) -> None:
    assert week.facts["runs"]["tiny"]["state"] == "success"
    looked = [line for line in week.facts["output"].splitlines() if "tiny_nightly, due" in line]
    found = [line for line in looked if "lacks figures" in line or "has every figure" in line]
    assert ["has every figure" in line for line in found] == [False, False, True]


def test_the_broken_entry_is_an_import_error_that_names_entry_and_field(week: Week) -> None:
    (error,) = week.facts["import_errors"].values()
    assert "sweeps.yaml, entry 4 (deaf): notify: 'fax:5550100' is not allowed" in error
    assert set(week.facts["dags"]) == {
        DAG_ID, "tiny_nightly", "chatty", "by_hand", "nightly_watch", "maintenance", "sdk_comparison",
    }  # fmt: skip


def test_maintenance_reaches_the_hosts_of_every_queue(week: Week) -> None:
    tasks = week.facts["dags"]["maintenance"]["tasks"]
    assert {name: (task["queue"], task["pool"]) for name, task in tasks.items()} == {
        "programs": ("default", "default_pool"),
        "host_files": ("default", "default_pool"),
        "host_files_inf2": ("inf2", "inf2_host"),
        "host_files_inf2_large": ("inf2_large", "large_host"),
    }
    assert week.facts["dags"]["maintenance"]["defaults"] == {"keep_days": 30, "dry_run": False}


def test_maintenance_removes_what_is_old_and_tells_once_of_what_it_leaves(week: Week) -> None:
    for run in ("dry", "real"):
        assert set(week.states(run).values()) == {"success"}
    removed = [line for line in week.facts["output"].splitlines() if "demo-1.log" in line]
    assert ["would remove" in line for line in removed].count(True) == 3
    assert len([line for line in removed if "would remove" not in line]) == 1
    assert not (week.home / "logs" / "demo-1.log").exists()
    assert len(list((week.home / "spool" / "poisoned").glob("*.json"))) == 1
    (left,) = week.arrived.mails[4:]
    assert left["Subject"].startswith("Left to a person on ")
    assert "was set aside: breaks a rule" in html_of(left)
