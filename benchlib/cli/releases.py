"""`bench releases`: which release of the SDK changed which published figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from pydantic import TypeAdapter

from benchlib.analysis.releases import (
    LEADS,
    RATE,
    Event,
    Metric,
    Move,
    ReleaseReport,
    Step,
    judge_releases,
)
from benchlib.cli.judging import AsJson, Column, ModelOption, print_table, reading, say
from benchlib.errors import BadInput, BenchError
from benchlib.report.table import NOTHING
from benchlib.store.releases import release_histories

NAMES: dict[Metric, str] = {"throughput_inf_per_s": "throughput", "p50_ms": "P50", "p99_ms": "P99"}
COLUMNS = (
    Column("Model"),
    Column("Batch"),
    Column("Ran on", dispensable=3),
    Column("From", dispensable=2),
    Column("Throughput"),
    Column("P50"),
    Column("P99"),
    Column("Against earlier ones", dispensable=4),
    Column("p"),
    Column("Next release", dispensable=1),
)


def releases(
    model: ModelOption = None,
    instance_type: Annotated[
        str, typer.Option(help="How the instance type begins; an empty one means any accelerator.")
    ] = "inf2",
    rate: Annotated[
        float, typer.Option(help="Tell what at most this share of unchanged values would show.")
    ] = RATE,
    as_json: AsJson = False,
) -> None:
    """Find the releases of the SDK at which imported figures changed, and say how sure that is.

    Published tables hold one value per release, without a variance: every value is held against the median of
    up to five releases before it and the scatter of all series. Series that one release moved in the same way
    are one event. The next release is the second witness. Import the tables first: `bench import FILE`.
    """
    histories = release_histories(reading(), instance_type)
    if not histories:
        raise BenchError("no imported figure fits that names a release of the SDK: see bench import --help")
    report = judge_releases(histories, rate)
    if model is not None:
        if all(history.model != model for history in histories):
            raise BadInput("--model", model, "a model that was imported with a release of the SDK")
        report = report.only(model)
    if as_json:
        typer.echo(TypeAdapter(ReleaseReport).dump_json(report, indent=2))
        return
    for event in report.events:
        say(_sentence(event))
        print_table(COLUMNS, [_cells(step) for step in event.steps])
        say("")
    for sentence in _summary(report):
        say(sentence)


def _sentence(event: Event) -> str:
    lead = LEADS[event.pattern]
    changes = [change for step in event.steps if (change := step.from_previous(lead)) is not None]
    what = f"{event.pattern} {event.direction}: {NAMES[lead]} {_span(changes)}"
    chance = f"chance would bring up to {event.expected_by_chance:.1f}"
    return (
        f"SDK {event.release}, {what} from the release before, on {len(event.steps)} of {event.tested} "
        f"series ({chance}); {_lasting(event.steps)}."
    )


def _lasting(steps: Sequence[Step]) -> str:
    known = [step.leading.lasting for step in steps]
    words = ((True, "still there in the next release"), (False, "gone in the next"), (None, "not seen since"))
    counted = [(known.count(answer), word) for answer, word in words if answer in known]
    return ", ".join(word if count == len(steps) else f"{count} {word}" for count, word in counted)


def _span(changes: Iterable[float]) -> str:
    ordered = sorted(changes)
    low, high = f"{ordered[0]:+.1%}", f"{ordered[-1]:+.1%}"
    return low if low == high else f"{low} to {high}"


def _cells(step: Step) -> tuple[str, ...]:
    history, lead = step.history, step.leading
    changes = [step.from_previous(metric) for metric in NAMES]
    return (
        history.model,
        str(history.batch_size),
        history.instance_type or NOTHING,
        step.previous_release,
        *(NOTHING if change is None else f"{change:+.1%}" for change in changes),
        _against(lead),
        f"{lead.p:.4f}",
        _following(step, lead),
    )


def _against(lead: Move) -> str:
    return f"{lead.relative_change:+.1%} ({lead.relative_low:+.1%} to {lead.relative_high:+.1%})"


def _following(step: Step, lead: Move) -> str:
    if lead.next_relative_change is None:
        return NOTHING
    return f"{lead.next_relative_change:+.1%} in {step.next_release}"


def _summary(report: ReleaseReport) -> Iterable[str]:
    yield (
        f"Over all models, {report.told} of {report.comparisons} comparisons in {report.series} series tell "
        f"of a change at p < {report.rate:g}; chance alone would bring up to {report.expected_by_chance:.1f}."
    )
    yield (
        "Throughput, P50 and P99 are changes from the release before. The other columns hold the metric that "
        "the event is named after against the median of up to 5 releases before: its change with the 95 % "
        "interval, p, and what the next release has. One value per release: none has a variance of its own."
    )
    if report.ambiguous:
        yield f"{report.ambiguous} releases of a series have several values that differ and were left out."
