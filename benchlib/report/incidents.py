"""What an incident is, in words: what shifted, at which batch sizes, together with what, and where to look.

Data in, text out: the same for the terminal, a page and a message.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchlib.analysis.findings import COMPILED, MEASURED
from benchlib.analysis.peak import name_sizes
from benchlib.report.notifications import Kind, Message, compose
from benchlib.report.table import SHORT_ID_CHARS
from benchlib.store.incidents import IncidentChange, IncidentLine

NAMES: Mapping[str, str] = {
    "throughput_inf_per_s": "throughput",
    "p50_ms": "P50",
    "p90_ms": "P90",
    "p95_ms": "P95",
    "p99_ms": "P99",
    "p99_9_ms": "P99.9",
    "mean_ms": "mean latency",
    "max_ms": "longest latency",
    "compile_duration_s": "compile time",
    "peak_rss_bytes": "memory of the compiler",
    "artifact_size_bytes": "size of the program",
}

UNITS: Mapping[str, str] = {
    "throughput_inf_per_s": "inf/s",
    "compile_duration_s": "s",
    "peak_rss_bytes": "bytes",
    "artifact_size_bytes": "bytes",
}
"""The others are in ms."""

STAND_IN = "These are figures of a CPU or a stand-in: not inf2 results."

NOISE: Mapping[str, str] = {
    "quiet": "Before it, the series was quiet.",
    "skewed": "Before it, the noise was skewed: one tail is longer than the other.",
    "outliers": "Before it, the series had outliers: single nights far off are usual for it.",
    "two modes": "Before it, the series went to and fro between two levels: what tells them apart may be the "
    "cause.",
    "drifting": "Before it, the series was drifting: the shift may be the end of something slow.",
}


@dataclass(frozen=True)
class Program:
    """Whether the program of the first bad night is that of the last good one."""

    same: bool | None
    """``None``: not known."""


@dataclass(frozen=True)
class Explanation:
    """Everything that can be said of an incident, most important first."""

    headline: str
    scope: str
    sentences: tuple[str, ...]
    evidence: tuple[str, ...]
    """What the detector went by, one line per shift."""


def explain(
    line: IncidentLine, changes: Sequence[IncidentChange], program: Program, judged: Collection[str] = ()
) -> Explanation:
    """An incident in words; ``judged`` are the metrics of which a change could have been told that night."""
    own = [each for each in changes if each.direction == line.direction]
    said = (
        "" if line.hardware else STAND_IN,
        _together(own, line.direction),
        _between(line),
        _of_program(program),
        _leading(own),
        _opinion(line),
        _ended(line, changes),
    )
    return Explanation(
        headline=headline(line),
        scope=scope(line, changes, judged),
        sentences=tuple(each for each in said if each),
        evidence=tuple(_evidence(each) for each in sorted(changes, key=_place)),
    )


def headline(line: IncidentLine) -> str:
    """One line: what, how much, since when."""
    if line.metric is None or line.relative_change is None:
        return f"{subject(line)}: no shift of it is stored any more"
    shift = f"{NAMES[line.metric]} {line.relative_change:+.1%}"
    if line.status == "suspect":
        return f"{subject(line)}: {shift} on {line.first_bad_night}, not yet known to last"
    return f"{subject(line)}: {shift} since {line.first_bad_night}"


def subject(line: IncidentLine) -> str:
    """What shifted, without its batch sizes."""
    kind = "" if line.scenario == "offline" else f" ({line.scenario})"
    stand_in = "" if line.hardware else " (not inf2)"
    variant = f" {line.model_variant}" if line.model_variant else ""
    return f"{line.model}{variant} on {line.instance_type or line.backend}{stand_in}{kind}"


def scope(line: IncidentLine, changes: Sequence[IncidentChange], judged: Collection[str] = ()) -> str:
    """Which batch sizes and metrics: "all 10 batch sizes: throughput -2.1%; no change told of P50"."""
    own = [each for each in changes if each.direction == line.direction]
    groups: dict[str, list[str]] = {}
    for metric in _in_order(each.metric for each in own):
        several = [each for each in own if each.metric == metric]
        groups.setdefault(_sizes(several, line.batch_sizes_known), []).append(_shift(metric, several))
    parts = [f"{sizes}: {_joined(shifts)}" for sizes, shifts in groups.items()]
    moved = {each.metric for each in changes}
    still = [NAMES[each] for each in MEASURED if each not in moved and each in judged]
    if still and moved & set(MEASURED):
        parts.append(f"no change told of {_joined(still)}")
    return "; ".join(parts)


def _place(change: IncidentChange) -> tuple[int, int]:
    """What leads an incident comes first."""
    return _in_order(NAMES).index(change.metric), change.batch_size or 0


def _in_order(metrics: Iterable[str]) -> list[str]:
    known = (*MEASURED, *COMPILED, *NAMES)
    return sorted(set(metrics), key=known.index)


def _sizes(changes: Sequence[IncidentChange], known: int) -> str:
    sizes = sorted({each.batch_size for each in changes if each.batch_size is not None})
    if len(sizes) == known and known > 1:
        return f"all {known} batch sizes"
    if not sizes:
        return "the mean over the batch sizes"
    alone = name_sizes(sizes)
    return f"{alone} and the mean over all" if any(each.batch_size is None for each in changes) else alone


def _shift(metric: str, changes: Sequence[IncidentChange]) -> str:
    means = [each.relative_change for each in changes if each.batch_size is None]
    typical = median(means or [each.relative_change for each in changes])
    return f"{NAMES[metric]} {typical:+.1%}"


def _joined(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _together(own: Sequence[IncidentChange], direction: str) -> str:
    """What the metrics that moved say about where to look."""
    moved = {each.metric for each in own}
    served = moved & set(MEASURED)
    if not served:
        return "Only figures of the compilation moved: what is served did not." if moved else ""
    tail = served <= {"p90_ms", "p99_ms"}
    if tail:
        return (
            "Only the tail of the latency moved: look at the host, at what else runs there and interrupts, "
            "not at the program."
        )
    if {"throughput_inf_per_s", "p50_ms"} <= served:
        return (
            "Throughput and median latency moved together: each call itself takes another time, so look at "
            "the program, the device and its clocks."
        )
    if "throughput_inf_per_s" in served:
        word = "fell" if direction == "worse" else "rose"
        return (
            f"The throughput {word} and the median latency did not move: the calls take as long as before, "
            "so look at the host and at what feeds the workers."
        )
    return "The median latency moved and the throughput did not: look at how the calls wait for each other."


def _between(line: IncidentLine) -> str:
    nights = (
        f"Between the last night before it, {line.last_good_night} (sweep {_short(line.last_good_sweep_id)}),"
        f" and the first one with it, {line.first_bad_night} (sweep {_short(line.first_bad_sweep_id)}), "
    )
    if line.environment_changes == "nothing":
        return f"{nights}nothing that is recorded of the environment differs."
    if line.environment_changes == "not known":
        return f"{nights}it is not known what differs in the environment."
    return f"{nights}these differ: {line.environment_changes}."


def _of_program(program: Program) -> str:
    if program.same is None:
        return ""
    if program.same:
        return "It is the same program, bit by bit: look at the host, the driver or the runtime."
    return "The program was compiled anew in between."


def _leading(own: Sequence[IncidentChange]) -> str:
    """The noise before it, and whether the level is an old one, of the change that leads."""
    said = []
    for each in sorted(own, key=_place)[:1]:
        said.append(NOISE.get(str(each.evidence.get("noise")), ""))
        back = each.evidence.get("back_at")
        if back:
            said.append(
                f"It is back at the level of {back['first_night']} to {back['last_night']}, "
                f"{_value(each.metric, back['level'])}."
            )
    return " ".join(filter(None, said))


def _opinion(line: IncidentLine) -> str:
    if line.agreed is None:
        return ""
    if line.agreed:
        return "A second method, change points in hindsight, finds it too."
    return "A second method, change points in hindsight, does not find it: look twice."


def _ended(line: IncidentLine, changes: Sequence[IncidentChange]) -> str:
    ends = [each for each in changes if each.direction != line.direction]
    if not ends:
        return ""
    first = min(each.first_bad_night for each in ends)
    return f"It went back on {first}: {_joined([_end(each) for each in sorted(ends, key=_place)[:3]])}."


def _end(change: IncidentChange) -> str:
    where = "the mean" if change.batch_size is None else f"batch size {change.batch_size}"
    return f"{NAMES[change.metric]} {change.relative_change:+.1%} at {where}"


def _evidence(change: IncidentChange) -> str:
    where = "mean over the batch sizes" if change.batch_size is None else f"batch size {change.batch_size}"
    levels = f"{_value(change.metric, change.before_value)} -> {_value(change.metric, change.after_value)}"
    interval = f"{change.relative_change:+.2%} ({change.relative_low:+.2%} to {change.relative_high:+.2%})"
    head = f"{NAMES[change.metric]}, {where}, from {change.first_bad_night}: {levels}, {interval}"
    return f"{head}; {_went_by(change)}"


def _went_by(change: IncidentChange) -> str:
    evidence = change.evidence
    if "sigma" in evidence:
        again = evidence.get("confirming_value")
        second = "" if again is None else f", measured again: {_value(change.metric, again)}"
        off = f"one night {evidence['sigma']:+.1f} spreads off (limit {evidence['limit']:g})"
        return f"{off}{second}; {change.detector}"
    if "t" not in evidence:
        return change.detector
    nights = f"{evidence['tested_nights']} nights against {evidence['baseline_nights']}"
    since = f"{nights} since {evidence['baseline_first_night']}"
    t = f"t {evidence['t']:+.1f} (limit {evidence['limit']:g})"
    return f"{since}, {t}, least effect {evidence['effect_floor']:.1%}; {change.detector}"


def _value(metric: str, value: float) -> str:
    return f"{value:.6g} {UNITS.get(metric, 'ms')}"


def _short(key: Any) -> str:
    return str(key)[:SHORT_ID_CHARS]


def incident_message(line: IncidentLine, explanation: Explanation, url: str = "") -> Message:
    """What people are told when the status of an incident changes."""
    lasting: Kind = "warning" if line.direction == "worse" else "info"
    over: Kind = "success" if line.direction == "worse" else "info"
    title = f"{_title(line)} {line.incident_id}: {explanation.headline}"
    lead = f"{explanation.scope[:1].upper()}{explanation.scope[1:]}." if explanation.scope else title
    how = (f"bench explain {line.incident_id}", f"bench change ack {line.incident_id} --reason ...")
    return compose(
        title,
        lead,
        paragraphs=(line.reason or "", *explanation.sentences),
        points=(*explanation.evidence, f"More: {_joined(how)}"),
        url=url,
        kind=over if line.status == "recovered" else lasting,
    )


def _title(line: IncidentLine) -> str:
    if line.status in ("recovered", "reopened"):
        return f"{line.status.capitalize()}: change"
    return "Slower: change" if line.direction == "worse" else "Faster: change"


def verdict_sentences(lines: Sequence[IncidentLine]) -> Iterator[str]:
    """One line for each incident, for logs."""
    for line in lines:
        yield f"change {line.incident_id} ({line.status}, {line.direction}): {headline(line)}"
