"""``neuronx-cc``: writes its log, prints its dots, takes some memory, and fails when told to."""

from __future__ import annotations

import os
import platform
import signal
import sys
import time
from pathlib import Path

from .faults import configured, strikes
from .sdk import current

MEMORY_VARIABLE = "NEURON_STANDIN_COMPILE_BYTES"
DURATION_VARIABLE = "NEURON_STANDIN_COMPILE_S"


def main(arguments: list[str]) -> int:
    if "--version" in arguments:
        print(
            f"NeuronX Compiler version {current().neuronx_cc}\n\nPython version {platform.python_version()}"
        )
        return 0
    workdir, *flags = arguments
    ballast = bytearray(b"x") * int(os.environ.get(MEMORY_VARIABLE, "0"))
    print("." * 20, flush=True)
    time.sleep(float(os.environ.get(DURATION_VARIABLE, "0")))
    override = os.environ.get("NEURON_PLATFORM_TARGET_OVERRIDE", "")
    faults = configured()
    if strikes(faults.get("flags_lost")):
        flags = [flag for flag in flags if not flag.startswith("-O")]
    command = f"/opt/bin/neuronx-cc compile {workdir}/graph.hlo --framework XLA {' '.join(flags)}"
    if strikes(faults.get("command_unlogged")):
        command = "NeuronX Compiler"
    lines = [
        f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} INFO {os.getpid()} [root]: {command}",
        f"platform target override: {override}",
    ]
    if strikes(faults.get("compile_hang")):
        signal.pause()
    if strikes(faults.get("compile_killed")):
        os.kill(os.getpid(), signal.SIGKILL)
    failed = strikes(faults.get("compile_error"))
    lines.append(
        "[NCC_EVRF001] an operator of this graph is not supported" if failed else "Compiler status PASS"
    )
    (Path(workdir) / "log-neuron-cc.txt").write_text("\n".join(lines) + "\n")
    print(f"Compiler status {'ERROR' if failed else 'PASS'}", flush=True)
    del ballast
    return 70 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
