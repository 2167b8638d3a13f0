"""Which kind of file it is, told by its first line."""

from __future__ import annotations

import csv
from typing import Literal

from benchlib.imports import neuronperf, published

ImportFormat = Literal["seed", "published", "neuronperf-csv", "neuronperf-json", "jsonl"]
"""What can be read; ``seed`` is the comparison table in Markdown."""


def detect(head: str) -> ImportFormat:
    """Tell the format by the beginning of a file: its first line at least."""
    start = head.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}").lstrip()
    if start.startswith(("[", "{")):
        return "neuronperf-json" if start.startswith("[") else "jsonl"
    header = set(next(csv.reader(start.splitlines()[:1]), ()))
    if header >= published.REQUIRED:
        return "published"
    return "neuronperf-csv" if header >= neuronperf.REQUIRED else "seed"
