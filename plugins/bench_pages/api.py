"""The JSON API: what the pages show, and how one judges it, for programs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response
from pydantic import TypeAdapter
from sqlalchemy import Engine

from bench_pages import readers
from bench_pages.asked import (
    BaselinesAsked,
    CompareSdks,
    CompareTwo,
    IncidentId,
    IncidentsAsked,
    Judgement,
    OverviewAsked,
    Pin,
    RangeAsked,
    SeriesAsked,
    SweepsAsked,
    Withdrawal,
    check_single,
)
from bench_pages.tokens import check_writer
from bench_pages.visitors import Visitor
from benchlib.analysis.peak import Peak, Recommendation, closing_sentence, find_peak, provenance, recommend
from benchlib.errors import BadInput
from benchlib.report.table import row_notes
from benchlib.store.history import History, Series, SeriesWanted, find_histories, read_history
from benchlib.store.incidents import (
    Chosen,
    IncidentChange,
    IncidentLine,
    find_incident,
    is_same_program,
    list_incident_changes,
    list_incidents,
)
from benchlib.store.judgement_lists import (
    AnnotationLine,
    BaselineLine,
    Wanted,
    list_annotations,
    list_baselines,
)
from benchlib.store.judgements import (
    JudgedIncident,
    Pinned,
    Remark,
    Subject,
    SweepRange,
    judge_incidents,
    pin,
    unpin,
)
from benchlib.store.overview import Overview, read_overview
from benchlib.store.repository import Repository
from benchlib.store.sweep_reading import SweepReading, read_sweep

PREFIX = "/api/v1"
DESCRIPTION = """
Every call needs a login of Airflow: `Authorization: Bearer TOKEN` with the token that `POST /auth/token`
gives, or the cookie of the UI. With the cookie, a call that changes something also needs the header
`X-Bench-Token` of a page. Reading needs the permission to read the runs of the DAG `inf2_batch_sweep`,
judging that to edit them. Units are in the names; what is missing is null; `hardware: false` marks figures
of a CPU or a stand-in.
""".strip()


@dataclass(frozen=True)
class Problem:
    """Why a request was not answered."""

    detail: str
    """One sentence."""


@dataclass(frozen=True)
class SweepDocument:
    """One sweep, all of it."""

    provenance: str
    """Whose figures these are: of an accelerator, of a CPU or stand-in, or imported."""
    peak: Peak | None
    recommended: Recommendation | None
    note: str
    """What the table says, in words."""
    row_notes: tuple[str, ...]
    sweep: SweepReading


@dataclass(frozen=True)
class IncidentDocument:
    """One incident, its shifts, and what was said about it, latest first."""

    incident: IncidentLine
    same_program: bool | None
    """The first bad sweep ran the programs of the last good one; null: not known."""
    changes: tuple[IncidentChange, ...]
    annotations: tuple[AnnotationLine, ...]


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    described = {
        401: "Nobody is logged in",
        403: "The account may not do this, or the request comes from another site",
        404: "There is no such thing",
        409: "It stands in a way that does not permit this",
        415: "The body is not JSON",
        422: "The query or the body is not as described",
        503: "The database does not answer",
    }
    return {
        status: {"model": Problem, "description": described[status]} for status in (401, 403, 503, *statuses)
    }


def own_engine(request: Request) -> Engine:
    """The engine that the application was made with."""
    engine: Engine = request.app.state.engine()
    return engine


Database = Annotated[Engine, Depends(own_engine)]
Writer = Annotated[Visitor, Depends(check_writer)]
router = APIRouter(tags=["bench"], dependencies=[Depends(check_single)])


@router.get("/overview", responses=_problems(422), response_model=Overview)
def overview(engine: Database, asked: Annotated[OverviewAsked, Query()]) -> Response:
    """The last sweep of every configuration of the last 14 nights, the worst first; last night's coverage."""
    return document(Overview, read_overview(engine, model=asked.model))


@router.get("/sweeps", responses=_problems(422), response_model=tuple[readers.SweepLine, ...])
def sweeps(engine: Database, asked: Annotated[SweepsAsked, Query()]) -> Response:
    """Sweeps, newest first, each with its peak."""
    return document(tuple[readers.SweepLine, ...], readers.list_sweeps(engine, asked))


@router.get("/sweeps/{sweep_id}", responses=_problems(404, 422), response_model=SweepDocument)
def sweep(engine: Database, sweep_id: uuid.UUID) -> Response:
    """One sweep: table, peak, rounds, histograms, checks, compilations, environment, what was said."""
    with missing_is_404():
        return document(SweepDocument, sweep_document(read_sweep(engine, sweep_id)))


@router.get("/series", responses=_problems(422), response_model=tuple[Series, ...])
def series(engine: Database, asked: Annotated[SeriesAsked, Query()]) -> Response:
    """What may be compared from night to night."""
    return document(tuple[Series, ...], find_histories(engine, SeriesWanted(**asked.model_dump())))


@router.get("/series/{series_id}/history", responses=_problems(404, 422), response_model=History)
def history(engine: Database, series_id: uuid.UUID, asked: Annotated[RangeAsked, Query()]) -> Response:
    """One series night by night, with changes, SDK upgrades and nights without a figure."""
    with missing_is_404("series"):
        return document(History, read_history(engine, series_id, asked.since, asked.until))


@router.get("/compare/sweeps", responses=_problems(422), response_model=readers.Held)
def compare_sweeps(engine: Database, asked: Annotated[CompareTwo, Query()]) -> Response:
    """Two sweeps: the second over the first at each batch size, and what differs in the environment."""
    repository = Repository(engine)
    first, second = (repository.find_sweep(each) for each in (asked.a, asked.b))
    return document(readers.Held, readers.compare_sweeps(engine, first, second))


@router.get("/compare/sdks", responses=_problems(404, 422), response_model=readers.Held)
def compare_sdks(engine: Database, asked: Annotated[CompareSdks, Query()]) -> Response:
    """Two SDKs: the nights with the second over those with the first, at all batch sizes."""
    found = the_series(engine, asked.series)
    return document(readers.Held, readers.compare_sdks(engine, found, asked.sdk_a, asked.sdk_b))


@router.get("/incidents", responses=_problems(422), response_model=tuple[IncidentLine, ...])
def incidents(engine: Database, asked: Annotated[IncidentsAsked, Query()]) -> Response:
    """Lasting shifts: losses first, and of those the ones that matter most."""
    return document(tuple[IncidentLine, ...], list_incidents(engine, chosen(asked)))


@router.get("/incidents/{incident_id}", responses=_problems(404, 422), response_model=IncidentDocument)
def incident(engine: Database, incident_id: Annotated[IncidentId, Path()]) -> Response:
    """One incident, its shifts, and what was said about it."""
    with missing_is_404():
        found = find_incident(engine, incident_id)
    return document(IncidentDocument, incident_document(engine, found))


@router.post(
    "/incidents/{incident_id}/judgements",
    responses=_problems(404, 409, 415, 422),
    response_model=JudgedIncident,
)
def judge_incident(
    writer: Writer, engine: Database, incident_id: Annotated[IncidentId, Path()], body: Judgement
) -> Response:
    """Say where an incident stands from now on. Saying the same again changes nothing."""
    with missing_is_404():
        find_incident(engine, incident_id)
    remark = Remark(author=writer.name, reason=body.reason)
    try:
        (judged,) = judge_incidents(engine, [incident_id], body.status, remark)
    except BadInput as error:
        raise HTTPException(409, str(error)) from None
    return document(JudgedIncident, judged)


@router.get("/baselines", responses=_problems(422), response_model=tuple[BaselineLine, ...])
def baselines(engine: Database, asked: Annotated[BaselinesAsked, Query()]) -> Response:
    """What each series is judged against now."""
    found = list_baselines(engine, asked.pinned, Wanted(model=asked.model, limit=asked.limit))
    return document(tuple[BaselineLine, ...], found)


@router.post("/baselines", responses=_problems(415, 422), response_model=Pinned)
def pin_baseline(writer: Writer, engine: Database, body: Pin) -> Response:
    """Judge series against these sweeps from now on."""
    sweeps = SweepRange(body.first_sweep_id, body.last_sweep_id or body.first_sweep_id)
    remark = Remark(author=writer.name, reason=body.reason)
    return document(Pinned, pin(engine, sweeps, body.series_ids, remark))


@router.post("/baselines/withdrawals", responses=_problems(415, 422), response_model=tuple[uuid.UUID, ...])
def withdraw_baseline(writer: Writer, engine: Database, body: Withdrawal) -> Response:
    """Withdraw what series are pinned to; returns those series."""
    remark = Remark(author=writer.name, reason=body.reason)
    return document(tuple[uuid.UUID, ...], unpin(engine, body.sweep_id, body.series_ids, remark))


@router.get("/openapi.json", include_in_schema=False)
def description(request: Request) -> dict[str, Any]:
    """This API, described for programs."""
    return openapi(request.app)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def document(kind: Any, value: object) -> Response:
    """A value as JSON; it is not checked once more on its way out."""
    return Response(_adapter(kind).dump_json(value), media_type="application/json")


def sweep_document(reading: SweepReading) -> SweepDocument:
    """A sweep with what can be said about it."""
    comparison = reading.comparison
    return SweepDocument(
        provenance=provenance(comparison),
        peak=find_peak(comparison.rows),
        recommended=recommend(comparison),
        note=closing_sentence(comparison),
        row_notes=tuple(row_notes(comparison)),
        sweep=reading,
    )


def chosen(asked: IncidentsAsked) -> Chosen:
    """As the store knows it."""
    return Chosen(asked.statuses, asked.model, with_muted=asked.muted, limit=asked.limit)


def incident_document(engine: Engine, line: IncidentLine) -> IncidentDocument:
    """An incident with all that belongs to it."""
    return IncidentDocument(
        line,
        is_same_program(engine, line),
        list_incident_changes(engine, line.incident_id),
        list_annotations(engine, Subject(incident_id=line.incident_id)),
    )


def the_series(engine: Engine, beginning: str) -> Series:
    """The only series whose id begins like this.

    Raises:
        HTTPException: 404, there is none.
        BadInput: there are several.
    """
    found = find_histories(engine, SeriesWanted(series=beginning, limit=2))
    if not found:
        raise HTTPException(404, f"No series has an id that begins with {beginning}.")
    if len(found) > 1:
        raise BadInput("series", beginning, "more of the id: several begin like this")
    return found[0]


@contextmanager
def missing_is_404(field: str | None = None) -> Iterator[None]:
    """Of what a path names: that it is not there is no fault of a query. ``field``: only if it is this."""
    try:
        yield
    except BadInput as error:
        if field is not None and error.field != field:
            raise
        raise HTTPException(404, str(error)) from None


def openapi(app: Any) -> dict[str, Any]:
    """The description of the API, the same wherever it runs."""
    from fastapi.openapi.utils import get_openapi

    described = get_openapi(
        title="Benchmarks in Airflow",
        version="1",
        summary="Results of nightly sweeps, and what people say about them.",
        description=DESCRIPTION,
        routes=[route for route in app.routes if getattr(route, "path", "").startswith(PREFIX)],
        servers=[{"url": "/bench"}],
    )
    described["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "login": {"type": "apiKey", "in": "cookie", "name": "_token"},
    }
    described["security"] = [{"token": []}, {"login": []}]
    return described
