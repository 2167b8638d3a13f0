"""A spool whose disk is full: no finished result is lost, and what the disk holds already stays whole."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine

from benchlib.records import MeasurementRecord
from benchlib.store import RecordRejected
from benchlib.store.repository import Repository
from benchlib.store.spool import LOGGED, NotSpooled, Spool, store_record
from tests.full_disk import NO_ROOM, fill, on_full_disk
from tests.store import samples
from tests.store.test_spool import AWAY

ROOM_BYTES = 64 * 1024


def large(**changes: Any) -> MeasurementRecord:
    """A measurement that needs more room than there is."""
    result = samples.measured(**changes).model_copy(update={"warnings": ("-" * 2 * ROOM_BYTES,)})
    return samples.measurement(result=result)


@contextmanager
def logged() -> Iterator[io.StringIO]:
    text = io.StringIO()
    logging.basicConfig(stream=text, format="%(message)s", level=logging.INFO, force=True)
    yield text


def store(disk: str, url: str, inferences: str) -> dict[str, Any]:
    engine = create_engine(url)
    spool = Spool(Path(disk) / "spool")
    facts: dict[str, Any] = {}
    with logged() as log:
        try:
            record = large(inferences=int(inferences))
            facts["stored"] = store_record(record, spool, Repository(engine))
        except (NotSpooled, RecordRejected) as error:
            facts.update(kind=type(error).__name__, sentence=str(error))
    engine.dispose()
    return {**facts, "log": log.getvalue(), "files": [path.name for path in spool.directory.iterdir()]}


def test_the_database_is_enough(tmp_path: Path, engine: Engine, database_url: str) -> None:
    facts = on_full_disk(tmp_path / "disk", ROOM_BYTES, store, database_url, 12000)
    assert facts["stored"] is True
    assert facts["files"] == []
    assert re.search(f"kept in {tmp_path}/disk/spool: {NO_ROOM}; the database has it", facts["log"])
    (row, *_) = Repository(engine).comparison(samples.sweep().sweep_id).rows
    assert row.status == "ok"


def brought_back(text: str, tmp_path: Path, engine: Engine) -> str:
    """The status of the measurement after its log has been read into a spool with room."""
    spool = Spool(tmp_path / "roomy")
    assert spool.rescue(text) == 1
    assert spool.replay(Repository(engine)).replayed == 1
    (row, *_) = Repository(engine).comparison(samples.sweep().sweep_id).rows
    return row.status


def test_where_the_database_is_away_too_the_result_is_in_the_log(tmp_path: Path, engine: Engine) -> None:
    facts = on_full_disk(tmp_path / "disk", ROOM_BYTES, store, AWAY, 12000)
    assert facts["kind"] == "NotSpooled"
    assert re.search(f"{tmp_path}/disk/spool: {NO_ROOM}, and .*127.0.0.1:1", facts["sentence"])
    assert "open-sesame" not in facts["sentence"] + facts["log"]
    assert facts["files"] == []
    text = f"{facts['log']}\nNotSpooled: {facts['sentence']}\n"
    assert brought_back(text, tmp_path, engine) == "ok"


def test_a_task_log_of_airflow_is_read_too(tmp_path: Path, engine: Engine) -> None:
    lines = [
        {"event": "an ordinary line", "level": "info"},
        {"event": f"{LOGGED}{samples.measurement().model_dump_json()}", "level": "error"},
    ]
    assert brought_back("\n".join(map(json.dumps, lines)), tmp_path, engine) == "ok"


def test_a_result_that_the_database_refuses_is_in_the_log(tmp_path: Path, database_url: str) -> None:
    facts = on_full_disk(tmp_path / "disk", ROOM_BYTES, store, database_url, 11999)
    assert facts["kind"] == "RecordRejected"
    assert "ck_measurement_inferences" in facts["sentence"]
    assert LOGGED in facts["log"]


def replay_when_full(disk: str, url: str) -> dict[str, Any]:
    spool = Spool(Path(disk) / "spool")
    damaged = spool.write(samples.measurement(1))
    spool.write(samples.measurement(2))
    damaged.write_bytes(damaged.read_bytes()[:100])
    fill(Path(disk))
    engine = create_engine(url)
    with logged() as log:
        report = spool.replay(Repository(engine))
    engine.dispose()
    return {"replayed": report.replayed, "remaining": report.remaining, "log": log.getvalue()}


def test_a_replay_on_a_full_disk_makes_room_and_logs_what_is_damaged(
    tmp_path: Path, database_url: str
) -> None:
    facts = on_full_disk(tmp_path / "disk", ROOM_BYTES, replay_when_full, database_url)
    assert (facts["replayed"], facts["remaining"]) == (1, 0)
    assert "the checksum does not match" in facts["log"]
