"""Two environments: what differs, in the order in which one looks for a cause; in Python and in SQL alike."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy import Engine, text

from benchlib.results import Environment
from benchlib.store.environments import LIKELIEST_FIRST, EnvironmentDifference, environment_diff
from benchlib.store.repository import Repository
from benchlib.store.rows import environment_id_of
from tests.store import samples

INF2 = Environment(
    hardware=True,
    device="Inferentia2",
    instance_type="inf2.xlarge",
    cores=2,
    kernel="6.8.0-1031-aws",
    python="3.10.12",
    torch="2.8.0",
    neuronx_cc="2.21.18209",
    neuron_runtime="2.28.23",
    fingerprint="before",
)
UPGRADED = INF2.model_copy(
    update={
        "kernel": "6.8.0-1040-aws",
        "neuronx_cc": "2.22.12471",
        "transformers": "4.57.0",
        "fingerprint": "after",
    }
)

PAIRS = [
    (INF2, UPGRADED),
    (UPGRADED, INF2),
    (INF2, INF2),
    (INF2, samples.HOST),
    (samples.HOST, samples.HOST.model_copy(update={"host": "host-b", "memory_bytes": 2**34, "cores": None})),
]


def stored(engine: Engine, environment: Environment, attempt: int) -> uuid.UUID:
    result = samples.measured(environment=environment)
    Repository(engine).record(samples.measurement(attempt=attempt, result=result))
    return environment_id_of(environment)


def in_sql(engine: Engine, a: uuid.UUID | None, b: uuid.UUID | None) -> list[Any]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM environment_diff(:a, :b)"), {"a": a, "b": b}).all()
    return [EnvironmentDifference(row.field, row.before, row.after, row.rank) for row in rows]


def test_the_likeliest_cause_comes_first() -> None:
    differences = environment_diff(INF2, UPGRADED)
    assert [(each.field, each.before, each.after) for each in differences] == [
        ("neuronx_cc", "2.21.18209", "2.22.12471"),
        ("kernel", "6.8.0-1031-aws", "6.8.0-1040-aws"),
        ("transformers", None, "4.57.0"),
    ]


def test_the_order_is_compiler_runtime_driver_kernel_torch_and_then_the_rest() -> None:
    software = LIKELIEST_FIRST[LIKELIEST_FIRST.index("neuronx_cc") :]
    assert software[:4] == ("neuronx_cc", "neuron_runtime", "neuron_driver", "kernel")
    assert software[4:8] == ("torch", "torch_neuronx", "transformers", "python")


def test_every_field_but_the_fingerprint_has_its_place() -> None:
    assert sorted((*LIKELIEST_FIRST, "fingerprint")) == sorted(Environment.model_fields)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_sql_says_the_same(engine: Engine, a: Environment, b: Environment) -> None:
    ids = stored(engine, a, 1), stored(engine, b, 2)
    assert in_sql(engine, *ids) == list(environment_diff(a, b))


def test_sql_has_the_same_order_for_all_fields(engine: Engine) -> None:
    stored(engine, INF2, 1)
    with engine.connect() as connection:
        fields = connection.scalars(text("SELECT field FROM environment_field ORDER BY rank")).all()
    assert tuple(fields) == LIKELIEST_FIRST


@pytest.mark.parametrize("nobody", [None, uuid.uuid4()])
def test_an_unknown_environment_never_looks_equal(engine: Engine, nobody: uuid.UUID | None) -> None:
    known = stored(engine, INF2, 1)
    differences = in_sql(engine, known, nobody)
    assert {each.after for each in differences} == {None}
    assert len(differences) == len(INF2.model_dump(exclude_none=True, exclude={"fingerprint"}))
