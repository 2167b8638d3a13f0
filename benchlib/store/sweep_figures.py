"""The figures of a stored sweep, each with its interval, for setting two sweeps against each other.

Only views are asked: a reader may.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, text

from benchlib.analysis.paired import METRICS, Metric
from benchlib.analysis.peak import name_sizes
from benchlib.analysis.unpaired import Difference, Known, compare_unpaired, from_rounds
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
        latency.batch_size, latency.scenario, latency.model, latency.sequence_length, latency.precision,
        latency.replicas, latency.workers, latency.backend, latency.instance_type,
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
_CONFIRMS = text("SELECT confirms_sweep_id FROM sweep_list WHERE sweep_id = :sweep_id")
_DIFFERENCE = text("SELECT field, before, after, rank FROM environment_diff(:first, :second)")


@dataclass(frozen=True)
class SweepFiguresRead:
    """A sweep's valid figures, and what they were made with."""

    sweep_id: uuid.UUID
    title: str
    """Model, machine, night and label, for people."""
    model: str
    sequence_length: int
    precision: str
    """Of the programs; several where batch sizes differ."""
    hardware: bool
    backend: str
    scenario: str
    environment_id: uuid.UUID
    by_size: Mapping[int, Mapping[Metric, Known]]
    load_by_size: Mapping[int, str]
    """Replicas and workers, such as '12 x 12'."""


def read_sweep(engine: Engine, sweep_id: uuid.UUID) -> SweepFiguresRead:
    """The valid figures of a sweep.

    Raises:
        BadInput: it has none, or only measured another one again.
        DatabaseUnreachable: the database does not answer.
    """
    with explained(engine), engine.connect() as connection:
        lines = [dict(row) for row in connection.execute(_FIGURES, {"sweep_id": sweep_id}).mappings()]
        rounds = _rounds(connection, sweep_id)
        confirmed = connection.scalar(_CONFIRMS, {"sweep_id": sweep_id})
    if confirmed is not None:
        raise BadInput(
            "sweep", str(sweep_id), f"one that stands by itself, such as the confirmed {confirmed}"
        )
    if not lines:
        raise BadInput("sweep", str(sweep_id), "one with a valid measurement")
    first = lines[0]
    ran_on = first["instance_type"] or first["backend"]
    facts = (first["model"], f"on {ran_on}", f"night {first['night']}", first["sdk"], first["label"])
    return SweepFiguresRead(
        sweep_id=sweep_id,
        title=", ".join(str(fact) for fact in facts if fact),
        model=first["model"],
        sequence_length=first["sequence_length"],
        precision=", ".join(sorted({line["precision"] or "unknown" for line in lines})),
        hardware=all(line["hardware"] for line in lines),
        backend=first["backend"],
        scenario=first["scenario"],
        environment_id=first["environment_id"],
        by_size={line["batch_size"]: _known(line, rounds.get(line["batch_size"], {})) for line in lines},
        load_by_size={line["batch_size"]: f"{line['replicas']} x {line['workers']}" for line in lines},
    )


def set_against(first: SweepFiguresRead, second: SweepFiguresRead) -> tuple[Difference, ...]:
    """What differs between two sweeps; neither is slower where they did not do the same on the same."""
    found = compare_unpaired(first.by_size, second.by_size)
    if not any(_incomparable(first, second)):
        return found
    return tuple(replace(each, standing="not comparable") for each in found)


def unequal(first: SweepFiguresRead, second: SweepFiguresRead) -> tuple[str, ...]:
    """What one must know of two sweeps before one reads their figures side by side, in sentences."""
    return (*_incomparable(first, second), *_differing(first, second))


def _incomparable(first: SweepFiguresRead, second: SweepFiguresRead) -> Iterator[str]:
    if first.model != second.model:
        yield "The models differ: the figures are not comparable."
    if first.scenario != second.scenario:
        yield f"The scenarios differ ({first.scenario}, {second.scenario}): the figures are not comparable."
    if first.hardware != second.hardware:
        yield "Only one of the two ran on an accelerator: the figures are not comparable."


def _differing(first: SweepFiguresRead, second: SweepFiguresRead) -> Iterator[str]:
    if first.sequence_length != second.sequence_length:
        yield f"The sequence lengths differ ({first.sequence_length}, {second.sequence_length})."
    if first.precision != second.precision:
        yield f"The precisions differ ({first.precision}, {second.precision})."
    loads = first.load_by_size, second.load_by_size
    shared = sorted(set(loads[0]) & set(loads[1]))
    sizes = [size for size in shared if loads[0][size] != loads[1][size]]
    if sizes:
        shown = f"{loads[0][sizes[0]]}, {loads[1][sizes[0]]}"
        yield f"Replicas x workers differ at {name_sizes(sizes)} (at the first of them {shown})."
    only = sorted(set(first.by_size) ^ set(second.by_size))
    if only:
        yield f"Only one of the two has a valid figure of {name_sizes(only)}."


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
