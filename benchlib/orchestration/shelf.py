"""Where a task's records go: to the spool, and from there to the database when it answers."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchlib.analysis.comparison import Comparison
from benchlib.errors import BadInput
from benchlib.records import MeasurementRecord, Record, SweepRecord
from benchlib.settings import Settings
from benchlib.store.database import engine_for
from benchlib.store.errors import DatabaseUnreachable, RecordRejected
from benchlib.store.repository import Repository
from benchlib.store.spool import Damaged, NotSpooled, Spool, store_record
from benchlib.store.spool_copies import replay_all, with_copies

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Figures:
    """What a person wants to see of a measurement beside its task."""

    throughput_inf_per_s: float
    p50_ms: float | None
    valid: bool


@dataclass(frozen=True)
class Shelf:
    """Spool and database as one."""

    spool: Spool
    repository: Repository
    copies_url: str | None = None
    """Where what waits in the spool has a second copy."""

    def keep(self, record: Record) -> bool:
        """Store one record; returns whether the database has it.

        Raises:
            RecordRejected: the database will never take this record.
        """
        return self.keep_all([record])

    def keep_all(self, records: Sequence[Record]) -> bool:
        """Store records; when the database has taken them, it also gets what it missed before.

        All are on disk before the database is asked for the first: it may hang. Returns whether it has the
        last one.

        Raises:
            RecordRejected: the database will never take one of them; the others are kept.
        """
        stored, refused = False, None
        with with_copies(self.spool, self.copies_url):
            for record in records[1:]:
                with contextlib.suppress(NotSpooled):  # comes again below, where the database is enough
                    self.spool.write(record)
            for record in records:
                try:
                    stored = store_record(record, self.spool, self.repository)
                except RecordRejected as error:
                    refused = refused or error
            if stored and self.spool.pending():
                report = self.spool.replay(self.repository)
                log.info("brought in %d results that the database had missed", report.replayed)
        if refused is not None:
            raise refused
        return stored

    def comparison(self, sweep: SweepRecord) -> Comparison:
        """The sweep's rows, those included that the database had missed and a lost host left a copy of.

        Raises:
            DatabaseUnreachable: what it misses waits in the spool.
        """
        if self.keep(sweep) and self.copies_url is not None:
            replay_all(self.spool, self.repository, self.copies_url)
        return self.repository.comparison(sweep.sweep_id)

    def figures(self, sweep: SweepRecord, batch_size: int) -> Figures | None:
        """The figures of a batch size that has been measured in this sweep, on this host or another.

        A measurement that was interrupted is not one: it has not been made yet.
        """
        return self._spooled(sweep, batch_size) or self._stored(sweep, batch_size)

    def _spooled(self, sweep: SweepRecord, batch_size: int) -> Figures | None:
        for path in self.spool.pending():
            # Gone or damaged: a replay was faster, or will say so.
            with contextlib.suppress(FileNotFoundError, Damaged):
                record = self.spool.read(path)
                if (
                    isinstance(record, MeasurementRecord)
                    and record.result
                    and record.result.complete
                    and (record.sweep.sweep_id, record.batch_size) == (sweep.sweep_id, batch_size)
                ):
                    result = record.result
                    return Figures(result.throughput_inf_per_s, result.latency.p50_ms, result.valid)
        return None

    def _stored(self, sweep: SweepRecord, batch_size: int) -> Figures | None:
        try:
            rows = self.repository.comparison(sweep.sweep_id).rows
            interrupted = self.repository.interrupted(sweep.sweep_id)
        except (BadInput, DatabaseUnreachable):
            return None  # the sweep itself is not stored, or cannot be asked for
        for row in rows:
            if row.batch_size == batch_size and row.throughput_inf_per_s is not None:
                if batch_size in interrupted and row.status != "ok":
                    return None
                return Figures(row.throughput_inf_per_s, row.p50_ms, row.status == "ok")
        return None


@contextmanager
def open_shelf(settings: Settings) -> Iterator[Shelf]:
    """A shelf and its connections, which are closed at the end. Nothing is connected before it is used.

    Raises:
        BadInput: ``BENCH_DATABASE_URL`` is not a PostgreSQL URL.
    """
    engine = engine_for(settings)
    try:
        yield Shelf(Spool(settings.spool_dir), Repository(engine), settings.spool_url)
    finally:
        engine.dispose()
