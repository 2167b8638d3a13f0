from __future__ import annotations

from pathlib import Path

import pytest

from benchlib.orchestration.progress_file import PROGRESS_FILE_VARIABLE, ProgressReader, tell
from benchlib.progress import Progress

STARTED = Progress(stage="compile", state="started", batch_size=4)
DONE = Progress(stage="compile", state="done", batch_size=4, message="two\nlines")


def test_each_step_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "progress"
    monkeypatch.setenv(PROGRESS_FILE_VARIABLE, str(path))
    reader = ProgressReader(path)
    assert list(reader.news()) == []
    tell(STARTED)
    assert list(reader.news()) == [STARTED]
    tell(DONE)
    tell(STARTED)
    assert list(reader.news()) == [DONE, STARTED]
    assert list(reader.news()) == []


def test_half_a_line_waits_for_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "progress"
    line = STARTED.model_dump_json() + "\n"
    reader = ProgressReader(path)
    path.write_text("no json\n" + line[:10])
    assert list(reader.news()) == []
    path.write_text("no json\n" + line)
    assert list(reader.news()) == [STARTED]


def test_nobody_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROGRESS_FILE_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    tell(STARTED)
    assert list(tmp_path.iterdir()) == []
