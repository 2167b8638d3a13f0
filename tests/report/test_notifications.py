"""What people are told of a red run or a missing night: sizes, reasons, and whose figures they are."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from benchlib.report.notifications import (
    MOST_POINTS,
    SUBJECT_CHARS,
    Absence,
    FailedRun,
    compose,
    failed_run,
    failed_sweep,
    missing_nights,
)
from tests.analysis.comparisons import comparison, failed, invalid, ok

RUN = FailedRun("bert_base", "scheduled__1", "task_failure", "some_batch_size_failed", "https://airflow/run")


def test_a_red_sweep_to_the_character() -> None:
    rows = [ok(1, 100), ok(2, 250.5), invalid(4, 300, "12 % was stolen"), failed(8, "No room <b>left</b>.")]
    message = failed_sweep(RUN, comparison(rows))
    assert message.subject == "bert_base failed: no valid figure for batch sizes 4 and 8"
    assert message.text == (
        "The sweep bert_base failed: no valid figure for batch sizes 4 and 8. "
        "2 of 4 batch sizes are valid.\n\n"
        "Model bert-base-uncased, sequence length 128, precision fp32, scenario offline, backend cpu, "
        "device Xeon, sweep 1b0a9c56, date 2026-03-01 02:30 UTC. Measured on a CPU: not an inf2 result.\n\n"
        "Note: Peak throughput observed at batch size 2 (≈250 inf/s), the largest valid one and still "
        "rising: larger batch sizes have no valid measurement. "
        "Not measured: batch size 8. Measured but not valid: batch size 4. "
        "Measured on a CPU: not an inf2 result.\n\n"
        "Run scheduled__1.\n\n"
        "- Batch size 4 is not valid: 12 % was stolen\n"
        "- Batch size 8 failed: No room <b>left</b>.\n\n"
        "https://airflow/run"
    )
    assert "<li>Batch size 8 failed: No room &lt;b&gt;left&lt;/b&gt;.</li>" in message.html
    assert '<a href="https://airflow/run">' in message.html


@pytest.mark.parametrize(
    ("run", "how"),
    [
        (RUN, "the task some_batch_size_failed failed"),
        (replace(RUN, reason="timed_out"), "it did not end in time"),
        (replace(RUN, reason="all_tasks_deadlocked"), "its tasks wait for each other"),
        (replace(RUN, task_id=None), "a task failed"),
    ],
)
def test_a_run_that_failed_for_another_reason_blames_no_batch_size(run: FailedRun, how: str) -> None:
    told = failed_sweep(run, comparison([ok(1, 100)]))
    assert (told.subject, told.text.splitlines()[0]) == (
        f"bert_base failed: {how}",
        f"The sweep bert_base failed: {how}.",
    )
    assert failed_run(run).text.splitlines()[0] == f"The run of bert_base failed: {how}."


def test_what_the_database_does_not_have_is_not_known() -> None:
    told = failed_sweep(RUN, None, "the database is away.").text
    assert "Nothing is known of its batch sizes: the database is away." in told
    assert "valid" not in told


def test_a_missing_night_names_each_sweep_its_sizes_and_reasons() -> None:
    due = datetime(2026, 3, 2, 2, tzinfo=UTC)
    told = missing_nights(
        [
            Absence("a", due, "m", (1, 2), "no sweep ran"),
            Absence("a", due, "m", (4,), "No room."),
            Absence("b", due.replace(hour=3), "n", (1,), "no sweep ran"),
        ]
    )
    assert told.subject == "Missing night 2026-03-02: a, b"
    assert told.text.splitlines() == [
        "Figures are missing of a, b, due on 2026-03-02 (UTC).",
        "",
        "- a, due 2026-03-02 02:00 UTC, m, batch sizes 1 and 2: no sweep ran",
        "- a, due 2026-03-02 02:00 UTC, m, batch size 4: No room.",
        "- b, due 2026-03-02 03:00 UTC, n, batch size 1: no sweep ran",
    ]


def test_a_subject_is_one_short_line_and_a_long_list_is_cut() -> None:
    told = compose("a\r\nBcc: x@y " + "z" * 500, "lead", points=["point"] * (MOST_POINTS + 3))
    assert "\n" not in told.subject
    assert "\r" not in told.subject
    assert len(told.subject) == SUBJECT_CHARS
    assert told.text.splitlines()[-1] == "- and 3 more"
    assert told.text.count("- point") == MOST_POINTS
