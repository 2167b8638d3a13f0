"""What a comparison came to, for people: one line per batch size and metric, the verdict in one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchlib.analysis.paired import Blank, Family, Judgement, Metric, Verdict
from benchlib.analysis.peak import name_sizes
from benchlib.analysis.unpaired import WARNING, Difference
from benchlib.experiments import NOISE_CHECKS, ComparisonSpec, ExperimentRecord, PairRecord, Problem
from benchlib.report.table import NOTE_CHARS, NOTHING, SHORT_ID_CHARS, one_line, shorten
from benchlib.results import Environment
from benchlib.store.environments import EnvironmentDifference, environment_diff
from benchlib.store.experiments import Acceptance, judgement_values

METRIC_WORDS: dict[Metric, str] = {"throughput_inf_per_s": "throughput", "p50_ms": "P50", "p99_ms": "P99"}
UNITS: dict[Metric, str] = {"throughput_inf_per_s": "inf/s", "p50_ms": "ms", "p99_ms": "ms"}
STYLES = {
    "worse": "bold red",
    "better": "green",
    "undecided": "yellow",
    "slower": "yellow",
    "faster": "yellow",
}
FEW_PAIRS = 12
"""Of several judgements together, fewer pairs can hardly make one significant."""
MOST_NAMED = 3
"""Of one verdict, in its sentence; the table has the others."""


@dataclass(frozen=True)
class ComparisonReport:
    """An experiment with its verdict."""

    record: ExperimentRecord
    family: Family
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    verdict: str
    sentence: str
    finished: bool = True
    acceptance: Acceptance | None = None


@dataclass(frozen=True)
class SweepPair:
    """Two stored sweeps set against each other."""

    first: str
    second: str
    """What each is, for people."""
    differences: tuple[Difference, ...]
    environment: tuple[EnvironmentDifference, ...]
    notes: tuple[str, ...]
    """What one must know of the two."""
    provenance: str
    """Whose figures these are; empty: an accelerator's."""


def verdict_on(family: Family, problems: Sequence[Problem]) -> str:
    """Of the whole experiment.

    A batch size that only the new side cannot do is a loss, whatever the others are. One that neither, or the
    old one, can do, or whose differences the load generator hides, is not known to be no worse.
    """
    if any(problem.side == "new" for problem in problems):
        return "worse"
    if not family.judgements:
        return "not compared"
    if problems and family.verdict in ("better", "no worse"):
        return "undecided"
    return family.verdict


def sentence_on(spec: ComparisonSpec, family: Family, problems: Sequence[Problem]) -> str:
    """The verdict in one sentence."""
    verdict = verdict_on(family, problems)
    parts = [
        *_problem_clauses(problems, family),
        *(_clause(family, wanted) for wanted in ("worse", "undecided", "better")),
        _no_worse(family),
        *_blank_clauses(family),
    ]
    told = "; ".join(part for part in parts if part) or "nothing could be judged"
    if not spec.with_itself:
        return f"Verdict: {verdict}. The new side against the old one: {told}."
    if not family.judgements:
        return f"A/A, both sides are the same: {told}."
    alarms = len(family.of("worse")) + len(family.of("better"))
    found = f"{alarms} false alarms" if alarms else "no false alarm"
    return f"A/A, both sides are the same: {found} in {len(family.judgements)} judgements: {told}."


def notes_on(spec: ComparisonSpec, pairs: Sequence[PairRecord]) -> tuple[str, ...]:
    """What one must know of the pairs themselves."""
    told = (*_unusable_notes(pairs), *_noise_notes(pairs), *_host_notes(pairs))
    if spec.pairs < FEW_PAIRS and len(spec.sweep.batch_sizes) > 1:
        return (*told, f"With fewer than {FEW_PAIRS} pairs chance alone can hardly be ruled out")
    return told


def _unusable_notes(pairs: Sequence[PairRecord]) -> Iterable[str]:
    unusable = [pair for pair in pairs if pair.unusable]
    if unusable:
        side, check, *_ = (*str(unusable[-1].unusable).split(": "), "")
        why = f"the last for {check} of the {side} side"
        yield f"{len(unusable)} of {len(pairs)} pairs could not be used, {why}"


def _noise_notes(pairs: Sequence[PairRecord]) -> Iterable[str]:
    failed = [{*pair.old.failed_checks, *pair.new.failed_checks} for pair in pairs if not pair.unusable]
    noisy = [names & NOISE_CHECKS for names in failed if names & NOISE_CHECKS]
    if noisy:
        names = ", ".join(sorted(set.union(*noisy)))
        yield f"{len(noisy)} of {len(pairs)} pairs were noisy ({names}), which makes the intervals wider"


def _host_notes(pairs: Sequence[PairRecord]) -> Iterable[str]:
    hosts = sorted({pair.host for pair in pairs if pair.host})
    if len(hosts) > 1:
        yield f"Pairs were measured on {len(hosts)} hosts, each pair on one: {', '.join(hosts)}"


def provenance(record: ExperimentRecord) -> str:
    """Whose figures these are."""
    sides = [each for each in (record.old_environment, record.new_environment) if each]
    if not sides:
        return "Nothing was measured."
    if all(each.hardware for each in sides):
        instance = f" ({sides[0].instance_type})" if sides[0].instance_type else ""
        return f"Measured on {sides[0].device}{instance}."
    stand_in = "a CPU" if record.spec.sweep.backend == "cpu" else "a stand-in"
    return f"Measured on {stand_in}: not an inf2 result."


def print_report(report: ComparisonReport, console: Console) -> None:
    """Caption, table, what is missing and why, and the verdict."""
    for line in caption(report):
        console.print(Text(line))
    if report.family.judgements:
        console.print("", _table(report.family.judgements), "", sep="\n")
    for note in _all_notes(report):
        console.print(Text(note))
    console.print(Text(one_line(report.sentence), "bold"), Text(provenance(report.record), "bold"))


def print_sweeps(found: SweepPair, console: Console) -> None:
    """The two sweeps, what differs between them, and what that does not prove."""
    console.print(Text(f"First: {one_line(found.first)}"))
    console.print(Text(f"Second: {one_line(found.second)}"))
    console.print(Text(f"Environment: {environment_words(found.environment)}"))
    if found.differences:
        console.print("", _sweeps_table(found.differences), "", sep="\n")
    for note in (*found.notes, _summary(found.differences)):
        console.print(Text(note))
    console.print(Text(f"{WARNING} {found.provenance}".rstrip(), "bold"))


def render_report(report: ComparisonReport) -> str:
    """As JSON, with all figures in full precision."""
    record = report.record
    old, new = record.old_environment, record.new_environment
    told = {
        "experiment_id": str(record.experiment_id),
        "run_id": record.run_id,
        "author": record.author,
        "created_at": record.created_at.isoformat(),
        "hardware": old is not None and new is not None and old.hardware and new.hardware,
        "provenance": provenance(record),
        "with_itself": record.spec.with_itself,
        "spec": record.spec.model_dump(mode="json"),
        "environment_changes": [asdict(each) for each in _changes(record)],
        "finished": report.finished,
        "verdict": report.verdict,
        "sentence": report.sentence,
        "judgements": [judgement_values(each) for each in report.family.judgements],
        "not_judged": [asdict(each) for each in report.family.blanks],
        "problems": [each.model_dump() for each in report.problems],
        "notes": report.notes,
    }
    return json.dumps(told, indent=2) + "\n"


def render_sweeps(found: SweepPair) -> str:
    """As JSON, with all figures in full precision."""
    return json.dumps({**asdict(found), "warning": WARNING}, indent=2) + "\n"


def caption(report: ComparisonReport) -> Iterable[str]:
    """What one must know to read the table."""
    record, sweep = report.record, report.record.spec.sweep
    facts = {
        "Experiment": str(record.experiment_id)[:SHORT_ID_CHARS],
        "model": sweep.model.name,
        "sequence length": str(sweep.model.sequence_length),
        "scenario": sweep.scenario,
        "label": sweep.label,
        "asked by": record.author,
        "date": f"{record.created_at:%Y-%m-%d %H:%M} UTC",
    }
    described = ", ".join(f"{name} {one_line(value)}" for name, value in facts.items() if value)
    yield f"{described}. {provenance(record)}"
    yield f"Old: {_side(record.spec.old, record.old_environment)}"
    yield f"New: {_side(record.spec.new, record.new_environment)}"
    if record.old_environment and record.new_environment:
        yield f"Changes: {environment_words(_changes(record))}"


def _changes(record: ExperimentRecord) -> tuple[EnvironmentDifference, ...]:
    old, new = record.old_environment, record.new_environment
    return () if old is None or new is None else environment_diff(old, new)


def environment_words(differences: Sequence[EnvironmentDifference]) -> str:
    """What differs, likeliest cause first."""
    told = ", ".join(f"{each.field} {each.before} -> {each.after}" for each in differences)
    return one_line(told) or "nothing that is recorded differs"


def percent(change: float) -> str:
    """Such as '-2.1 %'; with a sign always."""
    return f"{100 * change:+.2f} %"


def limits_words(limits: tuple[float, float] | None) -> str:
    """Such as '-2.60 to -1.60 %'."""
    return NOTHING if limits is None else f"{100 * limits[0]:+.2f} to {100 * limits[1]:+.2f} %"


def _side(interpreter: str, environment: Environment | None) -> str:
    if environment is None:
        return f"{interpreter}, nothing compiled"
    known = (
        ("Neuron SDK", environment.neuron_sdk),
        ("neuronx-cc", environment.neuronx_cc),
        ("torch-neuronx", environment.torch_neuronx),
        ("torch", environment.torch),
        ("Python", environment.python),
    )
    versions = ", ".join(f"{name} {version}" for name, version in known if version)
    return one_line(f"{interpreter} ({versions})")


def _all_notes(report: ComparisonReport) -> list[str]:
    problems = [f"Batch size {each.batch_size}, {each.side}: {each.reason}" for each in report.problems]
    blanks = [_blank_words(each) for each in report.family.blanks]
    running = [] if report.finished else ["Not finished: more pairs are to come, and this is no verdict yet."]
    return [shorten(note, NOTE_CHARS) for note in (*problems, *blanks, *report.notes, *running)]


def _blank_words(blank: Blank) -> str:
    return f"{METRIC_WORDS[blank.metric]} of batch size {blank.batch_size} is not judged: {blank.reason}"


def _table(judgements: Sequence[Judgement]) -> Table:
    table = _new_table("Batch", "Metric", "Old", "New", "New/old - 1", "95 % interval", "Pairs", "Verdict")
    before: int | None = -1
    for judged in judgements:
        if before not in (-1, judged.batch_size):
            table.add_section()
        before = judged.batch_size
        size = "all" if judged.batch_size is None else str(judged.batch_size)
        found = judged.estimate
        table.add_row(
            size,
            f"{METRIC_WORDS[judged.metric]} ({UNITS[judged.metric]})",
            _figure(judged.old),
            _figure(judged.new),
            percent(found.change),
            limits_words(found.limits),
            str(found.pairs),
            Text(_verdict_words(judged), STYLES.get(judged.verdict, "")),
        )
    return table


def _sweeps_table(differences: Sequence[Difference]) -> Table:
    table = _new_table("Batch", "Metric", "First", "Second", "Second/first - 1", "95 % within", "Second is")
    for each in differences:
        table.add_row(
            str(each.batch_size),
            f"{METRIC_WORDS[each.metric]} ({UNITS[each.metric]})",
            _figure(each.first),
            _figure(each.second),
            percent(each.change),
            limits_words(each.limits),
            Text(each.standing, STYLES.get(each.standing, "")),
        )
    return table


def _new_table(*headers: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for header in headers:
        is_text = header in ("Metric", "Verdict", "Second is")
        table.add_column(header, justify="left" if is_text else "right", no_wrap=True)
    return table


def _figure(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:,.1f}" if value >= 100 else f"{value:.3f}"


def _verdict_words(judged: Judgement) -> str:
    if judged.verdict == "undecided":
        return f"undecided at ±{100 * judged.estimate.half_width:.1f} %"
    return judged.verdict


def _summary(differences: Sequence[Difference]) -> str:
    if not differences:
        return "The two have no valid batch size in common."
    if all(each.standing == "not comparable" for each in differences):
        return "Neither is called slower or faster."
    apart = [each for each in differences if each.standing in ("slower", "faster")]
    return (
        f"{len(apart)} of {len(differences)} figures can be told apart by the noise within the sweeps alone."
    )


def _problem_clauses(problems: Sequence[Problem], family: Family) -> Iterable[str]:
    judged = {each.batch_size for each in family.judgements}
    for side, has_figures, words in (
        ("new", False, "the new side cannot do"),
        ("old", False, "the old side cannot do"),
        ("both", False, "no comparison of"),
        ("both", True, "broken off at"),
    ):
        own = [each.batch_size for each in problems if each.side == side and each.stage != "harness"]
        sizes = [size for size in own if (size in judged) == has_figures]
        if sizes:
            yield f"{words} {name_sizes(sizes)}"
    hidden = [each.batch_size for each in problems if each.stage == "harness"]
    if hidden:
        yield f"the load generator may hide differences at {name_sizes(hidden)}"


def _blank_clauses(family: Family) -> Iterable[str]:
    for metric, words in METRIC_WORDS.items():
        sizes = [blank.batch_size for blank in family.blanks if blank.metric == metric]
        if sizes:
            yield f"{words} is not judged at {name_sizes(sizes)}"


def _clause(family: Family, verdict: Verdict) -> str:
    found = sorted(family.of(verdict), key=lambda judged: -abs(judged.estimate.log_ratio))
    if not found:
        return ""
    named = ", ".join(_named(judged) for judged in found[:MOST_NAMED])
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f"{verdict} in {named}{more}"


def _named(judged: Judgement) -> str:
    where = "over all batch sizes" if judged.batch_size is None else f"at batch size {judged.batch_size}"
    metric = METRIC_WORDS[judged.metric]
    if judged.verdict == "undecided":
        return f"{metric} {where} at ±{100 * judged.estimate.half_width:.1f} %"
    found = judged.estimate
    return f"{metric} {where} ({percent(found.change)}, {limits_words(found.limits)})"


def _no_worse(family: Family) -> str:
    found = family.of("no worse")
    if not found:
        return ""
    if len(found) == len(family.judgements):
        return f"no worse in all {len(found)} judgements"
    return f"no worse in {len(found)} of {len(family.judgements)} judgements"
