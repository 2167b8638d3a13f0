"""The C++ loop for TorchScript replicas.

Without a compiler, or for replicas that are not TorchScript, the Python loop does the same work.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from benchlib.loadgen import extension
from benchlib.loadgen.extension import NativeUnavailable

__all__ = ["NativeUnavailable", "is_torchscript", "load_extension"]

SOURCE = Path(__file__).with_name("native.cpp")


@lru_cache(maxsize=1)
def load_extension() -> ModuleType:
    """The compiled extension; builds it on first use (about half a minute).

    Raises:
        NativeUnavailable: there is no compiler, no Python headers, or the build failed.
    """
    return extension.load(SOURCE, "benchlib_native")


def is_torchscript(replica: object) -> bool:
    """True for what the C++ loop can drive."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(replica, torch.jit.ScriptModule)
