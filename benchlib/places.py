"""A folder or bucket that fsspec can reach, and what its refusals mean to a person."""

from __future__ import annotations

import errno
import re
import uuid
from contextlib import suppress
from typing import Any, Final

import fsspec

from benchlib.errors import BadInput, BenchError

_WITHOUT_FOLDERS: Final = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "az"})
"""Object stores. A folder made there would be a bucket, perhaps out of a slip of the pen."""

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_SECRETS = re.compile(r"(?<=//)[^/@\s]+(?=@)|(?<=\?)[^\s\"']+")
"""User and password of a URL, and its query, where signatures stand."""


def shown_url(url: str) -> str:
    """A URL without passwords."""
    return _SECRETS.sub("...", url)


class Place:
    """What is at a URL such as ``file:///srv/artifacts`` or ``s3://bucket/path``.

    What the file system needs beside the URL, such as credentials, it takes from its own variables. ``what``
    is what people call the place, ``field`` what names it in a complaint, ``variable`` what sets it, ``then``
    what is to be done when a refusal has been mended.

    Raises:
        BadInput: no file system knows this URL, or the package for it is not installed.
        BenchError: it cannot be reached.
    """

    def __init__(self, url: str, *, what: str, field: str, variable: str, then: str = "") -> None:
        self.shown = shown_url(url)
        """The URL without passwords."""
        self._what, self._field, self._variable, self._then = what, field, variable, then
        self.fs: Any
        try:
            # Other hosts write there too: a listing from memory would not have their files.
            self.fs, self.root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise BadInput(field, self.shown, f"a URL that fsspec can open ({error})") from error
        except Exception as error:  # some connect at once
            raise self.unusable("cannot be opened", error) from error

    def probe(self) -> None:
        """Write and remove a small file.

        Raises:
            BadInput: the place is not there, or nothing may be written there.
            BenchError: it cannot be reached, or is full.
        """
        path = f"{self.root}/.probe-{uuid.uuid4().hex}"
        try:
            self.make_folder(self.root)
            self.fs.pipe_file(path, b"probe")
            self.fs.rm_file(path)
        except (FileNotFoundError, FileExistsError, NotADirectoryError, PermissionError) as error:
            allowed = f"a URL that can be written ({reason_of(error)})"
            raise BadInput(self._field, self.shown, allowed) from error
        except Exception as error:  # every file system has its own exceptions for its own refusals
            with suppress(Exception):
                self.fs.rm_file(path)
            raise self.unusable("cannot be written", error) from error

    def make_folder(self, folder: str) -> None:
        """Make a folder, where the place has such a thing."""
        if self._has_folders:
            self.fs.makedirs(folder, exist_ok=True)

    def files(self) -> tuple[str, ...]:
        """The names of what lies there; none where the folder is still to be made.

        Raises:
            FileNotFoundError: the bucket, or the folder above, is not there.
        """
        try:
            paths = self.fs.ls(self.root, detail=False)
        except FileNotFoundError:
            bucket, _, _ = self.root.partition("/")
            if not self.fs.exists(self.root.rpartition("/")[0] if self._has_folders else bucket):
                raise
            return ()
        return tuple(str(path).rstrip("/").rpartition("/")[2] for path in paths)

    @property
    def _has_folders(self) -> bool:
        protocol = self.fs.protocol
        return _WITHOUT_FOLDERS.isdisjoint([protocol] if isinstance(protocol, str) else protocol)

    def unusable(self, what: str, error: Exception) -> BenchError:
        """That the place refused something, and what mends it."""
        no_room = isinstance(error, OSError) and error.errno in _NO_ROOM
        mend = "make room there" if no_room else "see that this host can reach it and may use it"
        then = f", then {self._then}" if self._then else ""
        return BenchError(
            f"{self._what} {self.shown} {what}: {reason_of(error)}; {mend}, or set {self._variable} to "
            f"another place{then}"
        )


def reason_of(error: Exception) -> str:
    """What a file system says, in one line and without secrets."""
    said = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return _SECRETS.sub("...", " ".join(said.split()))
