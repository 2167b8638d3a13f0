"""Keeps other sites from using a visitor's browser to judge results in his name."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from fastapi import Request

from bench_pages.visitors import Refused, Visitor, visitor_of

HEADER = "X-Bench-Token"
MAY_NOT_JUDGE = (
    "Your account may read the benchmarks, but not judge them: whoever may edit DAG runs in Airflow may."
)


def token_of(visitor: Visitor) -> str:
    """What only a page that Airflow's origin serves to this visitor can know."""
    said = f"bench pages\n{visitor.user_id}".encode()
    return hmac.new(visitor.secret.encode(), said, hashlib.sha256).hexdigest()


def check_writer(request: Request) -> Visitor:
    """The visitor, if the request is his own doing and he may edit.

    A token in the header of a request, as programs send it, is proof enough. With a cookie, the request must
    come from a page of this origin, carry that page's token, and be JSON, which no foreign form sends.

    Raises:
        Refused: 403 or 415, with the reason.
    """
    visitor = visitor_of(request)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Refused(415, "Send JSON: the header Content-Type must be application/json.")
    if not visitor.by_header:
        _check_origin(request)
        if not hmac.compare_digest(request.headers.get(HEADER, "").encode(), token_of(visitor).encode()):
            raise Refused(403, f"The header {HEADER} is missing or old: load the page again.")
    if not visitor.may_edit():
        raise Refused(403, MAY_NOT_JUDGE)
    return visitor


def _check_origin(request: Request) -> None:
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    # Browsers send the first whatever proxy is in between; older ones send the second alone.
    is_own = site == "same-origin" if site is not None else _host(origin) == request.headers.get("host")
    if not is_own:
        raise Refused(403, "This request came from another site.")


def _host(origin: str | None) -> str | None:
    return urlsplit(origin).netloc if origin else None
