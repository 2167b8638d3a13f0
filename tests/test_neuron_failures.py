from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from benchlib.neuron_failures import FAILURES, classify
from tests import dataplane

# What the runtime, the driver, the compiler and torch_neuronx really print, and how each is to be taken.
TEXTS = [
    (
        "Unable to determine Neuron Driver version. Please check aws-neuronx-dkms package is installed.",
        "driver_missing",
    ),
    ("This runtime requires Neuron Driver version 2.29 or later, found 2.26", "driver_too_old"),
    ("2026-Jan-05 10:00:00.1 1:1 ERROR  TDRV:tdrv_get_dev_info  No neuron device available", "no_device"),
    (
        "RuntimeError: Bad StatusOr access: INVALID_ARGUMENT: PJRT_Client_Create: error condition nullptr != "
        "(args)->client->Error(): Init: error condition !(num_devices > 0)",
        "no_device",
    ),
    (
        "Neuron runtime cannot be initialized; cannot determine the number of available NeuronCores",
        "no_device",
    ),
    ("TDRV: Could not open the nd1", "no_device"),
    (
        "ERROR  NRT:nrt_allocate_neuron_cores  NeuronCore(s) not available - Requested:nc1-nc1 Available:0",
        "cores_taken",
    ),
    (
        "RuntimeError: The PyTorch Neuron Runtime could not be initialized. Neuron Driver issues",
        "cores_taken",
    ),
    ("ERROR NRT:nrt_init Incompatible runtime state: NRT_STATE_CHILD", "forked_runtime"),
    ("ERROR  TDRV:dmem_alloc_internal  Failed to alloc DEVICE memory: 1048576", "device_memory"),
    ("Could not load the model status=4 message=Allocation Failure", "device_memory"),
    ("Failed to execute the model status=5 message=Timeout Exceeded", "execution_timeout"),
    (
        "(FATAL-RT-UNDEFINED-STATE) execution timeout (30000 ms) on Neuron Device 0 NC 0, model /tmp/m.neff",
        "execution_timeout",
    ),
    ("NEFF version mismatch supported: 1.1 received: 2.0", "program_mismatch"),
    ("Unsupported hardware operator code 214 in NEFF", "program_mismatch"),
    ("execution ended with a numerical error", "not_a_number"),
    ("input tensor name/size does not match the model", "bad_input"),
    ("Uncorrectable memory error is detected, metadata: 0x16", "sram_ecc"),
    (
        "kernel: neuron: nd0: NEURON_HW_ERR=SRAM_UNCORRECTABLE_ERROR instance-id=x action=TERMINATE_INSTANCE",
        "sram_ecc",
    ),
    ("kernel: neuron: NEURON_HW_ERR=PCIE_LINK_ERROR action=REBOOT", "hardware_error"),
    ("Uncorrectable HBM memory error is detected on nd0", "hbm_ecc"),
    (
        "A repairable error was found. Please reload the neuron driver or reboot the instance",
        "hbm_repairable",
    ),
    ("queue overflow, potentially caused by DGE notifications enabled", "notification_overflow"),
    ("RuntimeError: neuronx-cc failed with -9", "compiler_killed"),
    ("RuntimeError: neuronx-cc failed with 70", "compiler_error"),
    ("RuntimeError: neuronx-cc failed with -11", "compiler_error"),
    ("[NCC_EOOM002] the graph needs 19 GB\nRuntimeError: neuronx-cc failed with 70", "compiler_memory_limit"),
    (
        "RuntimeError: If you want to compile on CPU, please supply compiler argument target, with one of "
        'options trn1, inf2, trn1n, or trn2. Ex: "--target trn1"',
        "compiler_needs_target",
    ),
]

STATUSES = {
    1004: "sram_ecc",
    1202: "sram_ecc",
    1201: "hbm_ecc",
    1205: "hbm_repairable",
    1203: "dma_abort",
    101: "device_unrecoverable",
    6: "hardware_error",
    1200: "hardware_error",
    9: "cores_taken",
    1005: "cores_taken",
    4: "device_memory",
    5: "execution_timeout",
    10: "program_mismatch",
    1204: "notification_overflow",
    1003: "not_a_number",
    2: "bad_input",
    1002: "bad_input",
    1006: "bad_input",
    11: "host_memory",
}

EXITS = {
    -signal.SIGSEGV: "native_crash",
    -signal.SIGABRT: "native_crash",
    -signal.SIGBUS: "native_crash",
    -signal.SIGILL: "native_crash",
    -signal.SIGKILL: "killed",
    128 + signal.SIGSEGV: "native_crash",
    128 + signal.SIGKILL: "killed",
}

REMEDIES = {
    "preflight": {"driver_missing", "driver_too_old", "no_device"},
    "retry_with_backoff": {"cores_taken"},
    "retry_once_fresh_process": {
        "device_memory",
        "execution_timeout",
        "host_memory",
        "compiler_killed",
        "killed",
    },
    "host_is_bad": {
        "sram_ecc",
        "hbm_ecc",
        "hbm_repairable",
        "dma_abort",
        "device_unrecoverable",
        "hardware_error",
    },
    "never": {
        "forked_runtime",
        "program_mismatch",
        "notification_overflow",
        "not_a_number",
        "bad_input",
        "compiler_needs_target",
        "compiler_memory_limit",
        "compiler_error",
        "native_crash",
    },
}


def name_of(text: str, exit_code: int | None = None) -> str | None:
    found = classify(text, exit_code)
    return found.name if found else None


@pytest.mark.parametrize(("text", "name"), TEXTS)
def test_a_message_is_recognised(text: str, name: str) -> None:
    assert name_of(f"INFO loading\n{text}\nTraceback (most recent call last):") == name


@pytest.mark.parametrize(("status", "name"), STATUSES.items())
def test_a_runtime_status_is_recognised(status: int, name: str) -> None:
    assert name_of(f"Failed to execute the model status={status} message=whatever it says") == name


@pytest.mark.parametrize(("exit_code", "name"), EXITS.items())
def test_a_signal_is_recognised(exit_code: int, name: str) -> None:
    assert name_of("....................", exit_code) == name


def test_every_row_is_tested_by_a_message_a_status_or_a_signal_and_has_its_remedy() -> None:
    tested = {name for _, name in TEXTS} | set(STATUSES.values()) | set(EXITS.values())
    assert {failure.name for failure in FAILURES} == tested
    by_remedy = {remedy: {f.name for f in FAILURES if f.remedy == remedy} for remedy in REMEDIES}
    assert by_remedy == REMEDIES
    assert {f.name for f in FAILURES if f.on_repeat == "host_is_bad"} == {"execution_timeout"}


def test_a_fresh_process_is_tried_once_and_then_not_again() -> None:
    by_name = {failure.name: failure for failure in FAILURES}
    assert [by_name["execution_timeout"].remedy_at(attempt) for attempt in (1, 2, 3)] == [
        "retry_once_fresh_process", "host_is_bad", "host_is_bad",
    ]  # fmt: skip
    assert by_name["compiler_killed"].remedy_at(2) == "never"
    assert by_name["cores_taken"].remedy_at(5) == "retry_with_backoff"
    assert by_name["sram_ecc"].remedy_at(1) == "host_is_bad"


def test_a_broken_device_explains_the_time_out_that_follows() -> None:
    log = (
        "Failed to execute the model status=5 message=Timeout Exceeded\n"
        "Uncorrectable HBM memory error is detected\n"
    )
    assert name_of(log) == "hbm_ecc"


def test_the_runtimes_log_is_more_precise_than_its_exception() -> None:
    exception = "RuntimeError: The PyTorch Neuron Runtime could not be initialized."
    log = "ERROR  NRT:nrt_init  Incompatible runtime state: NRT_STATE_CHILD"
    assert name_of(f"{log}\n{exception}") == "forked_runtime"


def test_a_message_says_more_than_the_signal() -> None:
    assert name_of("Uncorrectable memory error is detected", -signal.SIGABRT) == "sram_ecc"


@pytest.mark.parametrize(
    "harmless",
    [
        "MASTER_ADDR environment variable is not set, defaulting to localhost",
        "Found libneuronpjrt.so. Setting PJRT_DEVICE=NEURON.",
        "....................",
        "Compiler status PASS",
        "exit status=5",
        "",
    ],
)
def test_ordinary_noise_is_no_failure(harmless: str) -> None:
    assert classify(harmless) is None
    assert classify(harmless, exit_code=1) is None


def test_a_sentence_is_never_taken_for_another_failure() -> None:
    """The sentences reach the log, and the log is classified again by the control plane."""
    assert {f.name: name_of(f.sentence) for f in FAILURES if name_of(f.sentence) not in (None, f.name)} == {}


def test_both_planes_can_import_it() -> None:
    code = "import sys; sys.modules['pydantic'] = None; import benchlib.neuron_failures"
    subprocess.run([sys.executable, "-S", "-c", code], check=True, env={"PYTHONPATH": str(dataplane.ROOT)})
