"""What a Neuron host says when something fails, what it means, and whether trying again can help.

Pure data over the standard library, so that both planes can ask: the data plane to explain an exception,
the control plane to judge a dead step by its exit status and its last lines.

The texts and numbers are those of AWS's runtime troubleshooting guide, of its ``nrt_status.h`` and of public
reports of users.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Literal

Remedy = Literal["retry_with_backoff", "retry_once_fresh_process", "never", "host_is_bad", "preflight"]
"""What to do about a failure.

``retry_with_backoff``: somebody else has what we need and will give it back.
``retry_once_fresh_process``: may be a passing state of that process; a second time it is not (see
`FailureClass.on_repeat`).
``never``: the same request fails the same way.
``host_is_bad``: discard the run and take no further work on this host until a person has looked.
``preflight``: the host is not set up; a check before the run should have said so.
"""


@dataclass(frozen=True)
class FailureClass:
    """One known failure: how to recognise it, and what to do."""

    name: str
    remedy: Remedy
    sentence: str
    """For people: what happened and what to do about it."""
    patterns: tuple[str, ...] = ()
    """Regular expressions; one that is found in the output is enough."""
    statuses: tuple[int, ...] = ()
    """Numbers of ``NRT_STATUS``, as in ``status=5 message=Timeout Exceeded``."""
    exit_codes: tuple[int, ...] = ()
    """Exit statuses of the process; a negative one is the number of the signal that ended it."""
    on_repeat: Remedy = "never"
    """What to do when the retry has failed in the same way."""

    def remedy_at(self, attempt: int) -> Remedy:
        """What to do when it is this try, from 1, that has failed so."""
        had_its_retry = self.remedy == "retry_once_fresh_process" and attempt > 1
        return self.on_repeat if had_its_retry else self.remedy


_REPLACE = "Discard the run and replace the instance."

FAILURES: tuple[FailureClass, ...] = (
    # Hardware first: a broken device brings time-outs and failed loads in its train.
    FailureClass(
        "sram_ecc",
        "host_is_bad",
        f"The chip reported an uncorrectable error in its on-chip memory. {_REPLACE}",
        (r"Uncorrectable memory error is detected", r"NEURON_HW_ERR=SRAM_UNCORRECTABLE_ERROR"),
        (1004, 1202),
    ),
    FailureClass(
        "hbm_ecc",
        "host_is_bad",
        f"The chip reported an uncorrectable error in its device memory. {_REPLACE}",
        (r"Uncorrectable HBM memory error is detected",),
        (1201,),
    ),
    FailureClass(
        "hbm_repairable",
        "host_is_bad",
        "The chip's device memory needs a repair. Discard the run, reload the Neuron driver or reboot "
        "the instance, then run again.",
        (r"Please reload the neuron driver or reboot",),
        (1205,),
    ),
    FailureClass("dma_abort", "host_is_bad", f"The chip aborted a memory transfer. {_REPLACE}", (), (1203,)),
    FailureClass(
        "device_unrecoverable",
        "host_is_bad",
        "The execution unit cannot recover by itself. Reset it with "
        "`sudo rmmod neuron; sudo modprobe neuron`, then run again.",
        (),
        (101,),
    ),
    FailureClass(
        "hardware_error",
        "host_is_bad",
        f"The runtime reported a hardware error. {_REPLACE}",
        (r"NEURON_HW_ERR=\w+",),
        (6, 1200),
    ),
    # Then what makes the runtime's general complaint ("could not be initialized") more precise.
    FailureClass(
        "driver_missing",
        "preflight",
        "The Neuron driver is not loaded. Install aws-neuronx-dkms on the host and check "
        "/sys/module/neuron/version.",
        (r"Unable to determine Neuron Driver version",),
    ),
    FailureClass(
        "driver_too_old",
        "preflight",
        "The Neuron driver is too old for this runtime. Upgrade aws-neuronx-dkms on the host, or use the "
        "environment of an older SDK.",
        (r"This runtime requires Neuron Driver version",),
    ),
    FailureClass(
        "no_device",
        "preflight",
        "No Neuron device is visible. This is not a Neuron host, or its container was started without "
        "--device=/dev/neuron0.",
        (
            r"No neuron device available",
            r"num_devices > 0",
            r"cannot determine the number of available NeuronCores",
            r"Could not open the nd\d+",
        ),
    ),
    FailureClass(
        "forked_runtime",
        "never",
        "The process was forked from one in which the Neuron runtime was up. That is a fault of whatever "
        "started it: steps must be started as fresh processes.",
        (r"NRT_STATE_CHILD",),
    ),
    FailureClass(
        "cores_taken",
        "retry_with_backoff",
        "Another process holds the NeuronCores; `neuron-ls` shows which. They come free when it ends.",
        (r"NeuronCore\(s\) not available", r"The PyTorch Neuron Runtime could not be initialized"),
        (9, 1005),
    ),
    FailureClass(
        "device_memory",
        "retry_once_fresh_process",
        "The device's memory is full. If it stays so with every other process gone, use fewer replicas or a "
        "smaller batch size.",
        (r"Failed to alloc DEVICE memory", r"message=Allocation Failure"),
        (4,),
    ),
    FailureClass(
        "execution_timeout",
        "retry_once_fresh_process",
        "The device did not finish a batch in time. Once may be chance; if a fresh process hangs too, "
        "replace the instance.",
        (r"message=Timeout Exceeded", r"execution timeout \(\d+ ms\)"),
        (5,),
        on_repeat="host_is_bad",
    ),
    FailureClass(
        "program_mismatch",
        "never",
        "The compiled program does not fit the installed runtime. Compile it again with this environment's "
        "compiler, or upgrade the runtime.",
        (r"NEFF version mismatch", r"Unsupported hardware operator code"),
        (10,),
    ),
    FailureClass(
        "notification_overflow",
        "never",
        "The device's notification queue overflowed. Set NEURON_RT_ENABLE_DGE_NOTIFICATIONS=0 and run again.",
        (r"potentially caused by DGE notifications enabled",),
        (1204,),
    ),
    FailureClass(
        "not_a_number",
        "never",
        "The model produced NaN on the device. The run is invalid: check the weights, the inputs and the "
        "auto-cast flags.",
        (r"\bnumerical error\b",),
        (1003,),
    ),
    FailureClass(
        "bad_input",
        "never",
        "The program was called with inputs that it was not compiled for: shape, type or number differ.",
        (r"input tensor name/size does not match the model",),
        (2, 1002, 1006),
    ),
    FailureClass(
        "host_memory",
        "retry_once_fresh_process",
        "The runtime ran out of the host's memory. Run fewer things beside it, or use a larger instance.",
        (),
        (11,),
    ),
    # The compiler.
    FailureClass(
        "compiler_killed",
        "retry_once_fresh_process",
        "The compiler was killed, almost certainly for want of host memory. Compile alone, add swap, or "
        "compile on a larger instance.",
        (r"neuronx-cc failed with -9\b",),
    ),
    FailureClass(
        "compiler_needs_target",
        "never",
        "Compiling without a device needs the flag --target, such as --target inf2.",
        (r"please supply compiler argument target",),
    ),
    FailureClass(
        "compiler_memory_limit",
        "never",
        "The program needs more memory than the device has. Use a smaller batch size or sequence length.",
        (r"EOOM00[12]\b",),
    ),
    FailureClass(
        "compiler_error",
        "never",
        "The compiler refused this program; its log names the reason. Another batch size, or other compiler "
        "flags, may pass.",
        (r"neuronx-cc failed with -?\d+",),
    ),
    # Last, what only the exit status tells.
    FailureClass(
        "native_crash",
        "never",
        "The process crashed in native code. Known for some models under SDK 2.27 and later; another SDK "
        "may work.",
        (),
        (),
        (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL),
    ),
    FailureClass(
        "killed",
        "retry_once_fresh_process",
        "The process was killed by SIGKILL; without a person behind it, that is the kernel's answer to a "
        "lack of memory (see dmesg).",
        (),
        (),
        (-signal.SIGKILL,),
    ),
)
"""All known failures. The first that fits is the answer, so the more precise stand first."""

_STATUS = re.compile(r"\bstatus=(\d+)\s+message=")
_SHELL_SIGNAL_BASE = 128


def classify(text: str, exit_code: int | None = None) -> FailureClass | None:
    """Recognise a failure by what was printed and how the process ended; ``None`` when it is unknown.

    Args:
        text: an exception's message or the last lines of a log. More is better: what the runtime logs is
            often more precise than the exception.
        exit_code: as of `subprocess.Popen.returncode`; a shell's 128 + signal is understood too.
    """
    statuses = {int(number) for number in _STATUS.findall(text)}
    if exit_code is not None and exit_code > _SHELL_SIGNAL_BASE:
        exit_code = _SHELL_SIGNAL_BASE - exit_code
    for failure in FAILURES:
        if any(re.search(pattern, text) for pattern in failure.patterns):
            return failure
        if statuses.intersection(failure.statuses) or exit_code in failure.exit_codes:
            return failure
    return None
