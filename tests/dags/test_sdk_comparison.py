"""The comparison as Airflow sees it, and as it runs: with two data planes that are as fast as told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from benchlib.orchestration.airflow_environment import common_environment
from benchlib.orchestration.comparing_params import PARAMETERS, comparison_spec
from benchlib.orchestration.names import COMPILE_SLOTS
from benchlib.settings import Settings
from benchlib.store.embedded_postgres import EmbeddedPostgres
from tests.conftest import new_database
from tests.orchestration.fake_python import write_fake_python
from tests.orchestration.test_comparing import FAST

from .airflow_process import facts_of

DAG_ID = "sdk_comparison"
PAIRS = 6


@dataclass(frozen=True)
class Runs:
    facts: dict[str, Any]
    engine: Engine
    log: Path

    def states(self, run: str) -> dict[tuple[str, int], str]:
        tasks = self.facts["runs"][run]["tasks"]
        return {(task, index): state for task, index, state, _, _ in tasks}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]


@pytest.fixture(scope="module")
def runs(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("comparison")
    settings, log = Settings.from_environment({"BENCH_HOME": str(folder / "home")}), folder / "log"

    def python(side: str, rate: float, **changes: Any) -> str:
        told = {"noise": 0.002, "compiler": f"2.{side}", "checks": [], "before": "", **changes}
        body = FAST.format(log=str(log), side=side, rate=rate, **told)
        return str(write_fake_python(folder / f"python-{side}-{rate}", body))

    params = {"model": "config:tiny", "batch_sizes": ["1"], "pairs": PAIRS, "max_pairs": PAIRS}
    sides = {"old_interpreter": python("old", 1.0), "new_interpreter": python("new", 0.95)}
    wishes = {
        "params": [],
        "runs": {
            "slower": {
                "dag_id": DAG_ID,
                "python": "/nowhere",
                "params": {**params, **sides, "label": "2.26?"},
            },
            "wrong": {
                "dag_id": DAG_ID,
                "python": "/nowhere",
                "params": {**params, **sides, "max_pairs": 6, "pairs": 7},
            },
            "no Python": {
                "dag_id": DAG_ID,
                "python": "/nowhere",
                "params": {**params, **sides, "new_interpreter": "/nowhere"},
            },
        },
    }
    with new_database(postgres) as url:
        environment = {
            **common_environment(settings, folder / "airflow", f"sqlite:///{folder}/airflow/airflow.db"),
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            "BENCH_DATABASE_URL": url,
        }
        facts = facts_of(wishes, environment, folder)
        engine = create_engine(url)
        yield Runs(facts, engine, log)
        engine.dispose()


def test_the_measuring_task_leaves_the_pool_to_the_nightly_sweeps(runs: Runs) -> None:
    dag = runs.facts["dags"][DAG_ID]
    where = {name: (task["queue"], task["pool"], task["pool_slots"]) for name, task in dag["tasks"].items()}
    assert where == {
        "plan": ("default", "default_pool", 1),
        "compile": ("inf2", "inf2_host", COMPILE_SLOTS),
        "measure": ("inf2", "default_pool", 1),
        "verdict": ("inf2", "default_pool", 1),
    }
    assert (dag["schedule"], dag["catchup"], dag["max_active_runs"]) == ("None", False, 1)
    assert dag["tasks"]["measure"]["retries"] >= 1
    assert "bench experiment accept" in dag["doc"]


def test_the_form_has_every_parameter_and_asks_for_the_new_side(runs: Runs) -> None:
    defaults = dict(runs.facts["dags"][DAG_ID]["defaults"])
    assert set(defaults) == set(PARAMETERS)
    del defaults["new_interpreter"]
    assert comparison_spec(defaults) == comparison_spec({"model": "bert-base-uncased", "batch_sizes": "1-10"})


def test_a_slower_sdk_gets_its_verdict(runs: Runs) -> None:
    assert runs.states("slower") == {
        ("plan", -1): "success",
        ("compile", 0): "success",
        ("compile", 1): "success",
        ("measure", -1): "success",
        ("verdict", -1): "success",
    }
    found = runs.rows(
        "SELECT run_id, verdict, pairs, label, old_sdk, new_sdk FROM experiment_history "
        "WHERE verdict IS NOT NULL"
    )
    run_id = runs.facts["runs"]["slower"]["run_id"]
    assert found == [(run_id, "worse", PAIRS, "2.26?", "neuronx-cc 2.old", "neuronx-cc 2.new")]
    output = runs.facts["output"]
    assert "Verdict: worse. The new side against the old one: worse in " in output
    assert "Measured on a CPU: not an inf2 result." in output


def test_what_contradicts_itself_is_refused_by_the_first_task_in_the_same_sentence(runs: Runs) -> None:
    assert runs.states("wrong")["plan", -1] == "failed"
    assert runs.facts["runs"]["wrong"]["state"] == "failed"
    assert (
        "max_pairs: 6 is not allowed; allowed: a whole number from 7 (pairs) to 1000" in runs.facts["output"]
    )
    tries = {task: tries for task, _, _, tries, _ in runs.facts["runs"]["wrong"]["tasks"]}
    assert tries["plan"] == 1


def test_an_interpreter_that_is_none_ends_in_red_with_its_name(runs: Runs) -> None:
    states = runs.states("no Python")
    assert (states["compile", 0], states["compile", 1]) == ("success", "failed")
    assert states["verdict", -1] == "upstream_failed"
    assert "interpreter: '/nowhere' is not allowed" in runs.facts["output"]
