"""What people see. Every view is one address; its state is in the query string."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import jinja2
from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import Engine

from bench_pages import assets, charts, fmt, readers, sheet_views
from bench_pages.api import (
    Database,
    chosen,
    incident_document,
    missing_is_404,
    sweep_document,
    the_series,
)
from bench_pages.asked import (
    ChangesAsked,
    CompareAsked,
    HistoryAsked,
    OverviewAsked,
    SweepAsked,
    SweepsAsked,
    check_single,
)
from bench_pages.sheets import Sheet, as_csv, as_markdown
from bench_pages.tokens import token_of
from bench_pages.visitors import visitor_of
from benchlib.analysis.peak import provenance
from benchlib.errors import BadInput
from benchlib.orchestration.names import COMPILE_TASK, MEASURE_TASK
from benchlib.records import sweep_id_of
from benchlib.report import history_words
from benchlib.report.render import render
from benchlib.report.table import marks
from benchlib.settings import Settings
from benchlib.store.history import (
    GIVEN_UP_AFTER_DAYS,
    METRICS,
    History,
    Series,
    SeriesWanted,
    find_histories,
    latest_peak,
    read_history,
)
from benchlib.store.incidents import IncidentLine, count_muted, find_incident, list_incidents
from benchlib.store.judgement_lists import Wanted, list_baselines
from benchlib.store.judgements import MAY_FOLLOW, OPEN
from benchlib.store.overview import STANDINGS, ConfigurationLine, Overview, Standing, read_overview
from benchlib.store.repository import Repository
from benchlib.store.sweep_reading import SweepReading, read_sweep

Format = Literal["csv", "md"]
MEDIA = {"csv": "text/csv; charset=utf-8", "md": "text/markdown; charset=utf-8"}
SERIES_TO_PICK = 300
SWEEPS_TO_PICK = 60
HISTORY_DAYS = 180
NIGHTS_SHOWN = 400

STANDING_WORDS: Mapping[str, str] = {
    "failed": "No valid figure",
    "worse": "Change for the worse",
    "lower": "Lower than before",
    "incomplete": "Incomplete",
    "missing": "Overdue",
    "due": "Not run yet",
    "unfinished": "Running",
    "acknowledged": "Acknowledged",
    "better": "Change for the better",
    "fine": "Fine",
}
LOOK_WORDS: Mapping[str, str] = {
    "failed": "without a valid figure",
    "worse": "with a change for the worse",
    "lower": "lower than before",
    "incomplete": "incomplete",
    "missing": "overdue",
}
QUIET_WORDS: Mapping[Standing, str] = {
    "due": "not run yet",
    "unfinished": "still running",
    "acknowledged": "with an acknowledged change for the worse",
}
Level = Literal["bad", "warn", "info", "good"]
LEVELS: Mapping[str, Level] = {
    "failed": "bad",
    "worse": "bad",
    "lower": "bad",
    "incomplete": "warn",
    "missing": "warn",
    "due": "info",
    "unfinished": "info",
    "acknowledged": "info",
    "better": "good",
    "fine": "good",
}
STATUS_WORDS: Mapping[str, str] = {
    "suspect": "Suspect",
    "confirmed": "Open",
    "reopened": "Open again",
    "open": "Open",
    "acknowledged": "Acknowledged",
    "expected": "Expected",
    "infra": "Not the program",
    "fixed": "Fixed",
    "wont_fix": "Will not be fixed",
    "false_alarm": "False alarm",
    "recovered": "Recovered",
}
VERBS: Mapping[str, str] = {
    "acknowledged": "Acknowledge",
    "expected": "Mark as expected",
    "infra": "Not the program",
    "fixed": "Mark as fixed",
    "wont_fix": "Will not fix",
    "false_alarm": "False alarm",
    "reopened": "Open again",
}

router = APIRouter(include_in_schema=False, dependencies=[Depends(check_single)])


@cache
def own_engine() -> Engine:
    """The engine on the results' database of this process, made when first asked for."""
    return readers.make_engine(Settings.from_environment())


@dataclass(frozen=True)
class Headline:
    """The answer to: was last night fine?"""

    level: Level
    text: str


@router.get("/")
def overview_page(request: Request, engine: Database, asked: Annotated[OverviewAsked, Query()]) -> Response:
    """Was last night fine, where is the peak, what changed?"""
    found = read_overview(engine, model=asked.model)
    return show(
        request,
        "overview.html",
        overview=found,
        headline=headline(found),
        models=readers.list_models(engine),
        asked=asked,
        view="overview",
    )


@router.get("/overview.{fmt_}")
def overview_file(fmt_: Format, engine: Database, asked: Annotated[OverviewAsked, Query()]) -> Response:
    """The same to take away."""
    return taken(sheet_views.of_overview(read_overview(engine, model=asked.model)), "overview", fmt_)


@router.get("/sweeps")
def sweeps_page(request: Request, engine: Database, asked: Annotated[SweepsAsked, Query()]) -> Response:
    """All sweeps, newest first."""
    found = readers.list_sweeps(engine, asked)
    return show(
        request,
        "sweeps.html",
        sweeps=found,
        asked=asked,
        newer=_moved(asked, -asked.limit) if asked.offset else None,
        older=_moved(asked, asked.limit) if len(found) == asked.limit else None,
        models=readers.list_models(engine),
        view="sweeps",
    )


def _moved(asked: SweepsAsked, step: int) -> str:
    return _query(asked.model_copy(update={"offset": max(0, asked.offset + step)}))


@router.get("/sweeps.{fmt_}")
def sweeps_file(fmt_: Format, engine: Database, asked: Annotated[SweepsAsked, Query()]) -> Response:
    """The same to take away."""
    return taken(sheet_views.of_sweeps(readers.list_sweeps(engine, asked)), "sweeps", fmt_)


@router.get("/sweep")
def sweep_page(request: Request, engine: Database, asked: Annotated[SweepAsked, Query()]) -> Response:
    """One sweep: how fast at each batch size, and whether to believe it."""
    reading = _the_sweep(engine, asked)
    return show(
        request,
        "sweep.html",
        reading=reading,
        comparison=reading.comparison,
        document=sweep_document(reading),
        marks=marks(reading.comparison.rows),
        provenance=provenance(reading.comparison),
        logs=logs_of(reading),
        view="sweeps",
    )


@router.get("/sweep.{fmt_}")
def sweep_file(fmt_: Format, engine: Database, asked: Annotated[SweepAsked, Query()]) -> Response:
    """The same to take away."""
    comparison = _the_sweep(engine, asked).comparison
    return attachment(render(comparison, fmt_), f"sweep-{fmt.short_id(comparison.sweep_id)}", fmt_)


def _the_sweep(engine: Engine, asked: SweepAsked) -> SweepReading:
    if bool(asked.dag) != bool(asked.run):
        raise BadInput("dag and run", asked.dag or asked.run, "both, or neither")
    if asked.dag and asked.run:
        with missing_is_404():
            try:
                return read_sweep(engine, sweep_id_of(asked.dag, asked.run))
            except BadInput:
                raise HTTPException(404, "This run has stored no sweep, or none yet.") from None
    repository = Repository(engine)
    with missing_is_404():
        sweep_id = repository.find_sweep(asked.sweep) if asked.sweep else repository.latest_sweep_id()
    if sweep_id is None:
        raise HTTPException(404, "No sweep has been stored yet.")
    return read_sweep(engine, sweep_id)


def logs_of(reading: SweepReading) -> Mapping[int, Mapping[str, str]]:
    """Where Airflow keeps the log of each step, by batch size, relative to the pages."""
    # What only confirms was measured by a task of the run that it confirms.
    if reading.comparison.origin != "dag" or reading.confirms_sweep_id is not None:
        return {}
    run = run_address(reading.dag_id, reading.run_id)
    # The DAG maps its tasks over the batch sizes in ascending order.
    return {
        row.batch_size: {
            "compile": f"{run}/tasks/{COMPILE_TASK}/mapped/{place}",
            "measure": f"{run}/tasks/{MEASURE_TASK}/mapped/{place}",
        }
        for place, row in enumerate(reading.comparison.rows)
    }


def run_address(dag_id: str, run_id: str) -> str:
    """Airflow's own page of a run, relative to the pages."""
    return f"../dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"


@router.get("/history")
def history_page(request: Request, engine: Database, asked: Annotated[HistoryAsked, Query()]) -> Response:
    """One series from night to night."""
    models = readers.list_models(engine)
    chosen = _the_series(engine, asked)
    model = chosen.model if chosen else asked.model or (models[0] if models else None)
    history = _read(engine, chosen, asked) if chosen else None
    return show(
        request,
        "history.html",
        history=history,
        ranges=_ranges(history) if history else (),
        shown=NIGHTS_SHOWN,
        series=chosen,
        groups=_groups(_to_pick(engine, model, chosen)),
        model=model,
        models=models,
        metrics=METRICS,
        asked=asked,
        view="history",
    )


@router.get("/history.{fmt_}")
def history_file(fmt_: Format, engine: Database, asked: Annotated[HistoryAsked, Query()]) -> Response:
    """The same to take away."""
    series = _the_series(engine, asked)
    if series is None:
        raise HTTPException(404, "No series has been stored yet.")
    return taken(
        sheet_views.of_history(_read(engine, series, asked)),
        f"history-{fmt.short_id(series.series_id)}",
        fmt_,
    )


def _the_series(engine: Engine, asked: HistoryAsked) -> Series | None:
    """The one asked for, or the latest peak, of an accelerator if there is any."""
    if asked.series:
        return the_series(engine, asked.series)
    for hardware in (True, None):
        peak = latest_peak(engine, SeriesWanted(model=asked.model, hardware=hardware))
        if peak is not None:
            return the_series(engine, str(peak))
    of_model = find_histories(engine, SeriesWanted(model=asked.model, limit=SERIES_TO_PICK))
    return max(of_model, key=lambda each: (each.hardware, each.last_night, -each.batch_size), default=None)


def _read(engine: Engine, series: Series, asked: HistoryAsked) -> History:
    since = asked.since or default_since(series, asked.until)
    return read_history(engine, series.series_id, since, asked.until)


def default_since(series: Series, until: date | None) -> date:
    """Half a year before the end of the history, never after it."""
    end = min(until or series.last_night, series.last_night)
    return min(max(series.first_night, end - timedelta(days=HISTORY_DAYS)), end)


def _ranges(history: History) -> list[tuple[str, date]]:
    """Other beginnings with the same end."""
    first = history.series.first_night
    days = {"30 nights": 30, "90 nights": 90, "half a year": HISTORY_DAYS, "a year": 365}
    shorter = [(text, history.until - timedelta(days=number)) for text, number in days.items()]
    return [*((text, since) for text, since in shorter if since > first), ("all", first)]


def _to_pick(engine: Engine, model: str | None, picked: Series | None) -> Sequence[Series]:
    found = find_histories(engine, SeriesWanted(model=model, limit=SERIES_TO_PICK))
    return found if picked is None or picked in found else (picked, *found)


def _groups(found: Sequence[Series]) -> Mapping[str, list[Series]]:
    """The series by all that tells them apart but the batch size."""
    groups: dict[str, list[Series]] = {}
    for each in found:
        facts = " · ".join(history_words.series_facts(each)[:-1])
        groups.setdefault(facts, []).append(each)
    return groups


@router.get("/compare")
def compare_page(request: Request, engine: Database, asked: Annotated[CompareAsked, Query()]) -> Response:
    """Any two sweeps, or any two SDKs of a configuration."""
    series = _picked(engine, asked)
    sdks = readers.list_sdks(engine, series.series_id) if series else ()
    return show(
        request,
        "compare.html",
        held=_held(engine, asked, series),
        series=series,
        sdks=sdks,
        two=_two_sdks(sdks, asked),
        sweeps=readers.list_sweeps(engine, SweepsAsked(limit=SWEEPS_TO_PICK)),
        asked=asked,
        view="compare",
    )


@router.get("/compare.{fmt_}")
def compare_file(fmt_: Format, engine: Database, asked: Annotated[CompareAsked, Query()]) -> Response:
    """The same to take away."""
    held = _held(engine, asked, _picked(engine, asked))
    if held is None:
        raise BadInput("a and b", None, "two sweeps, or a series with sdk_a and sdk_b")
    return taken(sheet_views.of_compare(held), "compare", fmt_)


def _two_sdks(sdks: Sequence[readers.SdkPeriod], asked: CompareAsked) -> tuple[str | None, str | None]:
    """What the form offers: what was asked, else the newest that differ."""
    names = [each.sdk for each in sdks]
    second = asked.sdk_b or next((name for name in reversed(names) if name != asked.sdk_a), None)
    first = asked.sdk_a or next((name for name in reversed(names) if name != second), None)
    return first, second


def _picked(engine: Engine, asked: CompareAsked) -> Series | None:
    return the_series(engine, asked.series) if asked.series else None


def _held(engine: Engine, asked: CompareAsked, series: Series | None) -> readers.Held | None:
    if series:
        if not asked.sdk_a or not asked.sdk_b:
            return None
        return readers.compare_sdks(engine, series, asked.sdk_a, asked.sdk_b)
    if not asked.a or not asked.b:
        return None
    repository = Repository(engine)
    return readers.compare_sweeps(engine, repository.find_sweep(asked.a), repository.find_sweep(asked.b))


@router.get("/changes")
def changes_page(request: Request, engine: Database, asked: Annotated[ChangesAsked, Query()]) -> Response:
    """What shifted, since when, and what people say about it."""
    found = _incidents(engine, asked)
    return show(
        request,
        "changes.html",
        documents=[incident_document(engine, each) for each in found],
        muted=0 if asked.muted or asked.incident else count_muted(engine, chosen(asked)),
        pinned=list_baselines(engine, pinned_only=True, wanted=Wanted(model=asked.model)),
        follows={
            status: [to for to, allowed in MAY_FOLLOW.items() if status in allowed] for status in STATUS_WORDS
        },
        models=readers.list_models(engine),
        asked=asked,
        view="changes",
    )


@router.get("/changes.{fmt_}")
def changes_file(fmt_: Format, engine: Database, asked: Annotated[ChangesAsked, Query()]) -> Response:
    """The same to take away."""
    return taken(sheet_views.of_incidents(_incidents(engine, asked)), "changes", fmt_)


def _incidents(engine: Engine, asked: ChangesAsked) -> tuple[IncidentLine, ...]:
    if asked.incident is None:
        return list_incidents(engine, chosen(asked))
    with missing_is_404():
        return (find_incident(engine, asked.incident),)


@router.get("/chart/sweep/{name}")
def sweep_chart(
    name: charts.SweepChart, engine: Database, asked: Annotated[charts.SweepChartAsked, Query()]
) -> Response:
    """A chart of one sweep, as the chart library reads it."""
    with missing_is_404():
        return charts.of_sweep(read_sweep(engine, asked.sweep), name, asked)


@router.get("/chart/history")
def history_chart(engine: Database, asked: Annotated[charts.HistoryChartAsked, Query()]) -> Response:
    """The chart of one series."""
    with missing_is_404("series"):
        return charts.of_history(read_history(engine, asked.series, asked.since, asked.until), asked)


@router.get("/chart/compare/sweeps")
def sweeps_chart(engine: Database, asked: Annotated[charts.CompareChartAsked, Query()]) -> Response:
    """The chart of two sweeps."""
    return charts.of_compare(readers.compare_sweeps(engine, asked.a, asked.b), asked.metric, asked)


@router.get("/chart/compare/sdks")
def sdks_chart(engine: Database, asked: Annotated[charts.SdkChartAsked, Query()]) -> Response:
    """The chart of two SDKs."""
    held = readers.compare_sdks(engine, the_series(engine, asked.series), asked.sdk_a, asked.sdk_b)
    return charts.of_compare(held, asked.metric, asked)


def headline(found: Overview) -> Headline:
    """One sentence about the last night, and how bad it is."""
    if found.night is None:
        return Headline("info", "No sweep of a DAG has been stored yet.")
    if found.is_late:
        nights = (found.today - found.night).days
        return Headline("bad", f"Nothing ran since {found.night}, {nights} nights ago.")
    shown = {each.incident_id for line in found.lines for each in line.incidents}
    apart = [each for each in found.incidents if each.direction == "worse" and each.incident_id not in shown]
    waiting = sum(each.status in OPEN for each in apart)
    of_lines = _of_lines(found.lines)
    if waiting:
        elsewhere = f"{_count(waiting, 'open change')} for the worse of what is not shown here."
        text = elsewhere if of_lines.level == "good" else f"{of_lines.text} {elsewhere}"
        return Headline("bad", text)
    if apart and of_lines.level == "good":
        seen = f"{_count(len(apart), 'acknowledged change')} for the worse of what is not shown here"
        return Headline("info", f"{of_lines.text.removesuffix('.')}; {seen}.")
    return of_lines


def _of_lines(lines: Sequence[ConfigurationLine]) -> Headline:
    if not lines:
        nights = f"the last {GIVEN_UP_AFTER_DAYS} nights"
        return Headline("info", f"No configuration fits that ran within {nights}.")
    counts = Counter(line.standing for line in lines)
    of_all = f"of {_count(len(lines), 'configuration')}"
    looked = [name for name in STANDINGS if counts[name] and LEVELS[name] in ("bad", "warn")]
    if looked:
        number = sum(counts[name] for name in looked)
        kinds = ", ".join(f"{counts[name]} {LOOK_WORDS[name]}" for name in looked)
        needs = "needs" if number == 1 else "need"
        # The worst comes first.
        return Headline(LEVELS[looked[0]], f"{number} {of_all} {needs} a look: {kinds}.")
    quiet = [f"{counts[name]} {words}" for name, words in QUIET_WORDS.items() if counts[name]]
    if quiet:
        return Headline("info", f"Nothing new {of_all}: {', '.join(quiet)}; the rest is fine.")
    if len(lines) == 1:
        return Headline("good", "The one configuration is fine.")
    return Headline("good", f"All {len(lines)} configurations are fine.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def show(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page with what all pages need."""
    return HTMLResponse(_page(request, template, **values), status)


def error_page(request: Request, status: int, reason: str) -> str:
    """What went wrong, with the way back."""
    titles = {404: "Not found", 422: "Not understood", 503: "The database does not answer"}
    return _page(
        request, "error.html", status=status, title=titles.get(status, "Refused"), reason=reason, view=""
    )


def _page(request: Request, template: str, **values: Any) -> str:
    visitor = visitor_of(request)
    may_edit = visitor.may_edit()
    return (
        _templates()
        .get_template(template)
        .render(
            query=request.url.query,
            up="../" * _depth(request),
            visitor=visitor.name,
            may_edit=may_edit,
            token=token_of(visitor) if may_edit else None,
            now=datetime.now(UTC),
            **values,
        )
    )


def _depth(request: Request) -> int:
    """How many folders below the pages' own the address lies: only of one that leads nowhere is it not 0."""
    path: str = request.scope["path"]
    return max(0, path.removeprefix(request.scope.get("root_path", "")).count("/") - 1)


def taken(sheet: Sheet, name: str, fmt_: Format) -> Response:
    """A sheet as a file."""
    return attachment(as_csv(sheet) if fmt_ == "csv" else as_markdown(sheet), name, fmt_)


def attachment(text: str, name: str, fmt_: Format) -> Response:
    """A text as a file."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.{fmt_}"'}
    return Response(text, media_type=MEDIA[fmt_], headers=headers)


def _query(asked: Any, **changes: Any) -> str:
    values = {**asked.model_dump(mode="json", exclude_defaults=True), **changes}
    return urlencode({name: value for name, value in values.items() if value is not None})


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(fmt.FILTERS)
    environment.globals.update(
        asset=assets.address,
        levels=LEVELS,
        standing_words=STANDING_WORDS,
        status_words=STATUS_WORDS,
        verbs=VERBS,
        metric_names=fmt.METRIC_NAMES,
        units=fmt.UNITS,
        not_inf2=fmt.provenance,
        run_address=run_address,
        words=history_words,
        query_of=_query,
    )
    return environment
