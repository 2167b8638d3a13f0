"""A disk that is really full, for one child process: a tmpfs of a few pages, in namespaces of its own.

That needs no root. Where a system forbids such namespaces, the child may write no file above the same size
instead: the kernel then refuses in the same place, with another word.
"""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.dataplane import ROOT

NO_ROOM = r"(No space left on device|File too large)"
"""What a full disk is called by the kernel, in either way."""

NAMESPACES = ["unshare", "--map-root-user", "--mount", "--"]

_CALL = (
    "import importlib, json, sys; "
    "job = getattr(importlib.import_module(sys.argv[1]), sys.argv[2]); "
    "print('FACTS', json.dumps(job(*sys.argv[3:])))"
)
_MOUNT = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && shift 2 && exec "$@"'


def on_full_disk(disk: Path, room_bytes: int, job: Callable[..., Any], *arguments: object) -> Any:
    """What ``job(disk, *arguments)`` returns, all given as strings, where ``disk`` holds no more than that.

    The job is a function of a module of the tests; what it leaves on the disk is gone at the end.
    """
    disk.mkdir()
    call = [sys.executable, "-c", _CALL, job.__module__, job.__name__, str(disk), *map(str, arguments)]
    done = subprocess.run(
        [*_limits(disk, room_bytes), *call], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("FACTS ")[2])


def fill(disk: Path) -> None:
    """Take what room is left."""
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _limits(disk: Path, room_bytes: int) -> Sequence[str]:
    if _may_mount():
        return [*NAMESPACES, "sh", "-c", _MOUNT, "sh", str(room_bytes), str(disk)]
    return ["prlimit", f"--fsize={room_bytes}", "--"]


@functools.cache
def _may_mount() -> bool:
    try:
        return subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
