"""Who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fastapi import Request


class Refused(Exception):
    """The request goes no further."""

    def __init__(self, status: int, reason: str, login_url: str | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        """One sentence for the visitor."""
        self.login_url = login_url
        """Where one can log in, where that would help."""


@dataclass(frozen=True)
class Visitor:
    """Somebody whom Airflow knows and who may read."""

    name: str
    """As Airflow shows it."""
    user_id: str
    by_header: bool
    """The request brought its token itself: no other site can make a browser do that."""
    may_edit: Callable[[], bool] = field(repr=False)
    """Ask Airflow whether the visitor may edit too; may read Airflow's database."""
    secret: str = field(repr=False)
    """Airflow's own, to sign with."""


Identify = Callable[[Request], Awaitable[Visitor]]
"""Raises `Refused`."""


def visitor_of(request: Request) -> Visitor:
    """The visitor whom the gate let in."""
    visitor: Visitor = request.state.visitor
    return visitor
