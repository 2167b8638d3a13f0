"""People are told of a subject once: also by two processes at once, and not when nobody took the message."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
from sqlalchemy import Engine, text

from benchlib.store.notices import tell_once


def stored(engine: Engine) -> list[tuple[str, list[str]]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT subject, told_to FROM notice ORDER BY 1"))
        return [(row.subject, row.told_to) for row in rows]


def test_only_what_is_new_is_told(engine: Engine) -> None:
    told: list[Sequence[str]] = []

    def tell(subjects: Sequence[str]) -> list[str]:
        told.append(subjects)
        return ["slack:a:#b"]

    assert tell_once(engine, ["b", "a", "b"], tell) == ("b", "a")
    assert tell_once(engine, ["a", "c"], tell) == ("c",)
    assert tell_once(engine, ["a", "b", "c"], tell) == ()
    assert tell_once(engine, [], tell) == ()
    assert told == [("b", "a"), ("c",)]
    assert stored(engine) == [(subject, ["slack:a:#b"]) for subject in ("a", "b", "c")]


def test_what_nobody_took_is_told_the_next_time(engine: Engine) -> None:
    assert tell_once(engine, ["a"], lambda _: []) == ()

    def dies(_: Sequence[str]) -> list[str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tell_once(engine, ["a"], dies)
    assert stored(engine) == []
    assert tell_once(engine, ["a"], lambda _: ["mail"]) == ("a",)


def test_of_two_processes_that_find_the_same_at_once_one_tells(engine: Engine) -> None:
    together, told = Barrier(2), Event()

    def find(subjects: Sequence[str]) -> tuple[str, ...]:
        together.wait()
        return tell_once(engine, subjects, tell)

    def tell(_: Sequence[str]) -> list[str]:
        assert not told.is_set()
        told.set()
        return ["mail"]

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(find, [["a", "b"], ["b", "a"]]))
    assert sorted(map(sorted, found)) == [[], ["a", "b"]]
