"""Results on disk before the database is tried, so that none depends on it being there.

One file per record: a line with the checksum, then the record as JSON. A file appears whole or not at all and
goes when the database has committed it. Several processes may write and replay at once: at worst a record is
brought in twice, which changes nothing.

Where the disk is full the database is enough; where that is away too, the record goes to the log, from which
`Spool.rescue` brings it back.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import tempfile
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from benchlib.errors import BadInput, BenchError
from benchlib.records import MeasurementRecord, Record, SweepRecord, started_at
from benchlib.store.errors import DatabaseUnreachable, RecordRejected
from benchlib.store.older import UNASKED
from benchlib.store.repository import Repository

log = logging.getLogger(__name__)

HEADER = b"bench-spool 1 sha256 "
"""Begins every file; its number is the version of this format."""

_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-(?:sweep|(?:compilation|measurement)-\d+)-[0-9a-f]{20}\.json")
"""As `_name_of` makes them."""

LOGGED = "BENCH-RECORD "
"""Begins a line of the log that holds a record which is nowhere else."""

RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])


class NotSpooled(BenchError):
    """The spool's disk does not take a record."""


class Damaged(BenchError):
    """A spooled file does not hold what was written."""


@dataclass(frozen=True)
class Poisoned:
    """A file that can never be brought in as it is."""

    path: Path
    """Where it lies now, beside a ``.reason`` file."""
    reason: str


@dataclass(frozen=True)
class ReplayReport:
    """What a replay did."""

    replayed: int
    poisoned: tuple[Poisoned, ...]
    remaining: int
    stopped_by: DatabaseUnreachable | None = None
    """Why records remain."""
    copies_refused: BenchError | None = None
    """Why copies of lost hosts may not be among them."""


class Spool:
    """A directory of records that the database has not confirmed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def poisoned_directory(self) -> Path:
        """Files that were set aside, each with its reason."""
        return self.directory / "poisoned"

    def pending(self) -> tuple[Path, ...]:
        """The files that wait, oldest record first."""
        return tuple(sorted(self.directory.glob("[!.]*.json")))

    def set_aside_files(self) -> tuple[Path, ...]:
        """The files that were set aside."""
        return tuple(self.poisoned_directory.glob("[!.]*.json"))

    def has_set_aside(self, name: str, content: bytes) -> bool:
        """Whether a file of this name and content was set aside here."""
        path = self.poisoned_directory / name
        return path.exists() and path.read_bytes() == content

    def write(self, record: Record) -> Path:
        """Put the record on disk and return its file; a record of the same attempt is replaced.

        Raises:
            NotSpooled: the directory does not take it, for instance because the disk is full.
        """
        name = _name_of(record)
        content = record.model_dump_json().encode()
        digest = hashlib.sha256(content).hexdigest().encode()
        path = self.take_in(name, HEADER + digest + b"\n" + content + b"\n")
        _, _, identity = name.partition("-")
        for older in self.pending():
            if older.name < name and older.name.endswith(f"-{identity}"):
                older.unlink(missing_ok=True)
        return path

    def take_in(self, name: str, content: bytes) -> Path:
        """Put a file as `write` makes them on disk, under the name that it had in another spool.

        Raises:
            NotSpooled: the directory does not take it, for instance because the disk is full.
        """
        try:
            return self._publish(name, content)
        except OSError as error:
            raise NotSpooled(f"the result could not be kept in {self.directory}: {error.strerror}") from error

    def read(self, path: Path) -> Record:
        """The record in a file.

        Raises:
            Damaged: the file was cut or changed, or holds no record of this version.
        """
        content = _checked(path)
        try:
            return _record_of(content)
        except ValidationError as error:
            complaint = BadInput.from_validation(error)
            raise Damaged(f"it holds no record of this version: {complaint}") from error

    def is_whole(self, path: Path) -> bool:
        """Whether the file holds what was written, whichever version can read that.

        Raises:
            FileNotFoundError: it is gone.
        """
        try:
            _checked(path)
        except Damaged:
            return False
        return True

    def replay(self, repository: Repository) -> ReplayReport:
        """Bring in what waits, oldest first; set aside what can never be brought in.

        Stops at the first sign that the database is away, and keeps the rest.
        """
        replayed = 0
        poisoned: list[Poisoned] = []
        stopped_by = None
        for path in self.pending():
            try:
                repository.record(self.read(path))
            except FileNotFoundError:
                continue  # another replay was faster
            except (Damaged, RecordRejected) as error:
                poisoned.append(self.set_aside(path, str(error)))
            except DatabaseUnreachable as error:
                stopped_by = error
                break
            else:
                path.unlink(missing_ok=True)
                replayed += 1
        return ReplayReport(replayed, tuple(poisoned), len(self.pending()), stopped_by)

    def set_aside(self, path: Path, reason: str) -> Poisoned:
        """Move a file to where no replay looks, with the reason beside it."""
        target = self.poisoned_directory / path.name
        # Another replay was faster, or the disk is full: then the log has the reason.
        with contextlib.suppress(OSError):
            self.poisoned_directory.mkdir(exist_ok=True)
            path.replace(target)
            target.with_suffix(".reason").write_text(f"{reason}\n")
        log.error("set aside %s: %s", target, reason)
        return Poisoned(target, reason)

    def rescue(self, log_text: str) -> int:
        """Take in the records that had no other place than a task's log; returns how many.

        Raises:
            NotSpooled: the directory still does not take them.
            ValueError: a line was cut.
        """
        records = [_logged_record(line) for line in log_text.splitlines() if LOGGED in line]
        for record in records:
            self.write(record)
        return len(records)

    def _publish(self, name: str, content: bytes) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        # The leading dot hides it from `pending`.
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=self.directory)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            path = Path(temporary).replace(self.directory / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_directory(self.directory)
        return path


def store_record(record: Record, spool: Spool, repository: Repository | None) -> bool:
    """Keep a record: on disk first, then in the database, then no longer on disk.

    Returns whether the database has it. ``False``, also for no ``repository``: it stays in the spool.

    Raises:
        RecordRejected: the record breaks a rule of the tables; it has been set aside.
        BenchError: neither spool nor database takes it; the record is in the log.
    """
    try:
        path = spool.write(record)
    except NotSpooled as error:
        _store_without_spool(record, repository, error)
        return True
    if repository is None:
        return False
    try:
        repository.record(record)
    except DatabaseUnreachable as error:
        log.warning("%s; the result waits in %s for `bench db replay`", error, path)
        return False
    except RecordRejected as error:
        spool.set_aside(path, str(error))
        raise
    path.unlink(missing_ok=True)
    return True


def _store_without_spool(record: Record, repository: Repository | None, unkept: NotSpooled) -> None:
    refusal = _refusal(record, repository)
    advice = "make room there or permit writing"
    if refusal is None:
        log.warning("%s; the database has it; %s", unkept, advice)
        return
    log.error("%s%s", LOGGED, record.model_dump_json())
    kind = RecordRejected if isinstance(refusal, RecordRejected) else NotSpooled
    raise kind(
        f"{unkept}, and {refusal}; {advice}; the result is in this log, in the line that begins with "
        f"{LOGGED.strip()}: `bench db replay --log FILE` brings it in"
    )


def _refusal(record: Record, repository: Repository | None) -> DatabaseUnreachable | RecordRejected | None:
    if repository is None:
        return DatabaseUnreachable("no database is named")
    try:
        repository.record(record)
    except (DatabaseUnreachable, RecordRejected) as error:
        return error
    return None


def is_spool_name(name: str) -> bool:
    """Whether a spool names a file so."""
    return _NAME.fullmatch(name) is not None


def verify(spooled: bytes) -> None:
    """See that this is all of a spooled file.

    Raises:
        Damaged: it was cut or changed, or is no such file.
    """
    _content_of(spooled)


def _checked(path: Path) -> bytes:
    return _content_of(path.read_bytes())


def _content_of(spooled: bytes) -> bytes:
    header, _, content = spooled.partition(b"\n")
    content = content.removesuffix(b"\n")
    if header != HEADER + hashlib.sha256(content).hexdigest().encode():
        raise Damaged("the checksum does not match: the file was cut or changed")
    return content


def _logged_record(line: str) -> Record:
    """The record in one line of a log, as text or, as Airflow keeps it, as JSON with an ``event``."""
    text: str = json.loads(line)["event"] if line.startswith("{") else line
    return _record_of(text.partition(LOGGED)[2])


def _record_of(content: str | bytes) -> Record:
    """A record that an older version wrote asked for what everything did then, not for today's defaults."""
    try:
        told = json.loads(content)
        load = told.get("sweep", told)["spec"]["load"]
        load |= {name: value for name, value in UNASKED.items() if name not in load}
    except (ValueError, AttributeError, KeyError, TypeError):
        return RECORD.validate_json(content)  # which says what is wrong with it
    return RECORD.validate_json(json.dumps(told))


def _name_of(record: Record) -> str:
    """Sorts by time, tells a person what it is, and is the same for every write of the same record."""
    sweep = record if isinstance(record, SweepRecord) else record.sweep
    subject: tuple[object, ...] = (record.kind, sweep.sweep_id)
    label: str = record.kind
    if not isinstance(record, SweepRecord):
        subject += (record.batch_size, record.attempt)
        label += f"-{record.batch_size}"
    if isinstance(record, MeasurementRecord):
        subject += (record.scenario,)
    digest = hashlib.sha256(repr(subject).encode()).hexdigest()[:20]
    return f"{started_at(record).astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{label}-{digest}.json"


def _sync_directory(directory: Path) -> None:
    """Make a rename in ``directory`` survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
