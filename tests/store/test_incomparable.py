"""No query of the cookbook compares what differs in more than time and software."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

from benchlib.records import CompilationRecord, SweepRecord, sweep_id_of
from benchlib.store.embedded_postgres import EmbeddedPostgres
from benchlib.store.repository import Repository
from tests.conftest import new_database
from tests.store import fleet, load_fleet, samples
from tests.store.conftest import run_psql
from tests.store.fleet import DRIFT, attempt, measured
from tests.store.test_cookbook import QUERIES, ask

UNTIL = fleet.night_of(3)


def sweep(name: str, night: int, size: int, replicas: int = 2, **changes: Any) -> SweepRecord:
    """``changes``: fields of the model or, else, of what is asked."""
    plain = fleet.sweep(night, replicas, (size,))
    of_model = {key: value for key, value in changes.items() if key in type(plain.spec.model).model_fields}
    asked = {key: value for key, value in changes.items() if key not in of_model}
    model = plain.spec.model.model_copy(update=of_model)
    spec = plain.spec.model_copy(update={"model": model, **asked})
    return plain.model_copy(
        update={"spec": spec, "run_id": name, "sweep_id": sweep_id_of(plain.dag_id, name)}
    )


def compiled(asked: SweepRecord, size: int, size_bytes: int, torch: str) -> CompilationRecord:
    result = samples.compiled(size)
    artifact = result.artifact.model_copy(update={"size_bytes": size_bytes})
    environment = samples.HOST.model_copy(update={"torch": torch})
    result = result.model_copy(update={"artifact": artifact, "environment": environment})
    return CompilationRecord(sweep=asked, batch_size=size, result=result, recorded_at=asked.created_at)


def fill(engine: Engine) -> None:
    repository = Repository(engine)
    plain = sweep("plain", 0, 4)
    encoder = sweep("encoder", 1, 8, head="encoder")
    short = sweep("short", 0, 8, sequence_length=32)
    alone = sweep("alone", 0, 4, 1, scenario="single_stream")
    flags = sweep("flags", 2, 4, compiler_args=("--optlevel=3",))
    for asked, size, rate in ((plain, 4, 1000.0), (encoder, 8, 2000.0), (short, 8, 4000.0)):
        repository.record(attempt(asked, size, result=measured(asked, size, rate, 20.0)))
    one = measured(alone, 4, 300.0, 15.0, scenario="single_stream")
    repository.record(attempt(alone, 4, result=one, scenario="single_stream"))
    for night, rate in ((2, 100.0), (3, 200.0)):
        given = load_fleet.server(night, target_batches_per_s=rate)
        result = load_fleet.arriving(given, rate, 30.0)
        repository.record(attempt(given, 4, result=result, scenario="server"))
    repository.record(compiled(plain, 4, 4_000_000, "2.12"))
    repository.record(compiled(encoder, 4, 9_000_000, "2.13"))
    repository.record(compiled(flags, 4, 2_000_000, "2.14"))
    repository.record(attempt(plain, 1, result=measured(plain, 1, 500.0, 9.0, checks=(DRIFT,))))
    foreign = fleet.sweep(
        0, 2, (4,), origin="import", dag_id="import", run_id="x", sweep_id=sweep_id_of("", "x")
    )
    for size in (1, 2, 4):
        result = measured(foreign, size, 1000.0, 9.0, checks=(DRIFT,))
        repository.record(attempt(foreign, size, result=result))


@pytest.fixture(scope="module")
def mixed(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """One of everything, each unlike the others in one thing; tests only read it."""
    with new_database(postgres) as url:
        engine = create_engine(url)
        fill(engine)
        run_psql(postgres, engine, "-f", str(QUERIES.parent / "roles.sql"))
        yield engine
        engine.dispose()


ANSWERS: dict[str, list[str]] = {
    "morning days=3": [
        "2026-02-04|bert-base-uncased||server|rate 100/s|inf2.xlarge|t|2|2.25.0|4|400.0||",
        "2026-02-05|bert-base-uncased||server|rate 200/s|inf2.xlarge|t|2|2.25.0|4|800.0||",
        "2026-02-03|bert-base-uncased|encoder|offline||inf2.xlarge|t|2|2.25.0|8|2000.0||",
    ],
    "peak_moves": [],
    "best_batch_size limit_ms=50": [
        "bert-base-uncased||32|offline|inf2.xlarge|neuron|t|8|2|2|bf16|4000.0|20.000",
        "bert-base-uncased||128|offline|inf2.xlarge|neuron|t|4|2|2|bf16|1000.0|20.000",
        "bert-base-uncased||128|server|inf2.xlarge|neuron|t|4|2|2|bf16|800.0|30.000",
        "bert-base-uncased||128|single_stream|inf2.xlarge|neuron|t|4|1|1|bf16|300.0|15.000",
        "bert-base-uncased|encoder|128|offline|inf2.xlarge|neuron|t|8|2|2|bf16|2000.0|20.000",
    ],
    "scaling_per_replica": [
        "bert-base-uncased||offline|inf2.xlarge|neuron|t|2|1000.0|500.0|1.000",
        "bert-base-uncased||server|inf2.xlarge|neuron|t|2|800.0|400.0|1.000",
        "bert-base-uncased||single_stream|inf2.xlarge|neuron|t|1|300.0|300.0|1.000",
    ],
    "artifact_growth": [
        "bert-base-uncased||cpu|fp32||4|torch 2.12|2026-02-02|4.0|",
        "bert-base-uncased||cpu|fp32|--optlevel=3|4|torch 2.14|2026-02-04|2.0|",
        "bert-base-uncased|encoder|cpu|fp32||4|torch 2.13|2026-02-03|9.0|",
    ],
    "failing_checks": ["drift|1|14.29|0.3100|0.0200||2026-02-02|bert-base-uncased on inf2.xlarge"],
}
"""Nothing has a week before, grew, moved or scaled; one of seven measurements made here is invalid."""


@pytest.mark.parametrize("question", ANSWERS)
def test_what_may_not_be_compared_is_not(postgres: EmbeddedPostgres, mixed: Engine, question: str) -> None:
    name, *variables = question.split()
    assert ask(postgres, mixed, QUERIES / f"{name}.sql", f"until={UNTIL}", *variables) == ANSWERS[question]
