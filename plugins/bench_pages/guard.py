"""Airflow's login and Airflow's permissions: the only module of these pages that knows Airflow.

Who may read the runs of the sweep's DAG may read all results; who may edit its runs, as one does by marking
one as failed, may judge them. Nothing that is imported here belongs to Airflow's published interface: where
it is gone, nobody is let in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool

from bench_pages.visitors import Refused, Visitor
from benchlib.orchestration.names import DAG_ID

try:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import bearer_scheme, get_user, requires_access_dag
    from airflow.configuration import conf

    MISSING: str | None = None
except ImportError as error:
    MISSING = str(error)


async def identify(request: Request) -> Visitor:
    """Whom Airflow sees behind this request.

    Raises:
        Refused: 401, nobody is logged in; 403, somebody who may not read the DAG's runs; 503, this Airflow
            has another way to log in, and the pages stay closed.
    """
    if MISSING is not None:
        raise Refused(503, f"These pages do not know how to log in to this version of Airflow ({MISSING}).")
    try:
        credentials = await bearer_scheme(request)
        user = await get_user(request, None, credentials)
        await run_in_threadpool(_may("GET"), request, user)
    except HTTPException as refusal:
        raise _refused(request, refusal) from None
    return Visitor(
        name=user.get_name() or str(user.get_id()),
        user_id=str(user.get_id()),
        by_header=credentials is not None,
        may_edit=lambda: _is_allowed(lambda: _may("PUT")(request, user)),
        secret=conf.get("api", "secret_key"),
    )


def _may(method: Literal["GET", "PUT"]) -> Callable[[Request, BaseUser], None]:
    """Airflow's own check; raises its refusal."""
    return requires_access_dag(method, DagAccessEntity.RUN, param_dag_id=DAG_ID)


def _is_allowed(check: Callable[[], None]) -> bool:
    try:
        check()
    except HTTPException:
        return False
    return True


def _refused(request: Request, refusal: HTTPException) -> Refused:
    if refusal.status_code != 401:
        return Refused(refusal.status_code, "Your account may not read the runs of the DAG " + DAG_ID + ".")
    login_url = get_auth_manager().get_url_login(next_url=str(request.url))
    return Refused(401, "Log in to Airflow to see the benchmarks.", login_url)
