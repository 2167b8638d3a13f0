"""The store of compiled programs: a folder, a bucket or whatever else fsspec can reach.

A program is addressed by its key, a hash of everything that shapes it. Below the key each upload has a
folder of its own, and its manifest is written last: what has no manifest does not exist, and two hosts that
compile the same program at the same time never touch each other's files::

    <url>/<key>/<upload>/model_batch_size_4.pt   the program
    <url>/<key>/<upload>/reference.npz           example inputs, and the CPU's fp32 output for them
    <url>/<key>/<upload>/manifest.json           what it is, with the checksums of the two

Beside the programs lie the raw samples of the measurements, each file written once::

    <url>/samples/<sweep>/<name>.npz
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from fsspec.implementations.local import LocalFileSystem
from pydantic import ValidationError

from benchlib.checksums import file_sha256
from benchlib.errors import BenchError
from benchlib.places import Place
from benchlib.results import ArtifactRef, Environment, Result

log = logging.getLogger(__name__)

ARTIFACT_FORMAT: Final = 1
"""Part of every key. Raise it when the layout above changes, or the module that `benchlib.models` hands to
the compiler: then no older program is found."""

SWEEP_BYTES: Final = 10 * 10**9
"""Ten batch sizes of BERT-base with their weights inside, the compiler's own files, and some room."""

SAMPLES = "samples"
MANIFEST = "manifest.json"
REFERENCE = "reference.npz"

Pairs = tuple[tuple[str, str], ...]


class ArtifactCorrupt(BenchError):
    """A stored file is not the one that was stored."""


class Ingredients(Result):
    """Everything that shapes a compiled program. Two equal ones are the same program."""

    artifact_format: Literal[1] = ARTIFACT_FORMAT
    model: Pairs
    inputs: Pairs
    """Name, and dtype with shape, in calling order: ("input_ids", "int64[4,128]")."""
    backend: str
    precision: Literal["fp32", "bf16"]
    compiler_args: tuple[str, ...]
    versions: Pairs
    traits: Pairs


class Manifest(Result):
    """What a stored program is, where its files' checksums are, and how it came about."""

    artifact: ArtifactRef
    reference_sha256: str
    batch_size: int
    ingredients: Ingredients
    compile_duration_s: float
    peak_rss_bytes: int | None
    environment: Environment
    applied_flags: tuple[str, ...] = ()
    """What the compiler's own command line was seen to have; empty where it cannot be seen."""
    warnings: tuple[str, ...] = ()
    """What had to be said of this program when it was compiled."""


@dataclass(frozen=True)
class Bundle:
    """The local files of a program, checksums verified."""

    program: Path
    reference: Path
    manifest: Manifest


@dataclass(frozen=True)
class _Upload:
    folder: str
    manifest: Manifest


def artifact_key(ingredients: Ingredients) -> str:
    """SHA-256 over the ingredients as canonical JSON."""
    text = json.dumps(ingredients.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class ArtifactStore:
    """The compiled programs at an fsspec URL, such as ``file:///srv/artifacts`` or ``s3://bucket/path``.

    What the file system needs beside the URL, such as credentials, it takes from its own variables.

    Raises:
        BadInput: no file system knows this URL, or the package for it is not installed.
        BenchError: it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self._place = Place(
            url,
            what="the artifact store",
            field="artifact_url",
            variable="BENCH_ARTIFACT_URL",
            then="run it again",
        )
        self.shown = self._place.shown
        """The URL without passwords."""
        self._fs, self._root = self._place.fs, self._place.root

    def probe(self) -> None:
        """Write and remove a small file.

        Raises:
            BadInput: the place is not there, or nothing may be written there.
            BenchError: it cannot be reached, or is full.
        """
        self._place.probe()

    def find(self, key: str) -> Manifest | None:
        """The manifest of a complete program with this key; its files' content is not looked at.

        Raises:
            BenchError: the store cannot be read.
        """
        return next((upload.manifest for upload in self._uploads(key)), None)

    def put(self, program: Path, reference: Path, manifest: Manifest) -> None:
        """Store a program. It exists from the moment at which its manifest is in place.

        Raises:
            BenchError: the store does not take it, for instance because it is full.
        """
        folder = f"{self._root}/{manifest.artifact.key}/{uuid.uuid4().hex[:12]}"
        try:
            self._place.make_folder(folder)
            self._fs.put_file(str(program), f"{folder}/{manifest.artifact.filename}")
            self._fs.put_file(str(reference), f"{folder}/{REFERENCE}")
            self._fs.pipe_file(f"{folder}/{MANIFEST}.part", manifest.model_dump_json(indent=1).encode())
            self._fs.mv(f"{folder}/{MANIFEST}.part", f"{folder}/{MANIFEST}")
        except Exception as error:
            with suppress(Exception):  # nobody would find it, but it takes room
                self._fs.rm(folder, recursive=True)
            raise self._place.unusable(f"did not take {manifest.artifact.filename}", error) from error

    def fetch(self, ref: ArtifactRef, into: Path) -> Bundle:
        """Bring a program's files to this host: used in place from a local store, else copied to ``into``.

        Raises:
            BenchError: the store does not have it or cannot be read, or it does not fit into ``into``.
            ArtifactCorrupt: a file is gone or differs from what was stored.
        """
        upload = self._upload_of(ref)
        program = self._localise(upload, ref.filename, ref.sha256, into)
        reference = self._localise(upload, REFERENCE, upload.manifest.reference_sha256, into)
        return Bundle(program, reference, upload.manifest)

    def discard(self, ref: ArtifactRef) -> None:
        """Remove a program, its manifest first. Whoever comes second finds nothing left to do."""
        for upload in self._uploads(ref.key):
            if upload.manifest.artifact == ref:
                try:
                    self._fs.rm_file(f"{upload.folder}/{MANIFEST}")
                    self._fs.rm(upload.folder, recursive=True)
                except FileNotFoundError:
                    continue
                except Exception as error:
                    raise self._place.unusable(f"did not let {ref.filename} be removed", error) from error

    def put_samples(self, file: Path, sweep: str, name: str) -> str:
        """Store the raw samples of one measurement; returns their URL, without passwords.

        Raises:
            BenchError: the store does not take them, for instance because it is full.
        """
        folder = f"{self._root}/{SAMPLES}/{sweep}"
        try:
            self._place.make_folder(folder)
            self._fs.put_file(str(file), f"{folder}/{name}.part")
            self._fs.mv(f"{folder}/{name}.part", f"{folder}/{name}")
        except Exception as error:
            with suppress(Exception):
                self._fs.rm_file(f"{folder}/{name}.part")
            raise self._place.unusable(f"did not take {name}", error) from error
        return f"{self.shown.rstrip('/')}/{SAMPLES}/{sweep}/{name}"

    def _uploads(self, key: str) -> Iterator[_Upload]:
        try:
            paths = sorted(self._fs.glob(f"{self._root}/{key}/*/{MANIFEST}"))
            contents = {path: self._content(path) for path in paths}
        except Exception as error:
            raise self._place.unusable("cannot be read", error) from error
        for path, content in contents.items():
            try:
                manifest = Manifest.model_validate_json(content)
            except ValidationError:
                log.warning("unreadable manifest ignored: %s", path)
                continue
            yield _Upload(path.rpartition("/")[0], manifest)

    def _content(self, path: str) -> bytes:
        try:
            content: bytes = self._fs.cat_file(path)
        except FileNotFoundError:
            return b""  # removed since it was listed
        return content

    def _upload_of(self, ref: ArtifactRef) -> _Upload:
        for upload in self._uploads(ref.key):
            if upload.manifest.artifact == ref:
                return upload
        raise BenchError(f"the artifact store {self.shown} has no program {ref.filename} ({ref.sha256[:12]})")

    def _localise(self, upload: _Upload, name: str, sha256: str, into: Path) -> Path:
        stored = f"{upload.folder}/{name}"
        is_here = isinstance(self._fs, LocalFileSystem)
        path = Path(stored) if is_here else into / name
        try:
            if not is_here:
                self._fs.get_file(stored, str(path))
            found = file_sha256(path)
        except FileNotFoundError as error:
            raise ArtifactCorrupt(f"{name} is missing from the artifact store: {stored}") from error
        except Exception as error:
            raise self._place.unusable(f"did not bring {name} to {path.parent}", error) from error
        if found != sha256:
            raise ArtifactCorrupt(
                f"{name} in the artifact store is not what was stored: its SHA-256 is {found[:12]}..., "
                f"{sha256[:12]}... was expected ({stored})"
            )
        return path
