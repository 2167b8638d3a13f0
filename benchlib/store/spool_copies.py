"""Second copies of what waits in the spool of a host, at a place that outlives the host.

A result is on its host's disk before anything else. While the database is away, that disk is all that has it:
so what waits is copied, under the same name, to the URL that ``BENCH_SPOOL_URL`` gives. A copy goes when the
database has the result; that of a host that is lost is brought in by any other. A copy is never worth a
result: where the place refuses, a warning is all that comes of it.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from benchlib.errors import BenchError
from benchlib.places import Place, reason_of, shown_url
from benchlib.store.repository import Repository
from benchlib.store.spool import Damaged, ReplayReport, Spool, is_spool_name, verify

ANSWER_TIMEOUT_S: Final = 20.0
"""A place may hang rather than refuse. Nothing waits longer for it, and the next result not at all."""

WHAT: Final = "the place for copies"

_silent: set[str] = set()
"""URLs of places that did not answer."""

log = logging.getLogger(__name__)

T = TypeVar("T")


class SpoolCopies:
    """The copies of all hosts, one file per record.

    Each call gives up after `ANSWER_TIMEOUT_S`, and one for many files goes on after a refusal. A place that
    did not answer once is not asked again by this process.

    Raises:
        BadInput: no file system knows this URL, or the package for it is not installed.
        BenchError: it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.shown = shown_url(url)
        """The URL without passwords."""
        self._place = self._in_time(
            lambda: Place(url, what=WHAT, field="spool_url", variable="BENCH_SPOOL_URL")
        )

    def probe(self) -> None:
        """Write and remove a small file.

        Raises:
            BadInput: the place is not there, or nothing may be written there.
            BenchError: it cannot be reached, or is full.
        """
        self._in_time(self._place.probe)

    def names(self) -> frozenset[str]:
        """The copies that are there.

        Raises:
            BenchError: the place cannot be read.
        """
        return self._in_time(self._names)

    def put(self, files: Iterable[Path]) -> None:
        """Copy the files that are not there yet.

        Raises:
            BenchError: the place does not take one, or the disk does not give it.
        """
        self._in_time(lambda: self._put_missing(files))

    def fetch(self, spool: Spool) -> int:
        """Put the copies that a spool does not have into it; returns how many.

        What is no whole copy stays where it is, and so does what this spool has set aside already.

        Raises:
            BenchError: the place cannot be read, or the spool does not take one.
        """
        return self._in_time(
            lambda: _each(sorted(self._names() - _waiting(spool)), lambda name: self._fetch(name, spool))
        )

    def remove(self, names: Iterable[str]) -> None:
        """Remove these, as far as they are there.

        Raises:
            BenchError: the place does not let one be removed.
        """
        self._in_time(lambda: _each(names, self._remove))

    def _names(self) -> frozenset[str]:
        with self._explained("cannot be read"):
            return frozenset(filter(is_spool_name, self._place.files()))

    def _put_missing(self, files: Iterable[Path]) -> None:
        known = self._names()
        _each([file for file in files if file.name not in known], self._put)

    def _put(self, file: Path) -> bool:
        part = f"{self._place.root}/{uuid.uuid4().hex}.part"
        with self._explained(f"did not take {file.name}"):
            try:
                content = file.read_bytes()
            except FileNotFoundError:
                return False  # it was brought in meanwhile
            try:
                self._place.make_folder(self._place.root)
                self._place.fs.pipe_file(part, content)
                self._place.fs.mv(part, f"{self._place.root}/{file.name}")
            except Exception:
                with suppress(Exception):
                    self._place.fs.rm_file(part)
                raise
        return True

    def _fetch(self, name: str, spool: Spool) -> bool:
        with self._explained(f"did not give {name}"):
            try:
                content: bytes = self._place.fs.cat_file(f"{self._place.root}/{name}")
            except FileNotFoundError:
                return False  # its host was faster
        try:
            verify(content)
        except Damaged as error:
            raise BenchError(f"{self.shown}/{name} stays where it is: {error}") from error
        if spool.has_set_aside(name, content):
            return False
        spool.take_in(name, content)
        return True

    def _remove(self, name: str) -> bool:
        with self._explained(f"did not let {name} be removed"), suppress(FileNotFoundError):
            self._place.fs.rm_file(f"{self._place.root}/{name}")
        return True

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # every file system has its own
            raise self._place.unusable(what, error) from error

    def _in_time(self, work: Callable[[], T]) -> T:
        """Do it in a thread that nobody waits for any longer than that."""
        done: list[T] = []
        refused: list[BenchError] = []

        def run() -> None:
            try:
                done.append(work())
            except BenchError as error:
                refused.append(error)
            except Exception as error:
                refused.append(BenchError(f"{WHAT} {self.shown} cannot be used: {reason_of(error)}"))

        if self._url not in _silent:
            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            thread.join(ANSWER_TIMEOUT_S)
        if refused:
            raise refused[0]
        if not done:
            _silent.add(self._url)
            raise BenchError(f"{WHAT} {self.shown} did not answer within {ANSWER_TIMEOUT_S:g} s")
        return done[0]


@contextmanager
def with_copies(spool: Spool, url: str | None) -> Iterator[None]:
    """After the block, what waits in the spool has a copy, and what the database took has none.

    ``url`` is the place for copies; ``None``: there is none. What was set aside meanwhile keeps its copy,
    which may be whole where the file was not.
    """
    if url is None:
        yield
        return
    before, aside = _waiting(spool), _set_aside(spool)
    yield
    left = _waiting(spool)
    gone = before - left - {name for name, _ in _set_aside(spool) - aside}
    if left or gone:
        with _never_worth_a_result():
            copies = SpoolCopies(url)
            # A later record of an attempt takes the place of an earlier one: not before it has a copy itself.
            copies.put(spool.pending())
            copies.remove(sorted(gone))


def replay_all(spool: Spool, repository: Repository, url: str | None) -> ReplayReport:
    """Bring in what waits in a spool, and then all that has a copy, whichever host made it."""
    with with_copies(spool, url):
        own = spool.replay(repository)
    if url is None or own.stopped_by is not None:
        return own
    refused = None
    try:
        SpoolCopies(url).fetch(spool)
    except BenchError as error:
        log.warning("%s", error)
        refused = error
    with with_copies(spool, url):
        others = spool.replay(repository)
    return replace(
        others,
        replayed=own.replayed + others.replayed,
        poisoned=own.poisoned + others.poisoned,
        copies_refused=refused,
    )


def _each(subjects: Iterable[T], work: Callable[[T], bool]) -> int:
    """Do it to every one; returns how many times it was done. The first refusal is raised at the end."""
    count, refused = 0, None
    for subject in subjects:
        try:
            count += work(subject)
        except BenchError as error:
            refused = refused or error
    if refused is not None:
        raise refused
    return count


def _waiting(spool: Spool) -> frozenset[str]:
    return frozenset(path.name for path in spool.pending())


def _set_aside(spool: Spool) -> frozenset[tuple[str, int]]:
    """Name and inode of what was set aside: the same name may come again."""
    found = set()
    for path in spool.set_aside_files():
        with suppress(FileNotFoundError):
            found.add((path.name, path.stat().st_ino))
    return frozenset(found)


@contextmanager
def _never_worth_a_result() -> Iterator[None]:
    try:
        yield
    except BenchError as error:
        log.warning("%s", error)
