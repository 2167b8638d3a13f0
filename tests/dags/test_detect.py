"""The DAG judges what it measured: a loss is confirmed the same night, one bad figure is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, create_engine, text

from benchlib.orchestration.names import DAG_ID
from benchlib.records import MeasurementRecord, sweep_id_of
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.incidents import Chosen, list_incident_changes, list_incidents, list_night_events
from benchlib.store.repository import Repository
from tests.conftest import new_database
from tests.orchestration.channel_servers import Arrived, channel_servers, html_of
from tests.orchestration.fake_python import write_fake_python

from .airflow_process import facts_of
from .deployment import past_measurement, past_sweep, telling_deployment

NIGHTS = 20
SIZES = [1, 2]

SLOWER = """
if stage == "measure" and {condition}:
    RESULT.update(throughput_inf_per_s=900.0 * size, duration_s=100.0 / 900.0)
leave(RESULT)
"""
"""A tenth less throughput than all the nights before."""

ONCE = "size == 1 and not os.path.exists({marker!r}) and not open({marker!r}, 'w').close()"

LASTING: dict[str, Any] = {"model": "config:tiny", "sequence_length": 128, "batch_sizes": SIZES}
FLEETING: dict[str, Any] = {"model": "config:tiny", "sequence_length": 64, "batch_sizes": SIZES}
"""Two configurations: what the one does is no matter to the other."""


@pytest.fixture(scope="module")
def engine(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    with new_database(postgres) as url:
        engine = create_engine(url)
        for params in (LASTING, FLEETING):
            Repository(engine).record_all(list(history(params)))
        yield engine
        engine.dispose()


def history(params: dict[str, Any]) -> Iterator[MeasurementRecord]:
    """Quiet nights until yesterday, on the host that the data plane of the test pretends to be."""
    noise = np.random.default_rng(3).normal(1.0, 0.003, (NIGHTS, 3))
    for night in range(NIGHTS):
        began = datetime.now(UTC) - timedelta(days=NIGHTS - night)
        sweep = past_sweep(params, f"{params['sequence_length']}-{night}", began)
        for size in SIZES:
            yield past_measurement(sweep, size, 1000.0 * size * float(noise[night, size]))


@pytest.fixture(scope="module")
def arrived() -> Iterator[Arrived]:
    with channel_servers() as servers:
        yield servers


@pytest.fixture(scope="module")
def facts(engine: Engine, arrived: Arrived, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("detect")
    once = ONCE.format(marker=str(folder / "once"))
    lasting = write_fake_python(folder / "lasting", SLOWER.format(condition="True"))
    fleeting = write_fake_python(folder / "fleeting", SLOWER.format(condition=once))
    wishes = {
        "params": [],
        "runs": {
            "lasting": {"python": str(lasting), "params": {**LASTING, "fail_on_change": True}},
            "fleeting": {"python": str(fleeting), "params": {**FLEETING, "fail_on_change": True}},
        },
    }
    api = {"AIRFLOW__API__BASE_URL": "https://airflow.example"}
    environment = telling_deployment(folder, engine, arrived.variables | api)
    return facts_of(wishes, environment, folder)


def states(facts: dict[str, Any], run: str) -> dict[tuple[str, int], str]:
    after = ("suspects", "confirm", "detect", "some_change_found", "some_batch_size_failed")
    return {(task, index): state for task, index, state, _, _ in facts["runs"][run]["tasks"] if task in after}


def test_a_loss_is_measured_again_confirmed_and_told_in_the_same_night(
    facts: dict[str, Any], engine: Engine, arrived: Arrived
) -> None:
    assert states(facts, "lasting") == {
        ("suspects", -1): "success",
        ("confirm", 0): "success",
        ("confirm", 1): "success",
        ("detect", -1): "success",
        ("some_batch_size_failed", -1): "skipped",
        ("some_change_found", -1): "failed",
    }
    assert facts["runs"]["lasting"]["state"] == "failed"
    (incident,) = list_incidents(engine)
    assert (incident.status, incident.direction, incident.batch_sizes) == ("confirmed", "worse", (1, 2))
    assert incident.relative_change == pytest.approx(-0.1, abs=0.01)
    (event,) = facts["runs"]["lasting"]["events"]
    assert (event["verdict"], event["worse"], event["valid"]) == ("worse", [incident.incident_id], 2)
    slower = [mail for mail in arrived.mails if mail["Subject"].startswith("Slower")]
    assert len(slower) == 1
    assert "not inf2" in html_of(slower[0])


def test_the_second_measurement_is_evidence_and_never_the_value_of_the_night(
    facts: dict[str, Any], engine: Engine
) -> None:
    (incident,) = list_incidents(engine)
    for change in list_incident_changes(engine, incident.incident_id):
        assert change.evidence["confirmed"] is True
        assert change.evidence["confirming_value"] == 900.0 * (change.batch_size or 0)
    own = text(
        "SELECT count(*) FILTER (WHERE confirms_sweep_id IS NULL), count(confirms_sweep_id) "
        "FROM night_value WHERE sweep_id = :sweep OR confirms_sweep_id = :sweep"
    )
    with engine.connect() as connection:
        sweep = sweep_id_of(DAG_ID, facts["runs"]["lasting"]["run_id"])
        assert tuple(connection.execute(own, {"sweep": sweep}).one()) == (2, 2)
    # It stays out of the lists of sweeps, too.
    newest = Repository(engine).sweeps(limit=3)
    assert not [each for each in newest if "/again-" in each.run_id]


def test_one_bad_figure_is_kept_as_an_outlier_and_alarms_nobody(
    facts: dict[str, Any], engine: Engine
) -> None:
    assert states(facts, "fleeting") == {
        ("suspects", -1): "success",
        ("confirm", 0): "success",
        ("detect", -1): "success",
        ("some_batch_size_failed", -1): "skipped",
        ("some_change_found", -1): "skipped",
    }
    assert facts["runs"]["fleeting"]["state"] == "success"
    (event,) = facts["runs"]["fleeting"]["events"]
    assert (event["verdict"], event["worse"], event["events"]) == ("no change", [], {"outlier": 1})
    (outlier,) = list_night_events(
        engine, datetime.now(UTC).date() - timedelta(days=1), datetime.now(UTC).date()
    )
    assert (outlier.kind, outlier.batch_size, outlier.evidence["confirming_value"]) == ("outlier", 1, 1000.0)
    assert len(list_incidents(engine, Chosen(statuses=None))) == 1
