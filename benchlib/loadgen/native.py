"""The C++ loop for TorchScript replicas: built once against this interpreter's own torch, then cached.

Without a compiler, or for replicas that are not TorchScript, the Python loop does the same work; `available`
says which it is and why.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType

SOURCE = Path(__file__).with_name("native.cpp")
BUILD_TIMEOUT_S = 600


class NativeUnavailable(Exception):
    """Why the C++ loop cannot be had here, in one sentence."""


@lru_cache(maxsize=1)
def load_extension() -> ModuleType:
    """The compiled extension; builds it on first use (about half a minute).

    Raises:
        NativeUnavailable: there is no compiler, no Python headers, or the build failed.
    """
    import torch  # its libraries must be loaded before the extension's

    library = _cache_dir() / f"benchlib_native_{_build_key(torch.__version__)}.so"
    if not library.exists():
        _build(library)
    spec = importlib.util.spec_from_file_location("benchlib_native", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_torchscript(replica: object) -> bool:
    """True for what the C++ loop can drive."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(replica, torch.jit.ScriptModule)


def _cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(base) / "benchlib"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _build_key(torch_version: str) -> str:
    parts = (SOURCE.read_text(), torch_version, sys.version, sysconfig.get_platform())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _build(library: Path) -> None:
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        raise NativeUnavailable("no C++ compiler: install g++ for the native loop")
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        raise NativeUnavailable("no Python headers: install python3-dev for the native loop")
    # Built beside and renamed: two processes may build at once, and neither may load half a file.
    with tempfile.TemporaryDirectory(dir=library.parent) as workdir:
        built = Path(workdir) / library.name
        done = subprocess.run(
            [compiler, *_flags(), str(SOURCE), "-o", str(built), *_libraries()],
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise NativeUnavailable(f"the native loop did not build: {_first_error(done.stderr)}")
        built.replace(library)


def _flags() -> Sequence[str]:
    import torch
    from torch.utils import cpp_extension

    includes = [*cpp_extension.include_paths(), sysconfig.get_paths()["include"]]
    abi = int(torch._C._GLIBCXX_USE_CXX11_ABI)
    return [
        "-O2", "-std=c++20", "-shared", "-fPIC", "-w",
        f"-D_GLIBCXX_USE_CXX11_ABI={abi}",
        "-DTORCH_EXTENSION_NAME=benchlib_native",
        *(f"-I{path}" for path in includes),
    ]  # fmt: skip


def _libraries() -> Sequence[str]:
    import torch

    directory = Path(torch.__file__).parent / "lib"
    return [f"-L{directory}", f"-Wl,-rpath,{directory}", "-ltorch_python", "-ltorch", "-ltorch_cpu", "-lc10"]


def _first_error(stderr: str) -> str:
    return next((line for line in stderr.splitlines() if "error" in line), stderr[-300:]).strip()
