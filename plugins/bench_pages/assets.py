"""Style, scripts and the chart library: everything comes from this machine.

Each file has a digest of its content in its address, so that a browser may keep it for good.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from benchlib.settings import Settings

HERE = Path(__file__).parent / "static"
KINDS: Mapping[str, str] = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
VEGA = "vega.js"
FOR_GOOD = "private, max-age=31536000, immutable"

_DIGEST_CHARS = 16
_BUNDLE = "import sys; from benchlib.report.charts import javascript; sys.stdout.write(javascript())"
_BUNDLING = threading.Lock()


@cache
def content(name: str) -> bytes:
    """What a file holds.

    Raises:
        KeyError: there is no such file.
    """
    if name == VEGA:
        return vega_bundle(Settings.from_environment().home / "pages").encode()
    if name not in {path.name for path in HERE.iterdir()} or Path(name).suffix not in KINDS:
        raise KeyError(name)
    return (HERE / name).read_bytes()


@cache
def digest(name: str) -> str:
    """The part of the address that changes with the content; of the library, with its version."""
    what = version("vl-convert-python").encode() if name == VEGA else content(name)
    return hashlib.sha256(what).hexdigest()[:_DIGEST_CHARS]


def address(name: str) -> str:
    """Where a page finds the file, relative to the pages."""
    return f"static/{digest(name)}/{name}"


def kind(name: str) -> str:
    """The media type of a file."""
    return KINDS[Path(name).suffix]


def vega_bundle(folder: Path) -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, kept in ``folder`` where that can be written.

    A process of its own makes it: the JavaScript engine would stay in the server's memory, 100 MB of it.
    """
    kept = folder / f"vega-{version('vl-convert-python')}.js"
    with _BUNDLING:
        if kept.exists():
            return kept.read_text()
        made = subprocess.run(
            [sys.executable, "-c", _BUNDLE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        _keep(kept, made)
    return made


def _keep(path: Path, text: str) -> None:
    """Never half written; a folder that cannot be written costs time, not the page."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as unfinished:
            made = Path(unfinished.name)
            try:
                unfinished.write(text)
                unfinished.flush()
                made.replace(path)
            except OSError:
                made.unlink(missing_ok=True)
                raise
