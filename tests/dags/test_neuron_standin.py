"""The real DAG with the real data plane on six chips that are none: twelve replicas, one per core.

The workload is the tutorial's, made small: see `benchlib.profiles`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from benchlib.analysis.comparison import Comparison
from benchlib.orchestration.airflow_environment import common_environment
from benchlib.orchestration.names import DAG_ID
from benchlib.records import sweep_id_of
from benchlib.settings import Settings
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.repository import Repository
from tests import dataplane
from tests.conftest import new_database
from tests.standin.neuron_standin.builder import StandinHost, build_host
from tests.standin.neuron_standin.host import CoreCounters

from .airflow_process import facts_of

pytestmark = [pytest.mark.slow, pytest.mark.dataplane]

CORES = 12
BATCHES = 250
ROUNDS = 2
PARAMS = {
    "model": "config:bert-tiny",
    "sequence_length": 16,
    "batch_sizes": ["1-2"],
    "backend": "neuron",
    "replicas": CORES,
    "workers": CORES,
    "batches_per_worker": BATCHES,
    "rounds": ROUNDS,
}


@dataclass(frozen=True)
class Night:
    """What one run of the DAG left."""

    host: StandinHost
    run: dict[str, Any]
    output: str
    comparison: Comparison
    engine: Engine

    def values(self, query: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]


@pytest.fixture(scope="module")
def night(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("night")
    host = build_host(folder / "host", Path(dataplane.PYTHON), devices=CORES // 2)
    settings = Settings.from_environment({"BENCH_HOME": str(folder / "home")})
    with new_database(postgres) as url:
        environment = {
            **common_environment(settings, folder / "airflow", f"sqlite:///{folder}/airflow/airflow.db"),
            "BENCH_DATABASE_URL": url,
            "NEURON_STANDIN_SERVICE_MS": "1:4.0,2:5.0",
        }
        # The interpreter comes with the run, as a directory; the one of the environment is no Python at all.
        params = {**PARAMS, "interpreter": str(host.python.parent.parent)}
        wishes = {"params": [], "runs": {"night": {"python": "/nowhere", "params": params}}}
        facts = facts_of(wishes, environment, folder)
        engine = create_engine(url)
        run = facts["runs"]["night"]
        comparison = Repository(engine).comparison(sweep_id_of(DAG_ID, run["run_id"]))
        yield Night(host, run, facts["output"], comparison, engine)
        engine.dispose()


def test_every_task_succeeds(night: Night) -> None:
    states = {(task, index): state for task, index, state, _, _ in night.run["tasks"]}
    for skipped in ("some_batch_size_failed", "confirm", "some_change_found"):
        assert states.pop((skipped, -1)) == "skipped"
    assert len(states) == 9
    assert set(states.values()) == {"success"}, night.output[-3000:]
    assert night.run["state"] == "success"


def test_both_batch_sizes_are_in_the_table(night: Night) -> None:
    found = [(row.batch_size, row.replicas, row.workers) for row in night.comparison.rows]
    assert found == [(1, CORES, CORES), (2, CORES, CORES)]
    assert [row.batches for row in night.comparison.rows] == [CORES * BATCHES * ROUNDS] * 2
    for name in ("model_batch_size_1.pt", "model_batch_size_2.pt"):
        assert any(name in line for line in night.output.splitlines())


def test_what_the_device_answers_for_is_in_order(night: Night) -> None:
    """How quiet the host of the test is, is its own affair."""
    names = "'outputs_match_reference', 'outputs_finite', 'device_execution_errors', 'cores_used'"
    made = night.values(f"SELECT check_name, passed FROM measurement_check WHERE check_name IN ({names})")
    assert len(made) == 8
    assert all(passed for _, passed in made)


def test_twelve_replicas_were_on_twelve_cores(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    used = night.values("SELECT figure, figure_limit FROM measurement_check WHERE check_name = 'cores_used'")
    assert used == [(CORES, CORES)] * 2
    # A core counts from when a process takes it: these are the last measurement's own executions.
    monkeypatch.setenv("BENCH_NEURON_ROOT", str(night.host.root))
    completed = [CoreCounters(core).read()["completed"] for core in range(CORES)]
    assert min(completed) >= BATCHES * ROUNDS
    assert max(completed) < 1.5 * min(completed), "two replicas shared a core"


def test_nothing_of_it_can_be_taken_for_inferentia(night: Night) -> None:
    comparison = night.comparison
    assert not comparison.hardware
    assert (comparison.device, comparison.instance_type) == ("Neuron stand-in", "stand-in inf2.24xlarge")
    assert "Measured on a stand-in: not an inf2 result." in night.output
    assert night.values("SELECT DISTINCT hardware, neuron_sdk FROM environment") == [(False, None)]
