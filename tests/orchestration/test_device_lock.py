"""The device lock between real processes."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from benchlib.orchestration.device_lock import DeviceBusy, device_lock

from .conftest import PROJECT, is_running, pid_in, wait_until

HOLD = """
    import subprocess, sys
    from pathlib import Path
    from benchlib.orchestration.device_lock import device_lock
    path, kind, child_pid = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    with device_lock(path, exclusive=kind == "exclusive", what="measure batch 8", timeout_s=30) as lock:
        if child_pid != "-":
            child = subprocess.Popen(["sleep", "600"], pass_fds=[lock], stdout=subprocess.DEVNULL)
            Path(child_pid).write_text(f"{child.pid}\\n")
        print("held", flush=True)
        sys.stdin.read()
"""


class Holder:
    def __init__(self, path: Path, kind: str, child_pid: Path | str = "-") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", dedent(HOLD), str(path), kind, str(child_pid)],
            env=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == "held\n"

    def release(self) -> None:
        self.process.communicate()


@pytest.fixture
def hold(tmp_path: Path) -> Callable[..., Holder]:
    return lambda kind, child_pid="-": Holder(tmp_path / "device.lock", kind, child_pid)


def take(tmp_path: Path, *, exclusive: bool, timeout_s: float = 0) -> None:
    with device_lock(tmp_path / "device.lock", exclusive=exclusive, what="mine", timeout_s=timeout_s):
        pass


def test_compiles_share_the_device_and_keep_measurements_out(
    hold: Callable[..., Holder], tmp_path: Path
) -> None:
    holder = hold("shared")
    take(tmp_path, exclusive=False)
    with pytest.raises(DeviceBusy):
        take(tmp_path, exclusive=True)
    holder.release()
    take(tmp_path, exclusive=True)


def test_a_measurement_has_the_device_alone_and_is_named(hold: Callable[..., Holder], tmp_path: Path) -> None:
    holder = hold("exclusive")
    for exclusive in (False, True):
        with pytest.raises(DeviceBusy, match=rf"held by process {holder.process.pid} \(measure batch 8\)"):
            take(tmp_path, exclusive=exclusive)
    holder.release()


def test_a_waiter_says_for_whom_and_goes_on_when_the_device_is_free(
    hold: Callable[..., Holder], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    holder = hold("exclusive")

    class ReleaseWhenWaitedFor(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            holder.release()

    logger, handler = logging.getLogger("benchlib.orchestration.device_lock"), ReleaseWhenWaitedFor()
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO):
            take(tmp_path, exclusive=True, timeout_s=30)
    finally:
        logger.removeHandler(handler)
    assert caplog.messages == [
        f"waiting for the device, held by process {holder.process.pid} (measure batch 8)"
    ]


def test_a_killed_holder_lets_go(hold: Callable[..., Holder], tmp_path: Path) -> None:
    holder = hold("exclusive")
    holder.process.kill()
    holder.process.wait()
    take(tmp_path, exclusive=True, timeout_s=10)


def test_a_child_keeps_the_device_when_its_task_is_killed(
    hold: Callable[..., Holder], tmp_path: Path
) -> None:
    holder = hold("exclusive", tmp_path / "child")
    child = pid_in(tmp_path / "child")
    holder.process.kill()
    holder.process.wait()
    assert is_running(child)
    with pytest.raises(
        DeviceBusy, match=rf"what process {holder.process.pid} left running \(measure batch 8\)"
    ):
        take(tmp_path, exclusive=False)
    subprocess.run(["kill", "-9", str(child)], check=True)
    wait_until(lambda: not is_running(child))
    take(tmp_path, exclusive=True, timeout_s=10)


def test_a_foreign_text_in_the_lock_file_does_no_harm(hold: Callable[..., Holder], tmp_path: Path) -> None:
    holder = hold("shared")
    (tmp_path / "device.lock").write_bytes(b"\xff not ours\n")
    with pytest.raises(DeviceBusy, match="a process that has just begun"):
        take(tmp_path, exclusive=True)
    holder.release()
