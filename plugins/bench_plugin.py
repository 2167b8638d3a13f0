"""Benchmarks inside the Airflow UI: a page in the navigation and a tab on every DAG run.

Every component of Airflow imports this file, workers too. What the pages need is imported when the first one
is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/bench"

Asgi = Callable[..., Awaitable[None]]


class MadeWhenAsked:
    """An ASGI application that is made at the first request."""

    def __init__(self) -> None:
        self._app: Asgi | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        if self._app is None:
            self._app = await asyncio.to_thread(_make)
        await self._app(scope, receive, send)


def _make() -> Asgi:
    from bench_pages.app import make_app
    from bench_pages.guard import identify

    return make_app(identify)


class BenchPlugin(AirflowPlugin):
    """What Airflow finds."""

    name = "bench"
    fastapi_apps = [{"app": MadeWhenAsked(), "url_prefix": PREFIX, "name": "bench"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Benchmarks",
            "href": "bench/",
            "destination": "nav",
            "url_route": "benchmarks",
            "nav_top_level": True,
        },
        {
            "name": "Benchmark",
            "href": "bench/sweep?dag={DAG_ID}&run={RUN_ID}",
            "destination": "dag_run",
            "url_route": "benchmark",
        },
    ]
