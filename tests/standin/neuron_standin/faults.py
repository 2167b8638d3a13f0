"""What goes wrong on purpose, told by ``NEURON_STANDIN_FAULTS``: names with commas between.

Each name may carry a value, the number of executions of its process after which it begins, and how often in
all, counted over all processes of the host: ``wrong=4``, ``timeout@100``, ``compile_killed#1``.

compile_killed, compile_error, compile_segfault, compile_hang: the compiler
flags_lost, command_unlogged: it runs without the -O that it was given; its log does not show its command line
cores_taken, device_memory: loading
timeout, sram_error, hbm_error, hang, segfault: executing
nan, wrong=BATCH: outputs (of that batch size and larger ones)
slow_core=CORE:FACTOR: service time of one core of the host
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from .host import root

VARIABLE = "NEURON_STANDIN_FAULTS"
_COMPILING = (
    "compile_killed", "compile_error", "compile_segfault", "compile_hang", "flags_lost", "command_unlogged",
)  # fmt: skip
_LOADING = ("cores_taken", "device_memory")
_EXECUTING = ("timeout", "sram_error", "hbm_error", "hang", "segfault", "nan", "wrong", "slow_core")
NAMES = frozenset((*_COMPILING, *_LOADING, *_EXECUTING))
_FAULT = re.compile(r"(\w+)(?:=([\w.:]+))?(?:@(\d+))?(?:#(\d+))?")


@dataclass(frozen=True)
class Fault:
    name: str
    value: str
    after: int
    times: int | None


def _parse(text: str) -> Fault:
    match = _FAULT.fullmatch(text)
    if not match or match[1] not in NAMES:
        raise ValueError(f"{VARIABLE}: {text!r} is not a fault that the stand-in knows")
    return Fault(match[1], match[2] or "", int(match[3] or 0), int(match[4]) if match[4] else None)


def configured() -> dict[str, Fault]:
    faults = map(_parse, filter(None, os.environ.get(VARIABLE, "").split(",")))
    return {fault.name: fault for fault in faults}


def strikes(fault: Fault | None, executions: int = 0) -> bool:
    """Whether a configured fault happens now; counts it where its number is limited."""
    if fault is None or executions < fault.after:
        return False
    if fault.times is None:
        return True
    for number in range(fault.times):
        try:
            os.close(os.open(root() / "run" / f"{fault.name}-{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        return True
    return False
