"""Rows of other people's tables, in one form: what they say, and what Little's law says of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby, pairwise
from typing import Literal

from pydantic import ValidationError

from benchlib.errors import BadInput
from benchlib.imports.reading import Reading, Refused, Verdict
from benchlib.records import MeasurementRecord, SweepRecord, sweep_id_of
from benchlib.report.imported import DAG_ID
from benchlib.results import Check, Environment, LatencySummary, Measurement
from benchlib.spec import LoadSpec, ModelSpec, SweepSpec

LOAD_TOLERANCE = 0.25
"""Allowed relative distance of throughput x P50 / batch size from the workers that a table had.

Of the 687 rows that AWS published for two workers, all but twelve lie within 17 % of them and the nearest of
those twelve lies 40 % away. Closer than that the law cannot bind: a median is not a mean.
"""

LITTLES_LAW = "littles_law"
ONE_VALUE = "one_value"

KINDS = {
    LITTLES_LAW: "throughput and latency contradict each other (Little's law)",
    ONE_VALUE: "several values for one version",
    "version_cell": "the version cell says more than a version",
    "source_flag": "flagged by the file itself",
}
"""Name of a check to what its failure is counted as."""


@dataclass(frozen=True)
class ForeignSweep:
    """What the rows of one sweep have in common. Equal ones are the same sweep."""

    source: str
    """Which kind of table, such as 'published latency'."""
    model: str
    sequence_length: int
    backend: Literal["neuron", "cpu"]
    precision: Literal["fp32", "bf16"] | None
    environment: Environment
    measured_at: datetime
    label: str | None
    details: tuple[str, ...] = ()
    """What else tells it from others: task, data types, how it was run."""
    replicas: int | None = None
    workers: int | None = None

    @property
    def run_id(self) -> str:
        """Readable, and the same for every import; the figures are not in it."""
        model, sdk = self.model.replace("/", "_"), self.environment.neuron_sdk
        identity = (
            self.source,
            self.model,
            self.sequence_length,
            self.backend,
            self.precision,
            self.environment.fingerprint,
            self.measured_at.isoformat(),
            self.details,
            self.replicas,
            self.workers,
        )
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]
        words = (self.source.replace(" ", "-"), self.environment.instance_type, model, sdk, digest)
        return "/".join(word for word in words if word)


@dataclass(frozen=True)
class ForeignRow:
    """One row of somebody's table that can be stored, whether it can be believed or not."""

    where: str
    sweep: ForeignSweep
    filename: str
    batch_size: int
    throughput_inf_per_s: float
    latency: LatencySummary
    """With the number of batches as its samples, where the table tells it."""
    published_at: datetime
    """Orders several values for one thing."""
    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """The row in a few words."""
        environment = self.sweep.environment
        sdk = f" SDK {environment.neuron_sdk}" if environment.neuron_sdk else ""
        where = f" on {environment.instance_type}" if environment.instance_type else ""
        rate = f"{self.throughput_inf_per_s:.6g} inf/s"
        return f"{self.sweep.source}, {self.sweep.model}{where}{sdk}, batch size {self.batch_size}: {rate}"

    @property
    def figures(self) -> tuple[float | None, ...]:
        """What makes two rows of one thing the same row."""
        return (self.throughput_inf_per_s, *self.latency.model_dump().values())


def environment_of(
    device: str, instance_type: str | None, hardware: bool, **versions: str | None
) -> Environment:
    """The environment that a table tells of; equal tellings have equal fingerprints."""
    named = sorted((name, version) for name, version in versions.items() if version)
    known = json.dumps([DAG_ID, device, instance_type, hardware, named])
    return Environment(
        hardware=hardware,
        device=device,
        instance_type=instance_type,
        fingerprint=hashlib.sha256(known.encode()).hexdigest(),
        **versions,
    )


def parallelism(throughput_inf_per_s: float, latency_ms: float, batch_size: int) -> float:
    """Batches under way on average: throughput x latency / batch size (Little, 1961)."""
    return throughput_inf_per_s * latency_ms / 1e3 / batch_size


def littles_law(under_way: float, workers: int | None) -> Check:
    """Whether so many batches under way fit the workers; unknown workers are at least one."""
    error = max(0.0, 1 - under_way) if workers is None else abs(under_way / workers - 1)
    expected = "at least one worker" if workers is None else f"{workers} workers"
    passed = error <= LOAD_TOLERANCE
    found = f"Throughput x latency / batch size is {under_way:.3g} batches under way, for {expected}."
    doubt = "" if passed else " One of the figures is wrong, or the load was another one."
    return Check(
        name=LITTLES_LAW,
        passed=passed,
        figure=error,
        limit=LOAD_TOLERANCE,
        unit="relative error",
        advice=found + doubt,
    )


def check_order(latency: LatencySummary) -> None:
    """Refuse percentiles that do not ascend, or a mean above the maximum."""
    names = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99_9_ms", "max_ms")
    known = [(name, getattr(latency, name)) for name in names if getattr(latency, name) is not None]
    for (lower, least), (higher, value) in pairwise(known):
        if value < least:
            raise Refused(f"{higher} {value:g} is below {lower} {least:g}", "percentiles do not ascend")
    if latency.mean_ms is not None and latency.max_ms is not None and latency.mean_ms > latency.max_ms:
        raise Refused(f"mean_ms {latency.mean_ms:g} is above max_ms {latency.max_ms:g}", "mean above maximum")


def reading_of(rows: Sequence[ForeignRow], refused: Sequence[Verdict]) -> Reading:
    """Lay rows out as sweeps, and judge what only shows when they lie side by side.

    Several rows for the same sweep and batch size become attempts, oldest first, none of them believed:
    nobody can tell which is right. A row that repeats another to the last digit is refused.
    """
    ordered = sorted(rows, key=lambda row: (row.sweep.run_id, row.batch_size, row.published_at))
    records: list[MeasurementRecord] = []
    flagged: list[Verdict] = []
    refusals = list(refused)
    for _, group in groupby(ordered, key=lambda row: row.sweep.run_id):
        members = list(group)
        sizes = tuple(sorted({row.batch_size for row in members}))
        for _, same in groupby(members, key=lambda row: row.batch_size):
            distinct, repeated = _without_repeats(same)
            refusals += repeated
            for attempt, row in enumerate(_doubted(distinct), start=1):
                try:
                    records.append(_record(row, sizes, attempt))
                except ValidationError as error:
                    complaint = sentence_of(error)
                    refusals.append(Verdict(row.where, row.what, complaint.kind, complaint.reason))
                else:
                    flagged += _flags(row)
    return Reading(tuple(records), _in_order(flagged), _in_order(refusals))


def sentence_of(error: ValidationError) -> Refused:
    """The first complaint of a validation, as a refusal counted by its field."""
    complaint = BadInput.from_validation(error)
    if error.errors()[0]["type"] == "missing":
        return Refused(f"{complaint.field} is missing")
    return Refused(str(complaint), f"{complaint.field} is not allowed")


def _in_order(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """As the rows stand in the file: shorter numbers first."""
    return tuple(sorted(verdicts, key=lambda verdict: (len(verdict.where), verdict.where)))


def _without_repeats(rows: Iterable[ForeignRow]) -> tuple[list[ForeignRow], list[Verdict]]:
    first: dict[tuple[float | None, ...], ForeignRow] = {}
    repeated = []
    for row in rows:
        kept = first.setdefault(row.figures, row)
        if kept is not row:
            reason = f"repeats {kept.where} to the last digit"
            repeated.append(Verdict(row.where, row.what, "repeats another row to the last digit", reason))
    return list(first.values()), repeated


def _doubted(rows: Sequence[ForeignRow]) -> list[ForeignRow]:
    if len(rows) == 1:
        return list(rows)
    values = ", ".join(f"{row.throughput_inf_per_s:.6g}" for row in rows)
    advice = f"There are {len(rows)} values for this version and batch size, {values} inf/s: which is right?"
    check = Check(name=ONE_VALUE, passed=False, figure=len(rows), limit=1, unit="values", advice=advice)
    return [replace(row, checks=(*row.checks, check)) for row in rows]


def _flags(row: ForeignRow) -> list[Verdict]:
    failed = [check for check in row.checks if not check.passed]
    if not failed:
        return []
    kind = "; ".join(KINDS[check.name] for check in failed)
    return [Verdict(row.where, row.what, kind, " ".join(check.advice for check in failed))]


def _record(row: ForeignRow, batch_sizes: tuple[int, ...], attempt: int) -> MeasurementRecord:
    return MeasurementRecord(
        sweep=_sweep(row.sweep, batch_sizes),
        batch_size=row.batch_size,
        attempt=attempt,
        result=_measurement(row),
        recorded_at=row.published_at,
    )


def _sweep(sweep: ForeignSweep, batch_sizes: tuple[int, ...]) -> SweepRecord:
    load = LoadSpec(replicas=sweep.replicas or "auto", workers=sweep.workers or "auto", rounds=1)
    spec = SweepSpec(
        model=ModelSpec(name=sweep.model, sequence_length=sweep.sequence_length),
        batch_sizes=batch_sizes,
        backend=sweep.backend,
        precision=sweep.precision or "auto",
        load=load,
        label=sweep.label,
        note="; ".join((f"From a table: {sweep.source}", *sweep.details)),
    )
    return SweepRecord(
        sweep_id=sweep_id_of(DAG_ID, sweep.run_id),
        dag_id=DAG_ID,
        run_id=sweep.run_id,
        origin="import",
        spec=spec,
        created_at=sweep.measured_at,
    )


def _measurement(row: ForeignRow) -> Measurement:
    batches = row.latency.samples
    inferences = None if batches is None else batches * row.batch_size
    return Measurement(
        filename=row.filename,
        batch_size=row.batch_size,
        backend=row.sweep.backend,
        precision=row.sweep.precision,
        replicas=row.sweep.replicas,
        workers=row.sweep.workers,
        worker_mode=None,
        batches=batches,
        inferences=inferences,
        duration_s=None if inferences is None else inferences / row.throughput_inf_per_s,
        throughput_inf_per_s=row.throughput_inf_per_s,
        latency=row.latency,
        checks=row.checks,
        environment=row.sweep.environment,
        started_at=row.sweep.measured_at,
        warnings=row.warnings,
    )
