"""`trace`: runs a compiler process, then loads what it made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from neuron_standin import host
from neuron_standin.faults import configured, strikes
from neuron_standin.sdk import current

from . import _program

TARGET_OVERRIDE = "NEURON_PLATFORM_TARGET_OVERRIDE"
# The libraries look when they are imported: what is set later is not seen.
_TARGET_AT_IMPORT = os.environ.get(TARGET_OVERRIDE, "")

NO_DEVICE = (
    "Bad StatusOr access: INVALID_ARGUMENT: PJRT_Client_Create: error condition nullptr != "
    "(args)->client->Error(): Init: error condition !(num_devices > 0)"
)
NO_TARGET = (
    "If you want to compile on CPU, please supply compiler argument target, with one of options trn1, inf2, "
    'trn1n, or trn2. Ex: "--target trn1"'
)


class _AsModule(torch.nn.Module):
    def __init__(self, func: Callable[..., Any]) -> None:
        super().__init__()
        self.func = func

    def forward(self, *inputs: Any) -> Any:
        return self.func(*inputs)


def _trace(
    func: Callable[..., Any],
    example_inputs: Any,
    *_: Any,
    input_output_aliases: Any = {},  # noqa: B006 - as it is declared there
    compiler_workdir: str | os.PathLike[str] | None = None,
    compiler_args: str | list[str] | None = None,
    partitioner_config: Any = None,
    inline_weights_to_neff: bool = True,
    cpu_backend: bool = False,
) -> Any:
    if _:
        warnings.warn(
            "Using args for kwargs is no longer supported, it is likely to become an error", stacklevel=2
        )
    example = (example_inputs,) if isinstance(example_inputs, torch.Tensor) else tuple(example_inputs)
    flags = _words(compiler_args)
    if cpu_backend and "--target" not in flags:
        raise RuntimeError(NO_TARGET)
    if not cpu_backend and not host.topology().devices:
        raise RuntimeError(NO_DEVICE)
    _run_compiler(Path(compiler_workdir or tempfile.mkdtemp(prefix="neuron-standin-")), flags)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        module = func if isinstance(func, torch.nn.Module) else _AsModule(func)
        program = torch.jit.trace(module, example, check_trace=False, strict=False)
        shell = _program.make_shell(program, example, casts=_casts(flags))
    if not cpu_backend:
        _program.load(shell)
    return shell


def _trace_without_cpu_backend(
    func: Callable[..., Any],
    example_inputs: Any,
    *_: Any,
    input_output_aliases: Any = {},  # noqa: B006
    compiler_workdir: str | os.PathLike[str] | None = None,
    compiler_args: str | list[str] | None = None,
    partitioner_config: Any = None,
    inline_weights_to_neff: bool = True,
) -> Any:
    return _trace(func, example_inputs, *_, compiler_workdir=compiler_workdir, compiler_args=compiler_args)


trace = _trace if current().has_cpu_backend else _trace_without_cpu_backend
trace.__name__ = trace.__qualname__ = "trace"


def _words(compiler_args: str | list[str] | None) -> list[str]:
    if isinstance(compiler_args, str):
        warnings.warn("compiler_args as a string is discouraged, pass a list", stacklevel=3)
        return compiler_args.split()
    return list(compiler_args or ())


def _casts(flags: list[str]) -> bool:
    if "--auto-cast" in flags:
        return flags[flags.index("--auto-cast") + 1] != "none"
    return current().casts_by_default


def _run_compiler(workdir: Path, flags: list[str]) -> None:
    workdir.mkdir(parents=True, exist_ok=True)
    if strikes(configured().get("compile_segfault")):
        os.kill(os.getpid(), signal.SIGSEGV)
    command = [sys.executable, "-S", "-m", "neuron_standin.neuronx_cc", str(workdir), *flags]
    status = subprocess.run(command, env={**os.environ, TARGET_OVERRIDE: _TARGET_AT_IMPORT}).returncode
    if status:
        raise RuntimeError(f"neuronx-cc failed with {status}")
