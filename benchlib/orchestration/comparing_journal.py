"""The pairs of a comparison on disk and in the database, so that whatever stops it loses no finished one.

One folder per experiment below ``BENCH_HOME``, one file per pair, each written whole and flushed before the
database is tried. The folder goes when the database has the verdict and every pair.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy import Engine

from benchlib.analysis.paired import Side
from benchlib.errors import BadInput, BenchError
from benchlib.experiments import ExperimentRecord, PairRecord, Problem
from benchlib.results import ArtifactRef, Environment
from benchlib.settings import Settings
from benchlib.spec import Spec
from benchlib.store.database import engine_for
from benchlib.store.errors import DatabaseUnreachable
from benchlib.store.experiments import (
    check_same_environment,
    record_experiment,
    record_pairs,
    stored_experiment,
)

log = logging.getLogger(__name__)

SIDES: tuple[Side, Side] = ("old", "new")

LOGGED = "BENCH-PAIR "
"""Begins a line of the log that holds a pair which is nowhere else."""


class Program(Spec):
    """A compiled program of one side."""

    batch_size: int
    artifact: ArtifactRef


class CompiledSide(Spec):
    """One side's programs, and why others are missing."""

    side: Side
    environment: Environment | None = None
    programs: tuple[Program, ...] = ()
    problems: tuple[Problem, ...] = ()

    def program(self, batch_size: int) -> ArtifactRef | None:
        """The program of this batch size, if it could be compiled."""
        return next((each.artifact for each in self.programs if each.batch_size == batch_size), None)


class Journal:
    """The folder of one experiment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def of(cls, settings: Settings, experiment_id: uuid.UUID) -> Journal:
        """Where this experiment's is, whether it exists or not."""
        return cls(experiments_dir(settings) / str(experiment_id))

    def write_record(self, record: ExperimentRecord) -> None:
        """Keep what was asked, and what is known of the environments."""
        self._publish("experiment.json", record.model_dump_json())

    def write_side(self, side: CompiledSide) -> None:
        """Keep what was compiled."""
        self._publish(f"{side.side}.json", side.model_dump_json())

    def write_pair(self, pair: PairRecord) -> None:
        """Keep a finished pair."""
        self._publish(f"pair-{pair.batch_size:04}-{pair.number:04}.json", pair.model_dump_json())

    def write_finished(self, at: datetime) -> None:
        """Say that no more pairs will come."""
        self._publish("finished", at.isoformat())

    def record(self) -> ExperimentRecord | None:
        """What was asked; ``None``: nothing was ever written here."""
        try:
            return ExperimentRecord.model_validate_json((self.directory / "experiment.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def sides(self) -> dict[Side, CompiledSide]:
        """What was compiled."""
        found = {}
        for path in (self.directory / "old.json", self.directory / "new.json"):
            if path.exists():
                side = CompiledSide.model_validate_json(path.read_bytes())
                found[side.side] = side
        return found

    def pairs(self) -> list[PairRecord]:
        """Every pair that is here, by batch size and number."""
        found = []
        for path in sorted(self.directory.glob("pair-*.json")):
            try:
                found.append(PairRecord.model_validate_json(path.read_bytes()))
            except ValidationError:
                log.warning("unreadable, to be measured again: %s", path)
        return found

    def finished_at(self) -> datetime | None:
        """When the last pair was there; ``None``: more will come."""
        path = self.directory / "finished"
        return datetime.fromisoformat(path.read_text()) if path.exists() else None

    def remove(self) -> None:
        """The database has it all."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _publish(self, name: str, content: str) -> None:
        """Whole or not at all, and safe from a power cut."""
        self.directory.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=self.directory)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self.directory / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        folder = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Keeper:
    """Journal and database of one experiment as one."""

    def __init__(self, record: ExperimentRecord, journal: Journal, engine: Engine) -> None:
        self.record = record
        self.journal = journal
        self.engine = engine
        self._owed: list[PairRecord] = []
        """What the database has not confirmed."""

    def check_sides(self) -> None:
        """Refuse to measure beside pairs that were measured in another environment.

        Raises:
            BenchError: what differs.
        """
        before = [self.journal.record()] if self.journal.pairs() else []
        with suppress(DatabaseUnreachable):  # said by whatever is kept next
            stored = stored_experiment(self.engine, self.record.experiment_id)
            before += [stored.record] if stored and stored.pairs else []
        for each in filter(None, before):
            for side in SIDES:
                now = self.record.environment_of(side)
                if now is not None:
                    check_same_environment(each.environment_of(side), now, side)

    def begin(self) -> list[PairRecord]:
        """Keep what is asked, and return the pairs that are finished already, here or in the database.

        Raises:
            BenchError: neither disk nor database takes anything.
        """
        no_room = self._tried(partial(self.journal.write_record, self.record))
        self._owed = self.journal.pairs()
        here = {(pair.batch_size, pair.number): pair for pair in self._owed}
        try:
            self.bring_in()
            stored = stored_experiment(self.engine, self.record.experiment_id)
        except DatabaseUnreachable as error:
            if no_room is not None:
                where = f"{self.journal.directory}: {no_room.strerror}"
                raise BenchError(f"nothing can be kept in {where}, and {error}; make room there") from error
            log.warning("%s; the pairs wait in %s", error, self.journal.directory)
            stored = None
        there = {(pair.batch_size, pair.number): pair for pair in stored.pairs} if stored else {}
        return [pair for _, pair in sorted({**here, **there}.items())]

    def note_sides(self, sides: Iterable[CompiledSide]) -> None:
        """Keep what was compiled, for a verdict without this process."""
        for side in sides:
            self._tried(partial(self.journal.write_side, side))

    def note_finished(self, at: datetime) -> None:
        """Keep that no more pairs will come."""
        self._tried(partial(self.journal.write_finished, at))

    def keep(self, pair: PairRecord) -> None:
        """Keep a pair: on disk first, then in the database with all that this misses.

        Raises:
            RecordRejected: the database will never take it.
            BenchError: neither disk nor database takes it; the pair is in the log.
        """
        no_room = self._tried(partial(self.journal.write_pair, pair))
        self._owed.append(pair)
        try:
            self.bring_in()
        except DatabaseUnreachable as error:
            if no_room is not None:
                log.exception("%s%s", LOGGED, pair.model_dump_json())
                raise BenchError(
                    f"a pair could not be kept in {self.journal.directory}: {no_room.strerror}, and {error}; "
                    f"make room there; the pair is in this log, in the line that begins with {LOGGED.strip()}"
                    ": `bench db replay --log FILE` brings it in"
                ) from error
            log.warning("%s; the pairs wait in %s", error, self.journal.directory)

    def bring_in(self) -> None:
        """Write what the database misses.

        Raises:
            DatabaseUnreachable: it does not answer.
        """
        if not self._owed:
            record_experiment(self.engine, self.record)
        for pair in record_pairs(self.engine, self.record, self._owed) if self._owed else ():
            told = "pair %d of batch size %d was measured on another host too, and that one is stored"
            log.warning(
                f"{told}; this one does not count: %s", pair.number, pair.batch_size, pair.model_dump_json()
            )
        self._owed = []

    def _tried(self, write: Callable[[], None]) -> OSError | None:
        """Write to the journal; the database may be enough where that fails."""
        try:
            write()
        except OSError as error:
            log.warning("%s: %s; make room there", self.journal.directory, error.strerror)
            return error
        return None


@contextmanager
def open_keeper(record: ExperimentRecord, settings: Settings) -> Iterator[Keeper]:
    """A keeper and its connections, which are closed at the end."""
    engine = engine_for(settings)
    try:
        yield Keeper(record, Journal.of(settings, record.experiment_id), engine)
    finally:
        engine.dispose()


def experiments_dir(settings: Settings) -> Path:
    """Where the journals are."""
    return settings.home / "experiments"


def journals(settings: Settings) -> list[Journal]:
    """Those of experiments that are not, or not completely, in the database."""
    return [Journal(path.parent) for path in sorted(experiments_dir(settings).glob("*/experiment.json"))]


def rescue_pairs(settings: Settings, log_text: str) -> int:
    """Take into their journals the pairs that had no other place than a task's log; returns how many.

    Raises:
        DatabaseUnreachable: whose they are is not known here, and cannot be asked for.
        BenchError: nobody knows their experiment, or the disk still does not take them.
        ValueError: a line was cut.
    """
    pairs = [_logged_pair(line) for line in log_text.splitlines() if LOGGED in line]
    for pair in pairs:
        journal = Journal.of(settings, pair.experiment_id)
        try:
            if journal.record() is None:
                journal.write_record(_stored_record(settings, pair.experiment_id))
            journal.write_pair(pair)
        except OSError as error:
            raise BenchError(f"{journal.directory}: {error.strerror}; make room there") from error
    return len(pairs)


def _logged_pair(line: str) -> PairRecord:
    """As text or, as Airflow keeps it, as JSON with an ``event``."""
    text: str = json.loads(line)["event"] if line.startswith("{") else line
    return PairRecord.model_validate_json(text.partition(LOGGED)[2])


def _stored_record(settings: Settings, experiment_id: uuid.UUID) -> ExperimentRecord:
    engine = engine_for(settings)
    try:
        stored = stored_experiment(engine, experiment_id)
    finally:
        engine.dispose()
    if stored is None:
        known = "neither this host nor the database knows"
        raise BenchError(f"{known} experiment {experiment_id}: take the log in where it was made")
    # The database has the environments already, and more of them than it shows.
    return stored.record.model_copy(update={"old_environment": None, "new_environment": None})


def find_journal(settings: Settings, text: str) -> ExperimentRecord | None:
    """The unfinished experiment of this host that a person means, by run id or beginning of its id.

    Raises:
        BadInput: more than one fits.
    """
    records = [record for journal in journals(settings) if (record := journal.record())]
    found = [
        record
        for record in records
        if text and (record.run_id == text or str(record.experiment_id).startswith(text.lower()))
    ]
    if len(found) > 1:
        raise BadInput("experiment", text, "more characters: several experiments begin like this")
    return found[0] if found else None
