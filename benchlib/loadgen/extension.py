"""C++ extensions of the data plane: built once against this interpreter's own torch, then cached."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from benchlib.errors import BenchError

BUILD_TIMEOUT_S = 600


class NativeUnavailable(BenchError):
    """Why C++ code cannot be had here, in one sentence."""


def load(source: Path, name: str) -> ModuleType:
    """Import the extension ``name`` that ``source`` defines; builds it on first use (about half a minute).

    Raises:
        NativeUnavailable: there is no compiler, no Python headers, or the build failed.
    """
    import torch  # its libraries must be loaded before the extension's

    try:
        library = _cache_dir() / f"{name}_{_build_key(source, torch.__version__)}.so"
        if not library.exists():
            _build(source, name, library)
    except (OSError, subprocess.TimeoutExpired) as cause:
        raise NativeUnavailable(f"{source.name} could not be built: {cause}") from cause
    spec = importlib.util.spec_from_file_location(name, library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(base) / "benchlib"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _build_key(source: Path, torch_version: str) -> str:
    parts = (source.read_text(), torch_version, sys.version, sysconfig.get_platform())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _build(source: Path, name: str, library: Path) -> None:
    compiler = _compiler()
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        raise NativeUnavailable("no Python headers: install python3-dev")
    # Built beside and renamed: two processes may build at once, and neither may load half a file.
    with tempfile.TemporaryDirectory(dir=library.parent) as workdir:
        built = Path(workdir) / library.name
        done = subprocess.run(
            [*compiler, *_flags(name), str(source), "-o", str(built), *_libraries()],
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            why = _first_error(done.stderr) or f"{compiler[0]} exited with status {done.returncode}"
            raise NativeUnavailable(f"{source.name} did not build: {why}")
        built.replace(library)


def _compiler() -> Sequence[str]:
    """``CXX`` may be a command with arguments, such as ``ccache g++``."""
    asked = shlex.split(os.environ.get("CXX", ""))
    candidates = [asked] if asked else [["g++"], ["clang++"]]
    for command in candidates:
        if shutil.which(command[0]):
            return command
    where = f"CXX names {asked[0]}, which cannot be run" if asked else "install g++ or name one in CXX"
    raise NativeUnavailable(f"no C++ compiler: {where}")


def _flags(name: str) -> Sequence[str]:
    import torch
    from torch.utils import cpp_extension

    includes = [*cpp_extension.include_paths(), sysconfig.get_paths()["include"]]
    abi = int(torch._C._GLIBCXX_USE_CXX11_ABI)
    return [
        "-O2", "-std=c++20", "-shared", "-fPIC", "-w", "-pthread",
        f"-D_GLIBCXX_USE_CXX11_ABI={abi}",
        f"-DTORCH_EXTENSION_NAME={name}",
        *(f"-I{path}" for path in includes),
    ]  # fmt: skip


def _libraries() -> Sequence[str]:
    import torch

    directory = Path(torch.__file__).parent / "lib"
    return [f"-L{directory}", f"-Wl,-rpath,{directory}", "-ltorch_python", "-ltorch", "-ltorch_cpu", "-lc10"]


def _first_error(stderr: str) -> str:
    return next((line for line in stderr.splitlines() if "error" in line), stderr[-300:]).strip()
