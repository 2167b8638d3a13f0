"""The figures of a stored sweep, each with its interval, for setting two sweeps against each other.

Only views are asked: a reader may.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, text

from benchlib.analysis.paired import METRICS, Metric
from benchlib.analysis.unpaired import Known, from_rounds
from benchlib.errors import BadInput
from benchlib.store.environments import EnvironmentDifference
from benchlib.store.faults import explained

LIMITS: Mapping[Metric, tuple[str, str]] = {
    "throughput_inf_per_s": ("throughput_low_inf_per_s", "throughput_high_inf_per_s"),
    "p50_ms": ("p50_low_ms", "p50_high_ms"),
    "p99_ms": ("p99_low_ms", "p99_high_ms"),
}

_FIGURES = text("""
    SELECT
        latency.batch_size, latency.scenario, latency.model, latency.backend, latency.instance_type,
        latency.hardware, latency.label, latency.night, latency.sdk, latency.environment_id,
        latency.throughput_inf_per_s, throughput.throughput_low_inf_per_s,
        throughput.throughput_high_inf_per_s,
        latency.p50_ms, latency.p50_low_ms, latency.p50_high_ms,
        latency.p99_ms, latency.p99_low_ms, latency.p99_high_ms
    FROM latency_history AS latency
    INNER JOIN throughput_history AS throughput
        ON throughput.sweep_id = latency.sweep_id AND throughput.series_id = latency.series_id
    WHERE latency.sweep_id = :sweep_id
    ORDER BY latency.batch_size
""")
_ROUNDS = text("""
    SELECT batch_size, throughput_inf_per_s, p50_ms, p99_ms
    FROM measurement_round
    WHERE sweep_id = :sweep_id AND status = 'ok'
    ORDER BY batch_size, attempt, round_index
""")
_DIFFERENCE = text("SELECT field, before, after, rank FROM environment_diff(:first, :second)")


@dataclass(frozen=True)
class SweepFiguresRead:
    """A sweep's valid figures, and what they were made with."""

    sweep_id: uuid.UUID
    title: str
    """Model, machine, night and label, for people."""
    hardware: bool
    backend: str
    scenario: str
    environment_id: uuid.UUID
    by_size: Mapping[int, Mapping[Metric, Known]]


def read_sweep(engine: Engine, sweep_id: uuid.UUID) -> SweepFiguresRead:
    """The valid figures of a sweep.

    Raises:
        BadInput: it has none.
        DatabaseUnreachable: the database does not answer.
    """
    with explained(engine), engine.connect() as connection:
        lines = [dict(row) for row in connection.execute(_FIGURES, {"sweep_id": sweep_id}).mappings()]
        rounds = _rounds(connection, sweep_id)
    if not lines:
        raise BadInput("sweep", str(sweep_id), "one with a valid measurement")
    first = lines[0]
    ran_on = first["instance_type"] or first["backend"]
    facts = (first["model"], f"on {ran_on}", f"night {first['night']}", first["sdk"], first["label"])
    return SweepFiguresRead(
        sweep_id=sweep_id,
        title=", ".join(str(fact) for fact in facts if fact),
        hardware=all(line["hardware"] for line in lines),
        backend=first["backend"],
        scenario=first["scenario"],
        environment_id=first["environment_id"],
        by_size={line["batch_size"]: _known(line, rounds.get(line["batch_size"], {})) for line in lines},
    )


def difference_of(engine: Engine, first: uuid.UUID, second: uuid.UUID) -> tuple[EnvironmentDifference, ...]:
    """What differs between two stored environments, likeliest cause first.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    with explained(engine), engine.connect() as connection:
        found = connection.execute(_DIFFERENCE, {"first": first, "second": second}).mappings()
        lines = [dict(row) for row in found]
    return TypeAdapter(tuple[EnvironmentDifference, ...]).validate_python(lines)


def _rounds(connection: Connection, sweep_id: uuid.UUID) -> dict[int, dict[Metric, list[float]]]:
    found: dict[int, dict[Metric, list[float]]] = {}
    for row in connection.execute(_ROUNDS, {"sweep_id": sweep_id}).mappings():
        own = found.setdefault(row["batch_size"], {metric: [] for metric in METRICS})
        for metric in METRICS:
            if row[metric] is not None:
                own[metric].append(row[metric])
    return found


def _known(line: Mapping[str, Any], rounds: Mapping[Metric, list[float]]) -> dict[Metric, Known]:
    found = {}
    for metric, (low, high) in LIMITS.items():
        if line[metric] is None:
            continue
        if line[low] is None:
            found[metric] = from_rounds(line[metric], rounds.get(metric, []))
        else:
            found[metric] = Known(line[metric], line[low], line[high])
    return found
