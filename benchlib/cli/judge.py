"""`bench judge`: look for changes in what is stored, over any nights and with any thresholds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from benchlib.analysis.findings import RULES
from benchlib.cli.judging import ModelOption, say, writing
from benchlib.cli.outputs import DAY
from benchlib.errors import BenchError
from benchlib.orchestration.judging import THRESHOLDS, Asked, Outcome, mark_as_told
from benchlib.orchestration.judging import judge as judge_nights


def judge(
    first: Annotated[
        datetime | None,
        typer.Option("--from", formats=[DAY], help="First night, UTC. Default: the first that is stored."),
    ] = None,
    last: Annotated[
        datetime | None,
        typer.Option(
            "--to", formats=[DAY], help="Last night, as if it were the newest. Default: the newest."
        ),
    ] = None,
    thresholds: Annotated[
        str, typer.Option("--thresholds", help=f"Version of the thresholds: {', '.join(RULES)}.")
    ] = THRESHOLDS,
    model: ModelOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be written; nothing is.")
    ] = False,
) -> None:
    """Look for changes in the stored nights. The nightly sweeps do so by themselves.

    Worth it after old nights were brought in, or to see what other thresholds would find. What is found again
    stays as it is, what people said always does, and what is no longer found is kept. Nobody is notified.
    """
    asked = Asked(
        first=first.date() if first else None,
        last=last.date() if last else None,
        thresholds=thresholds,
        model=model,
        dry_run=dry_run,
    )
    engine = writing().engine
    outcome = judge_nights(engine, asked)
    if not dry_run:
        mark_as_told(engine, outcome.moved, "bench judge")
    for sentence in _sentences(outcome):
        say(sentence)
    if outcome.refused:
        raise BenchError(f"not judged: {'; '.join(map(str, outcome.refused))}")


def _sentences(outcome: Outcome) -> list[str]:
    if outcome.span is None:
        return ["There is nothing to judge yet."]
    judged = f"Judged until {outcome.span.last} with thresholds {outcome.asked.thresholds}"
    would = " that would be written" if outcome.asked.dry_run else " written"
    lines = [
        f"{judged}: configurations {len(outcome.judged)}, changes that are new or stand elsewhere "
        f"{len(outcome.moved)}, rows{would} {outcome.rows}."
    ]
    for moved in () if outcome.asked.dry_run else outcome.moved:
        before = "new" if moved.before is None else moved.before
        lines.append(f"change {moved.incident_id} ({moved.direction}): {before} -> {moved.status}")
    learning = sum(len(each.findings.learning) for each in outcome.judged)
    if learning:
        lines.append(f"Too few nights since they began or last changed to tell one now: {learning} series.")
    return lines
