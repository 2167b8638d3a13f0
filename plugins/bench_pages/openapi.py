"""Prints the description of the JSON API; it is kept in docs/openapi.json."""

from __future__ import annotations

import json

from bench_pages import api, pages
from bench_pages.app import make_routes


def rendered() -> str:
    """The file's content."""
    return json.dumps(api.openapi(make_routes(pages.own_engine)), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(rendered(), end="")
