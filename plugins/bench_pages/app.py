"""The application: the gate, and behind it pages, API and files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from sqlalchemy import Engine
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException as StarletteHTTPException

from bench_pages import api, assets, pages
from bench_pages.gate import Gate
from bench_pages.visitors import Identify, Refused
from benchlib.errors import BadInput, BenchError
from benchlib.store.errors import DatabaseUnreachable

NOT_JSON = "body: this is not JSON"
VALUE_CHARS = 80
"""Of a refused value, so much is quoted."""


def make_app(identify: Identify, engine: Callable[[], Engine] | None = None) -> Gate:
    """Pages and API behind the gate; ``engine`` is asked for once per request."""
    return Gate(make_routes(engine or pages.own_engine), identify)


def make_routes(engine: Callable[[], Engine]) -> FastAPI:
    """Pages and API without the gate; nothing must be served from this alone."""
    app = FastAPI(title="bench", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.engine = engine
    app.include_router(api.router, prefix=api.PREFIX)
    app.include_router(pages.router)
    app.add_api_route("/static/{digest}/{name}", _file, include_in_schema=False)
    for error, handler in _HANDLERS.items():
        app.add_exception_handler(error, handler)
    return app


def _file(digest: str, name: str) -> Response:
    try:
        found = assets.content(name)
    except KeyError:
        raise HTTPException(404, "There is no such file.") from None
    # Under an old address lies what is there now, but not for good.
    caching = {"Cache-Control": assets.FOR_GOOD} if digest == assets.digest(name) else {}
    return Response(found, media_type=assets.kind(name), headers=caching)


def sentence(error: Any) -> str:
    """What is wrong with a query string or a body: the first complaint, as one sentence."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return NOT_JSON
    field = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return f"{field}: there is no such parameter"
    if first["type"] == "missing":
        return f"{field}: it must be given"
    value = repr(first.get("input"))
    shown = value if len(value) <= VALUE_CHARS else f"{value[:VALUE_CHARS]}…"
    message = first["msg"].removeprefix("Value error, ")
    return f"{field}: {shown} is not allowed; allowed: {message[:1].lower()}{message[1:]}"


def _answer(request: Request, status: int, reason: str) -> Response:
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    if path.startswith(api.PREFIX) or "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": reason}, status)
    return HTMLResponse(pages.error_page(request, status, reason), status)


def _not_allowed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _answer(request, 422, sentence(error))


def _bad_input(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadInput)
    value = str(error.value)
    shown = value if len(value) <= VALUE_CHARS else f"{value[:VALUE_CHARS]}…"
    return _answer(request, 422, f"{error.field}: {shown!r} is not allowed; allowed: {error.allowed}")


def _unreachable(request: Request, error: Exception) -> Response:
    return _answer(request, 503, str(error))


def _busy(request: Request, _error: Exception) -> Response:
    return _answer(request, 503, "The database is busy: try again.")


def _failed(request: Request, error: Exception) -> Response:
    return _answer(request, 409, str(error))


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _answer(request, error.status, error.reason)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    if error.status_code == 400:  # what FastAPI says of a body that is not even text
        return _answer(request, 422, NOT_JSON)
    answer = _answer(request, error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


_HANDLERS: dict[Any, Any] = {
    RequestValidationError: _not_allowed,
    BadInput: _bad_input,
    DatabaseUnreachable: _unreachable,
    PoolTimeout: _busy,
    BenchError: _failed,
    Refused: _refused,
    StarletteHTTPException: _http,
}
