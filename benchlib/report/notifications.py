"""What people are told, as subject, text and HTML: data in, words out; nothing is sent from here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from jinja2 import Environment

from benchlib.analysis.comparison import Comparison
from benchlib.analysis.peak import closing_sentence, name_sizes
from benchlib.report.table import NOTE_CHARS, caption, one_line, row_notes, shorten

Kind = Literal["failure", "warning", "info", "success"]

SUBJECT_CHARS = 120
MOST_POINTS = 20
"""Longer lists are cut: a message says what to look at, the page behind its link has the rest."""

_HTML = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<p><b>{{ lead }}</b></p>
{% for paragraph in paragraphs %}
<p>{{ paragraph }}</p>
{% endfor %}
{% if points %}
<ul>
{% for point in points %}
<li>{{ point }}</li>
{% endfor %}
</ul>
{% endif %}
{% if url %}
<p><a href="{{ url }}">{{ url }}</a></p>
{% endif %}
""")


@dataclass(frozen=True)
class Message:
    """One message, as every channel can show it. The text and the HTML say the same."""

    subject: str
    """One line."""
    text: str
    """Plain, without any markup."""
    html: str
    """A fragment; everything that came from data is escaped."""
    kind: Kind = "failure"


@dataclass(frozen=True)
class FailedRun:
    """A run of a DAG that ended red."""

    dag_id: str
    run_id: str
    reason: str
    """Airflow's word for it, such as ``task_failure`` or ``timed_out``."""
    task_id: str | None
    """The task that decided it, where one did."""
    url: str
    """The run's page."""


@dataclass(frozen=True)
class Absence:
    """Batch sizes of one declared sweep without a valid figure, for the same reason."""

    dag_id: str
    due_at: datetime
    """When the sweep was to begin."""
    model: str
    batch_sizes: tuple[int, ...]
    reason: str

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        due = f"due {self.due_at:%Y-%m-%d %H:%M} UTC"
        return f"{self.dag_id}, {due}, {self.model}, {name_sizes(self.batch_sizes)}: {self.reason}"


def compose(
    subject: str,
    lead: str,
    *,
    paragraphs: Sequence[str] = (),
    points: Sequence[str] = (),
    url: str = "",
    kind: Kind = "failure",
) -> Message:
    """A message of any subject: a leading sentence, paragraphs, a list and one link, all as plain text.

    Line breaks and control characters in the parts become blanks; of the points the first `MOST_POINTS` stay.
    """
    kept = [shorten(point, NOTE_CHARS) for point in points[:MOST_POINTS]]
    if len(points) > MOST_POINTS:
        kept.append(f"and {len(points) - MOST_POINTS} more")
    lead, told = one_line(lead), [one_line(paragraph) for paragraph in paragraphs if paragraph]
    listed = "\n".join(f"- {point}" for point in kept)
    parts = (lead, *told, listed, url)
    html = _HTML.render(lead=lead, paragraphs=told, points=kept, url=url)
    return Message(shorten(subject, SUBJECT_CHARS), "\n\n".join(part for part in parts if part), html, kind)


def failed_sweep(run: FailedRun, comparison: Comparison | None, unknown: str = "") -> Message:
    """A red run of a sweep: which batch sizes have no valid figure and why, and what is known of the others.

    ``comparison`` is ``None`` when the database has none, and ``unknown`` then says why.
    """
    if comparison is None:
        lead = f"The sweep {run.dag_id} failed: {_how(run)}."
        paragraphs = [f"Nothing is known of its batch sizes: {unknown}", f"Run {run.run_id}."]
        return compose(f"{run.dag_id} failed", lead, paragraphs=paragraphs, url=run.url)
    bad = [row for row in comparison.rows if row.status != "ok"]
    what = f"no valid figure for {name_sizes([row.batch_size for row in bad])}" if bad else _how(run)
    lead = f"The sweep {run.dag_id} failed: {what}."
    if bad:
        lead += f" {len(comparison.rows) - len(bad)} of {len(comparison.rows)} batch sizes are valid."
    return compose(
        f"{run.dag_id} failed: {what}",
        lead,
        paragraphs=[caption(comparison), closing_sentence(comparison), f"Run {run.run_id}."],
        points=row_notes(comparison)[: len(bad)],
        url=run.url,
    )


def failed_run(run: FailedRun) -> Message:
    """A red run of any other DAG."""
    lead = f"The run of {run.dag_id} failed: {_how(run)}."
    return compose(f"{run.dag_id} failed", lead, paragraphs=[f"Run {run.run_id}."], url=run.url)


def missing_nights(absences: Sequence[Absence], url: str = "") -> Message:
    """Declared sweeps that were due and have no figures, or not all."""
    sweeps = list(dict.fromkeys(absence.dag_id for absence in absences))
    nights = sorted({f"{absence.due_at:%Y-%m-%d}" for absence in absences})
    lead = f"Figures are missing of {', '.join(sweeps)}, due on {', '.join(nights)} (UTC)."
    points = [absence.sentence for absence in absences]
    return compose(f"Missing night {nights[-1]}: {', '.join(sweeps)}", lead, points=points, url=url)


def broken_declarations(errors: Sequence[str], url: str = "") -> Message:
    """Entries of the file of sweeps that are wrong, and so run nothing."""
    lead = "Sweeps that are declared wrongly do not run."
    return compose("Sweeps that do not run", lead, points=errors, url=url)


def left_to_people(host: str, sentences: Sequence[str]) -> Message:
    """What maintenance found on a host and never removes by itself."""
    lead = f"On {host} there is something that only a person may remove."
    return compose(f"Left to a person on {host}", lead, points=sentences, kind="warning")


def trial(url: str = "") -> Message:
    """Sent to try a channel."""
    lead = "This is a trial message of the benchmark deployment: the channel works."
    return compose("Trial message of the benchmark deployment", lead, url=url, kind="info")


def _how(run: FailedRun) -> str:
    match run.reason:
        case "timed_out":
            return "it did not end in time"
        case "all_tasks_deadlocked":
            return "its tasks wait for each other"
        case _:
            return f"the task {run.task_id} failed" if run.task_id else "a task failed"
