"""Second copies of what waits in the spool of a host, at a place that outlives the host.

A result is on its host's disk before anything else. While the database is away, that disk is all that has it:
so what waits is copied, under the same name, to the URL that ``BENCH_SPOOL_URL`` gives. A copy goes when the
database has the result; that of a host that is lost is brought in by any other. A copy is never worth a
result: where the place refuses, a warning is all that comes of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchlib.errors import BenchError
from benchlib.places import Place
from benchlib.store.repository import Repository
from benchlib.store.spool import ReplayReport, Spool

log = logging.getLogger(__name__)


class SpoolCopies:
    """The copies of all hosts, one file per record.

    Raises:
        BadInput: no file system knows this URL, or the package for it is not installed.
        BenchError: it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self._place = Place(url, what="the place for copies", field="spool_url", variable="BENCH_SPOOL_URL")

    @property
    def shown(self) -> str:
        """The URL without passwords."""
        return self._place.shown

    def probe(self) -> None:
        """Write and remove a small file.

        Raises:
            BadInput: the place is not there, or nothing may be written there.
            BenchError: it cannot be reached, or is full.
        """
        self._place.probe()

    def names(self) -> frozenset[str]:
        """The copies that are there.

        Raises:
            BenchError: the place cannot be read.
        """
        with self._explained("cannot be read"):
            paths = self._place.fs.glob(f"{self._place.root}/*.json")
        return frozenset(str(path).rpartition("/")[2] for path in paths)

    def put(self, files: Iterable[Path]) -> None:
        """Copy the files that are not there yet.

        Raises:
            BenchError: the place does not take one.
        """
        known = self.names()
        for file in files:
            if file.name not in known:
                with suppress(FileNotFoundError):  # it was brought in meanwhile
                    self._put(file.name, file.read_bytes())

    def fetch(self, spool: Spool) -> int:
        """Put the copies that a spool does not have into it; returns how many.

        Raises:
            BenchError: the place cannot be read, or the spool does not take one.
        """
        missing = sorted(self.names() - _names(spool))
        return sum(self._fetch(name, spool) for name in missing)

    def remove(self, names: Iterable[str]) -> None:
        """Remove these, as far as they are there.

        Raises:
            BenchError: the place does not let one be removed.
        """
        for name in names:
            with self._explained(f"did not let {name} be removed"), suppress(FileNotFoundError):
                self._place.fs.rm_file(f"{self._place.root}/{name}")

    def _put(self, name: str, content: bytes) -> None:
        path = f"{self._place.root}/{name}"
        with self._explained(f"did not take {name}"):
            self._place.make_folder(self._place.root)
            self._place.fs.pipe_file(f"{path}.part", content)
            self._place.fs.mv(f"{path}.part", path)

    def _fetch(self, name: str, spool: Spool) -> bool:
        with self._explained(f"did not give {name}"):
            try:
                content: bytes = self._place.fs.cat_file(f"{self._place.root}/{name}")
            except FileNotFoundError:
                return False  # its host was faster
        spool.take_in(name, content)
        return True

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # every file system has its own
            raise self._place.unusable(what, error) from error


@contextmanager
def with_copies(spool: Spool, url: str | None) -> Iterator[None]:
    """After the block, what waits in the spool has a copy, and what waits no more has none.

    ``url`` is the place for copies; ``None``: there is none.
    """
    if url is None:
        yield
        return
    before = _names(spool)
    yield
    with _never_worth_a_result():
        left = _names(spool)
        if left or before:
            copies = SpoolCopies(url)
            copies.put(spool.pending())
            copies.remove(sorted(before - left))


def replay_all(spool: Spool, repository: Repository, url: str | None) -> ReplayReport:
    """Bring in what waits in a spool, and all that has a copy, whichever host made it."""
    if url is not None:
        with _never_worth_a_result():
            SpoolCopies(url).fetch(spool)
    with with_copies(spool, url):
        return spool.replay(repository)


def _names(spool: Spool) -> frozenset[str]:
    return frozenset(path.name for path in spool.pending())


@contextmanager
def _never_worth_a_result() -> Iterator[None]:
    try:
        yield
    except BenchError as error:
        log.warning("%s", error)
