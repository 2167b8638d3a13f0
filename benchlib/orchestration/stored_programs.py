"""What in the artifact store is of no more use, and its removal while sweeps may begin."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import fsspec
from sqlalchemy import Engine

from benchlib.artifacts import MANIFEST, SAMPLES, ArtifactStore
from benchlib.errors import BenchError
from benchlib.orchestration.device_lock import DeviceBusy, device_lock
from benchlib.orchestration.retention import Pruned, Rule
from benchlib.places import reason_of
from benchlib.settings import Settings
from benchlib.store.artifact_use import forget_samples, keys_used_since, open_runs
from benchlib.store.database import engine_for
from benchlib.store.spool import Spool

_UPLOAD = re.compile(r"(?P<folder>.*/(?P<key>[0-9a-f]{64})/[0-9a-f]{12})/[^/]+")
"""A file of a program; of anything else, only raw samples are ever touched."""

_SAMPLES = re.compile(rf".*/{SAMPLES}/[0-9a-f-]{{36}}/[^/]+\.npz(\.part)?")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Upload:
    """One stored program, or what an interrupted upload left of one."""

    key: str
    folder: str
    files: tuple[str, ...]
    size_bytes: int


def prune_store(settings: Settings, rule: Rule) -> Pruned:
    """Remove raw samples older than ``rule.before`` and programs that no sweep has used since; rows stay.

    Used is what the results' database says was compiled or found. A program that is asked for again is
    compiled again. Programs stay for the next time from when a sweep or a comparison has begun anywhere and
    is not finished, a step runs on this host, or results wait in this host's spool.

    Raises:
        DatabaseUnreachable: what is used is not known; nothing is removed.
        BenchError: the store cannot be read, or lets nothing be removed.
    """
    pruned, engine = Pruned(), engine_for(settings)
    shown = ArtifactStore(settings.artifact_url).shown
    try:
        used = keys_used_since(engine, rule.before)
        # As in `ArtifactStore`: others write there too.
        fs, root = fsspec.core.url_to_fs(settings.artifact_url, use_listings_cache=False)
        _remove_samples(fs, root, shown, rule, pruned, engine)
        for upload in _old(fs, root, rule, used):
            obstacle = _obstacle(engine, settings)
            if obstacle:
                log.info("what else is old stays for the next time: %s", obstacle)
                break
            # Somebody may have asked for it since the store was listed.
            if upload.key in keys_used_since(engine, rule.before):
                continue
            if rule.dry_run or _removed(fs, upload, settings):
                pruned.note(
                    f"{shown.rstrip('/')}{upload.folder[len(root) :]}",
                    upload.size_bytes,
                    dry_run=rule.dry_run,
                )
    except BenchError:
        raise
    except Exception as error:  # every file system has its own exceptions for its own refusals
        raise BenchError(f"what is old in {shown} could not be removed: {reason_of(error)}") from error
    finally:
        engine.dispose()
    return pruned


def _remove_samples(fs: Any, root: str, shown: str, rule: Rule, pruned: Pruned, engine: Engine) -> None:
    gone = []
    found: dict[str, dict[str, Any]] = fs.find(f"{root}/{SAMPLES}", detail=True)
    try:
        for path, status in sorted(found.items()):
            if _SAMPLES.fullmatch(path) and _is_old(fs, path, rule):
                if not rule.dry_run:
                    with suppress(FileNotFoundError):  # another run of this was faster
                        fs.rm_file(path)
                gone.append(f"{shown.rstrip('/')}{path[len(root) :]}")
                pruned.note(gone[-1], status["size"] or 0, dry_run=rule.dry_run)
    finally:
        # However the removal ends, no row may name what is not there.
        if gone and not rule.dry_run:
            forget_samples(engine, gone)


def _old(fs: Any, root: str, rule: Rule, used: frozenset[str]) -> Iterator[_Upload]:
    for upload in _uploads(fs, root):
        if upload.key not in used and all(_is_old(fs, path, rule) for path in upload.files):
            yield upload


def _uploads(fs: Any, root: str) -> Iterator[_Upload]:
    files: dict[tuple[str, str], dict[str, int]] = {}
    found: dict[str, dict[str, Any]] = fs.find(root, detail=True)
    for path, status in found.items():
        match = _UPLOAD.fullmatch(path)
        if match:
            files.setdefault((match["key"], match["folder"]), {})[path] = status["size"] or 0
    for (key, folder), sizes in sorted(files.items()):
        # The manifest first: without it the program does not exist, whatever happens to the rest.
        names = sorted(sizes, key=lambda path: (not path.endswith(f"/{MANIFEST}"), path))
        yield _Upload(key, folder, tuple(names), sum(sizes.values()))


def _is_old(fs: Any, path: str, rule: Rule) -> bool:
    try:
        touched: datetime = fs.modified(path)
    except FileNotFoundError:
        return False  # another run of this was faster
    return rule.is_old((touched if touched.tzinfo else touched.replace(tzinfo=UTC)).timestamp())


def _obstacle(engine: Engine, settings: Settings) -> str:
    """Why nothing may be removed now; empty: nothing speaks against it. Asked again before each removal."""
    if Spool(settings.spool_dir).pending():
        return "results wait in the spool, so that it is not known what they used"
    running = open_runs(engine)
    return f"run {running[0]} is not finished" if running else ""


def _removed(fs: Any, upload: _Upload, settings: Settings) -> bool:
    """Whether it is gone; false: a step runs on this host."""
    what = "removal of an old program"
    try:
        with device_lock(settings.device_lock, exclusive=True, what=what, timeout_s=0):
            for path in upload.files:
                fs.rm_file(path)
            if fs.exists(upload.folder):  # a folder of its own, where the store has such
                fs.rm(upload.folder, recursive=True)
    except DeviceBusy as busy:
        log.info("%s stays for the next time: %s", upload.folder, busy)
        return False
    except FileNotFoundError:
        return False  # another run of this was faster
    return True
