"""What differs between two environments, likeliest cause first.

The SQL function of the same name does the same with stored environments; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchlib.results import Environment

LIKELIEST_FIRST = (
    # The machine: never differs within a series, and if it does, nothing else needs to be looked at.
    "hardware",
    "device",
    "instance_type",
    "cores",
    # What compiles the program, runs it and drives the device.
    "neuron_sdk",
    "neuronx_cc",
    "neuron_runtime",
    "neuron_driver",
    "kernel",
    # What shapes the program before the compiler sees it.
    "torch",
    "torch_neuronx",
    "transformers",
    # What surrounds it.
    "python",
    "numpy",
    "benchlib",
    "image",
    "host",
    "memory_bytes",
)
"""The fields of an environment in the order in which a changed figure is put down to them.

The fingerprint is not among them: it differs whenever one of them does.
"""


@dataclass(frozen=True)
class EnvironmentDifference:
    """One field that differs. ``None``: not present or not known."""

    field: str
    before: str | None
    after: str | None
    rank: int
    """Its place in `LIKELIEST_FIRST`; 1 is the likeliest cause."""


def environment_diff(a: Environment, b: Environment) -> tuple[EnvironmentDifference, ...]:
    """What changed from ``a`` to ``b``, likeliest cause first; empty when nothing did."""
    pairs = ((name, _text(getattr(a, name)), _text(getattr(b, name))) for name in LIKELIEST_FIRST)
    return tuple(
        EnvironmentDifference(name, before, after, rank)
        for rank, (name, before, after) in enumerate(pairs, start=1)
        if before != after
    )


def _text(value: str | int | bool | None) -> str | None:
    """As PostgreSQL writes it."""
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)
