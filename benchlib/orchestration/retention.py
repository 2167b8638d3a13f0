"""What piles up on a host and is of no more use: found by age, removed, or only named.

``python -m benchlib.orchestration.retention [--keep-days N] [--dry-run]`` does it on this host, apart from
Airflow: the DAG `maintenance` reaches one host of each queue.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchlib.errors import EXIT_BAD_INPUT, EXIT_FAILED, BadInput, BenchError
from benchlib.orchestration.comparing_journal import LOGGED as LOGGED_PAIR
from benchlib.orchestration.comparing_journal import journals
from benchlib.orchestration.device_lock import device_lock
from benchlib.orchestration.job import DEVICE_TIMEOUT_S
from benchlib.settings import Settings
from benchlib.store.spool import LOGGED, Spool

KEEP_DAYS = 30
MOST_KEEP_DAYS = 3650

WORK = (
    "bench-step-*",
    "bench-run-*",
    "bench-compile-*",
    "bench-measure-*",
    "bench-monitor-*",
    "bench-export-*",
)
"""Working directories; what ends in order removes its own, what is killed leaves it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rule:
    """How old is old, and whether anything is really removed."""

    before: datetime
    dry_run: bool = False

    @classmethod
    def keeping(cls, days: object, *, now: datetime | None = None, dry_run: bool = False) -> Rule:
        """Keep what was touched within so many days.

        Raises:
            BadInput: no whole number from 1 to `MOST_KEEP_DAYS`.
        """
        if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= MOST_KEEP_DAYS:
            raise BadInput("keep_days", days, f"a whole number from 1 to {MOST_KEEP_DAYS}")
        return cls((now or datetime.now(UTC)) - timedelta(days=days), dry_run)

    def is_old(self, touched_s: float) -> bool:
        """Whether what was last touched at this time (seconds since the epoch) may go."""
        return touched_s < self.before.timestamp()


@dataclass
class Pruned:
    """What a run removed, or would remove, and what it leaves to people."""

    removed: list[str] = field(default_factory=list)
    """Paths, or URLs without secrets."""
    size_bytes: int = 0
    for_people: list[str] = field(default_factory=list)
    """One sentence each: never removed, and not to be forgotten."""

    def note(self, path: object, size_bytes: int, *, dry_run: bool) -> None:
        """Something that went, or would go."""
        log.info("%s %s (%.1f MB)", "would remove" if dry_run else "removed", path, size_bytes / 1e6)
        self.removed.append(str(path))
        self.size_bytes += size_bytes


def prune_host(settings: Settings, rule: Rule, airflow_logs: Path | None = None) -> Pruned:
    """Remove old logs and what killed steps left behind on this host; report what only a person may remove.

    Safe beside a running sweep: nothing that was touched since ``rule.before`` goes, and the device's lock is
    held, shared, so that no measurement runs meanwhile. A second run finds nothing to do.

    Args:
        airflow_logs: Airflow's folder of logs, where it is not the one in ``BENCH_HOME``. A log that holds a
            result which is nowhere else stays and is reported.

    Raises:
        DeviceBusy: a measurement went on for an hour.
    """
    pruned, spool = Pruned(), Spool(settings.spool_dir)
    with _alone(settings):
        # `bench up` keeps writing to its own, and empties them at its start.
        own = (path for path in _files(settings.logs_dir) if not path.name.startswith("up-"))
        _remove_logs(own, rule, pruned)
        for folder in {airflow_logs or settings.airflow_home / "logs", settings.airflow_home / "logs"}:
            _remove_logs(_files(folder), rule, pruned)
            if not rule.dry_run:
                _remove_empty(folder, rule)
        _remove_work(Path(tempfile.gettempdir()), rule, pruned)
        _remove_unfinished(spool, rule, pruned)
    _report_spool(spool, rule, pruned)
    _report_journals(settings, rule, pruned)
    for sentence in pruned.for_people:
        log.warning("%s", sentence)
    return pruned


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Beside no measurement, and beside no other run of this: one host may serve several queues."""
    what = "maintenance"
    mine = settings.home / "maintenance.lock"
    with (
        device_lock(settings.device_lock, exclusive=False, what=what, timeout_s=DEVICE_TIMEOUT_S),
        device_lock(mine, exclusive=True, what=what, timeout_s=DEVICE_TIMEOUT_S),
    ):
        yield


def _files(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def _remove_files(files: Iterable[Path], rule: Rule, pruned: Pruned) -> None:
    for path in files:
        # Another run of this may be faster.
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            if rule.is_old(status.st_mtime):
                if not rule.dry_run:
                    path.unlink()
                pruned.note(path, status.st_size, dry_run=rule.dry_run)


def _remove_logs(files: Iterable[Path], rule: Rule, pruned: Pruned) -> None:
    for path in files:
        with contextlib.suppress(FileNotFoundError):  # another run of this was faster
            if not rule.is_old(path.stat().st_mtime):
                continue
            if _holds_result(path):
                told = "holds a result that may be nowhere else"
                pruned.for_people.append(f"{path} {told}: `bench db replay --log {path}`, then remove it")
            else:
                _remove_files([path], rule, pruned)


def _holds_result(path: Path) -> bool:
    with path.open("rb") as file:
        return any(mark.encode() in line for line in file for mark in (LOGGED, LOGGED_PAIR))


def _remove_empty(folder: Path, rule: Rule) -> None:
    """Of folders, the deepest first; a young one may be about to get a file."""
    for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):  # it has files, or is gone
            if not path.is_symlink() and rule.is_old(path.stat().st_mtime):
                path.rmdir()


def _remove_work(folder: Path, rule: Rule, pruned: Pruned) -> None:
    for path in sorted(path for pattern in WORK for path in folder.glob(pattern)):
        with contextlib.suppress(FileNotFoundError):
            if path.is_symlink() or not path.is_dir() or path.stat().st_uid != os.getuid():
                continue
            files = list(_files(path))
            touched_s = max(each.stat().st_mtime for each in (path, *files))
            if rule.is_old(touched_s):
                size_bytes = sum(each.stat().st_size for each in files)
                if not rule.dry_run:
                    shutil.rmtree(path)
                pruned.note(path, size_bytes, dry_run=rule.dry_run)


def _remove_unfinished(spool: Spool, rule: Rule, pruned: Pruned) -> None:
    """Writes that were interrupted; one that was complete but for its name is a result and stays."""
    for path in sorted(spool.directory.glob(".*.tmp")):
        with contextlib.suppress(FileNotFoundError):  # it has its name now
            if not rule.is_old(path.stat().st_mtime):
                continue
            if spool.is_whole(path):
                told = f"{path} is a whole result: rename it to end in .json, then `bench db replay`"
                pruned.for_people.append(told)
            else:
                _remove_files([path], rule, pruned)


def _report_spool(spool: Spool, rule: Rule, pruned: Pruned) -> None:
    """The sentences stay as they are while nobody does anything: each is told once."""
    for path in sorted(spool.poisoned_directory.glob("*.json")):
        reason = path.with_suffix(".reason")
        why = reason.read_text().strip() if reason.exists() else "no reason is known"
        pruned.for_people.append(f"{path} was set aside: {why}")
    waiting = [touched_s for path in spool.pending() if rule.is_old(touched_s := path.stat().st_mtime)]
    if waiting:
        log.info("%d results have waited in %s", len(waiting), spool.directory)
        told = f"results have waited in {spool.directory} since {_date(min(waiting))}"
        pruned.for_people.append(f"{told}: `bench db replay`")


def _report_journals(settings: Settings, rule: Rule, pruned: Pruned) -> None:
    for journal in journals(settings):
        # What is asked is written anew by whoever only looks.
        pairs = [path for path in _files(journal.directory) if path.name != "experiment.json"]
        touched_s = max(path.stat().st_mtime for path in (pairs or [journal.directory / "experiment.json"]))
        if rule.is_old(touched_s):
            told = f"{journal.directory} holds a comparison that has waited since {_date(touched_s)}"
            mend = (
                f"`bench experiment list` brings it in, `bench compare --resume {journal.directory.name[:8]}`"
            )
            pruned.for_people.append(f"{told}: {mend} goes on with it")


def _date(touched_s: float) -> str:
    return f"{datetime.fromtimestamp(touched_s, UTC):%Y-%m-%d}"


def main(arguments: list[str] | None = None) -> int:
    """Prune this host; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchlib.orchestration.retention", description=__doc__)
    parser.add_argument("--keep-days", type=int, default=KEEP_DAYS, help=f"default: {KEEP_DAYS}")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        rule = Rule.keeping(asked.keep_days, dry_run=asked.dry_run)
        airflow = os.environ.get("AIRFLOW_HOME")
        pruned = prune_host(Settings.from_environment(), rule, Path(airflow) / "logs" if airflow else None)
    except BenchError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT if isinstance(error, BadInput) else EXIT_FAILED
    print(f"{len(pruned.removed)} files and folders, {pruned.size_bytes / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
