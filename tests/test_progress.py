"""Progress lines among whatever else a compiler prints."""

from __future__ import annotations

import pytest

from benchlib.progress import MARK, Progress, emit, parse


def test_a_line_is_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(stage="measure", state="running", batch_size=4, fraction=0.5, message="50 inf/s\n[x]")
    emit(progress)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert parse(printed) == progress


@pytest.mark.parametrize(
    "line", ["", "....", "Compiler status PASS", MARK + "{", MARK + '{"stage": "dance"}']
)
def test_other_output_is_not_progress(line: str) -> None:
    assert parse(line) is None
