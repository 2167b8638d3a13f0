"""What a person may say about a file that is imported, and which files leave what to say."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Literal

from benchlib.errors import BadInput
from benchlib.imports.formats import ImportFormat

ASSUMED_SEQUENCE_LENGTH = 128
ASSUMPTION = f"The table does not say the sequence length: {ASSUMED_SEQUENCE_LENGTH} tokens are assumed."

NEURONPERF = frozenset(("model", "sequence_length", "instance_type", "label", "neuron_sdk", "date", "report"))
TAKEN: dict[ImportFormat, frozenset[str]] = {
    "seed": frozenset(("model", "sequence_length", "backend", "instance_type", "label")),
    "neuronperf-csv": NEURONPERF,
    "neuronperf-json": NEURONPERF,
    "published": frozenset(("report",)),
    "jsonl": frozenset(("report",)),
}
"""The options that a file of each format leaves room for."""


@dataclass(frozen=True)
class ImportOptions:
    """The options under their names; ``None``: not given."""

    model: str | None = None
    sequence_length: int | None = None
    backend: Literal["neuron", "cpu"] | None = None
    instance_type: str | None = None
    label: str | None = None
    neuron_sdk: str | None = None
    date: datetime | None = None
    report: Path | None = None

    @property
    def sequence_length_or_assumed(self) -> int:
        """Tokens per sequence."""
        return ASSUMED_SEQUENCE_LENGTH if self.sequence_length is None else self.sequence_length

    def check(self, found: ImportFormat) -> None:
        """Refuse an option that a file of this format would silently ignore.

        Raises:
            BadInput: there is one.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and field.name not in TAKEN[found]:
                option = f"--{field.name.replace('_', '-')}"
                raise BadInput(option, str(value), f"no such option for a file of the format {found}")
