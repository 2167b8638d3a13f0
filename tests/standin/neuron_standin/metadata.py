"""Lets `importlib.metadata` find torch-neuronx and neuronx-cc in the versions of the chosen SDK."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .sdk import current


class StandinDistribution(importlib.metadata.Distribution):
    def __init__(self, name: str, version: str) -> None:
        self._text = (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            "Summary: Stand-in for tests. Not made by AWS, runs on no Neuron device.\n"
        )

    def read_text(self, filename: str) -> str | None:
        return self._text if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Path:
        return Path(__file__).parent.parent / path


class StandinFinder(importlib.metadata.DistributionFinder):
    def find_spec(self, *_: Any) -> None:
        return None

    def find_distributions(self, context: Any = None) -> Iterator[StandinDistribution]:
        sdk = current()
        versions = {"torch-neuronx": sdk.torch_neuronx, "neuronx-cc": sdk.neuronx_cc}
        asked = getattr(context, "name", None)
        for name, version in versions.items():
            if version is not None and asked in (None, name, name.replace("-", "_")):
                yield StandinDistribution(name, version)


def install() -> None:
    # First: where the real package is installed too, the one that would be imported must answer.
    if not any(isinstance(finder, StandinFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, StandinFinder())
