from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from benchlib.orchestration.process_tree import MARK_VARIABLE, ProcessTree

from .conftest import is_running, pid_in


def start(script: str, *, start_new_session: bool = False) -> subprocess.Popen[bytes]:
    environment = {**os.environ, MARK_VARIABLE: "mine"}
    return subprocess.Popen(["sh", "-c", script], env=environment, start_new_session=start_new_session)


def test_orphans_are_found_by_their_mark(tmp_path: Path) -> None:
    child = start(f"setsid sleep 600 & echo $! > {tmp_path}/orphan")
    tree = ProcessTree("mine")
    tree.add(child.pid)
    child.wait()
    orphan = pid_in(tmp_path / "orphan")
    assert {process.pid for process in tree.members()} == {orphan}
    tree.stop(grace_s=5)
    assert not is_running(orphan)


def test_orphans_without_a_mark_are_found_by_their_session(tmp_path: Path) -> None:
    child = start(f"env -i sleep 600 & echo $! > {tmp_path}/orphan; sleep 600", start_new_session=True)
    tree = ProcessTree("mine")
    tree.add(child.pid)
    orphan = pid_in(tmp_path / "orphan")
    child.kill()
    child.wait()
    tree.stop(grace_s=5)
    assert not is_running(orphan)


def test_what_carries_another_mark_is_left_alone() -> None:
    stranger = start("exec sleep 600")
    try:
        tree = ProcessTree("other")
        assert tree.members() == set()
        tree.stop(grace_s=0)
        assert is_running(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()


def test_an_interrupted_wait_still_ends_in_a_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    child = start("trap '' TERM; while :; do sleep 0.1; done")
    tree = ProcessTree("mine")
    tree.add(child.pid)

    def second_ctrl_c(*_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr("benchlib.orchestration.process_tree._wait_for_end", second_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        tree.stop(grace_s=600)
    assert not is_running(child.pid)
    child.wait()
