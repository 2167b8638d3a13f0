"""`bench explain`: one change in words."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from benchlib.cli.judging import AsJson, Column, print_json, print_table, reading, say
from benchlib.orchestration.judging import explain_incident
from benchlib.store.incidents import IncidentLine, find_incident, list_incident_changes
from benchlib.store.judgement_lists import list_annotations
from benchlib.store.judgements import Subject

SAID = (Column("When"), Column("Who"), Column("Status"), Column("Why", wraps=True))

MOST_SAID = 1000


def explain(
    change: Annotated[int, typer.Argument(help="Its number, as `bench changes` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Say what is known of one change: what shifted, with what, what differed, and why it is believed.

    With all that was said about it, latest first. --json has the shifts too, with all that the detector
    went by.
    """
    engine = reading()
    line = find_incident(engine, change)
    words = explain_incident(engine, line)
    said = list_annotations(engine, Subject(incident_id=change), limit=MOST_SAID)
    if as_json:
        shifts = list_incident_changes(engine, change)
        print_json(({**asdict(line), "explanation": asdict(words), "shifts": shifts, "said": said},))
        return
    say(f"Change {line.incident_id}, {_standing(line)}: {words.headline}")
    for sentence in (f"{words.scope[:1].upper()}{words.scope[1:]}." if words.scope else "", *words.sentences):
        if sentence:
            say(sentence)
    for evidence in words.evidence:
        say(f"- {evidence}")
    if said:
        say("")
        print_table(
            SAID,
            [
                (
                    f"{each.annotated_at:%Y-%m-%d %H:%M}",
                    each.author,
                    (each.status or "").replace("_", " "),
                    each.reason,
                )
                for each in said
            ],
        )


def _standing(line: IncidentLine) -> str:
    muted = "" if line.muted_until is None else f", muted until {line.muted_until:%Y-%m-%d %H:%M}"
    return line.status.replace("_", " ") + muted
