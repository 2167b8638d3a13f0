"""Rows that judge: changes, baselines and annotations, written as detectors and people write them."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, insert, select

from benchlib.store.tables import (
    AnnotationRow,
    BaselineRow,
    ChangeRow,
    MeasurementRow,
    MuteRow,
    NightEventRow,
    SeriesRow,
)
from tests.store import samples


def series_of(connection: Connection, sweep_id: uuid.UUID, batch_size: int = 1) -> uuid.UUID:
    """The series of a sweep's measurement at one batch size."""
    found = connection.scalars(
        select(MeasurementRow.series_id)
        .where(MeasurementRow.sweep_id == sweep_id, MeasurementRow.batch_size == batch_size)
        .where(MeasurementRow.series_id.is_not(None))
        .distinct()
    ).one()
    assert found is not None
    return found


def add_change(connection: Connection, good: uuid.UUID, bad: uuid.UUID, **changes: Any) -> int:
    """A loss of 3 % of throughput between two sweeps."""
    values = {
        "metric": "throughput_inf_per_s",
        "last_good_sweep_id": good,
        "first_bad_sweep_id": bad,
        "before_value": 1000.0,
        "after_value": 970.0,
        "relative_low": -0.035,
        "relative_high": -0.025,
        "confidence": 0.95,
        "detected_at": samples.NOON,
        "detector": "steps 1",
        "evidence": {},
    }
    series_id = {} if "series_id" in changes else {"series_id": series_of(connection, bad)}
    added = insert(ChangeRow).values({**values, **series_id, **changes}).returning(ChangeRow.change_id)
    return connection.execute(added).scalar_one()


def incident_of(connection: Connection, change_id: int) -> int:
    """The incident that a change is part of."""
    of_change = select(ChangeRow.incident_id).where(ChangeRow.change_id == change_id)
    return connection.execute(of_change).scalar_one()


def add_baseline(connection: Connection, first: uuid.UUID, last: uuid.UUID, **changes: Any) -> int:
    """A baseline that a detector chose."""
    values = {
        "series_id": series_of(connection, last),
        "kind": "automatic",
        "first_sweep_id": first,
        "last_sweep_id": last,
        "author": "steps 1",
        "reason": "The last level that lasted.",
    }
    added = insert(BaselineRow).values({**values, **changes}).returning(BaselineRow.baseline_id)
    return connection.execute(added).scalar_one()


def add_event(connection: Connection, sweep_id: uuid.UUID, **changes: Any) -> int:
    """A figure of one night that nobody measured again."""
    series_id = series_of(connection, sweep_id)
    of_series = select(SeriesRow.configuration_id).where(SeriesRow.series_id == series_id)
    values = {
        "night": samples.NOON.date(),
        "kind": "outlier",
        "configuration_id": connection.execute(of_series).scalar_one(),
        "series_id": series_id,
        "metric": "throughput_inf_per_s",
        "sweep_id": sweep_id,
        "detected_at": samples.NOON,
        "detector": "steps 1",
        "evidence": {},
    }
    added = insert(NightEventRow).values({**values, **changes}).returning(NightEventRow.night_event_id)
    return connection.execute(added).scalar_one()


def add_mute(connection: Connection, **changes: Any) -> int:
    """A day in which nobody hears of BERT."""
    values = {
        "model_glob": "bert*",
        "author": "Ana",
        "reason": "Known.",
        "set_at": samples.NOON,
        "expires_at": samples.NOON + timedelta(days=1),
    }
    added = insert(MuteRow).values({**values, **changes}).returning(MuteRow.mute_id)
    return connection.execute(added).scalar_one()


def annotate(connection: Connection, **values: Any) -> int:
    """What Ana says; a status that she gives to a change is that of its incident."""
    said = {"author": "Ana", "reason": "The new compiler spills.", **values}
    if values.get("status") and values.get("change_id"):
        said["incident_id"] = incident_of(connection, said.pop("change_id"))
        said["status"] = {"open": "reopened"}.get(said["status"], said["status"])
    added = insert(AnnotationRow).values(said).returning(AnnotationRow.annotation_id)
    return connection.execute(added).scalar_one()
