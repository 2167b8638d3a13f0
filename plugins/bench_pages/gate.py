"""Lets nobody past whom the guard does not know, and puts the same headers on every answer.

It stands before all routes, so that no page, no file, no unknown address and no strange method gets around
it, as they would get around a dependency of single routes.
"""

from __future__ import annotations

import html
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bench_pages.visitors import Identify, Refused

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
PRIVATE = "private, no-cache"
"""Behind a login nothing belongs into a shared cache."""


class Gate:
    """An ASGI application in front of another."""

    def __init__(self, app: ASGIApp, identify: Identify) -> None:
        self._app = app
        self._identify = identify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or refuse it."""
        if scope["type"] == "http":
            await self._answer(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            visitor = await self._identify(request)
        except Refused as refused:
            await _refusal(request, refused)(scope, receive, send)
            return
        state: dict[str, Any] = {**scope.get("state", {}), "visitor": visitor}
        await self._app({**scope, "state": state}, receive, send)


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", PRIVATE)
        await send(message)

    return send_with_headers


def _refusal(request: Request, refused: Refused) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else {}
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": refused.reason}, refused.status, headers)
    link = ""
    if refused.login_url:
        link = f' <a href="{html.escape(refused.login_url)}" target="_top">Log in</a>'
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Benchmarks</title>'
        f"<p>{html.escape(refused.reason)}{link}</p></html>"
    )
    return HTMLResponse(page, refused.status, headers)
