"""Do both sides of a comparison answer alike? Told from the errors of their turns and their references."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchlib.analysis.paired import Side
from benchlib.artifacts import ArtifactStore
from benchlib.errors import BenchError
from benchlib.experiments import PairRecord
from benchlib.orchestration.comparing_journal import SIDES, CompiledSide
from benchlib.results import ArtifactRef
from benchlib.settings import Settings

log = logging.getLogger(__name__)

SAME_NETWORK = 1e-3
"""Largest relative difference of two fp32 outputs of one network on the CPU."""
NEAR_ZERO = 0.2
"""Added to a magnitude before it is divided by, as where outputs are checked."""


def outputs_notes(
    sides: Mapping[Side, CompiledSide], pairs: Sequence[PairRecord], settings: Settings
) -> list[str]:
    """How far apart the outputs of both sides may be.

    Each turn is compared with its own side's CPU reference; the references are compared here. Two outputs are
    no further apart than the sum of the three.
    """
    errors = {
        side: max((e for p in pairs if (e := getattr(p, side).output_error) is not None), default=None)
        for side in SIDES
    }
    old, new = errors["old"], errors["new"]
    if old is None or new is None:
        return []
    told = f"Outputs: the old side is within {old:.3%} of its CPU reference, the new one within {new:.3%}"
    apart = _references_apart(sides, settings)
    if apart is None:
        return [f"{told}; the two references could not be compared"]
    if apart > SAME_NETWORK:
        return [
            f"{told}; but these references differ by {apart:.2%}: the two environments build different "
            "networks or inputs from the same name, so that their outputs cannot be compared"
        ]
    together = old + new + apart
    return [f"{told}; the references differ by {apart:.3%}: both answer alike within {together:.3%}"]


def _references_apart(sides: Mapping[Side, CompiledSide], settings: Settings) -> float | None:
    """The largest relative difference between both sides' fp32 outputs on the CPU, over all batch sizes."""
    sizes = [each.batch_size for each in sides["old"].programs if sides["new"].program(each.batch_size)]
    try:
        store = ArtifactStore(settings.artifact_url)
        found = [_reference_apart(store, *(sides[side].program(size) for side in SIDES)) for size in sizes]
    except BenchError as error:
        log.warning("the references cannot be compared: %s", error)
        return None
    return max(found, default=None)


def _reference_apart(store: ArtifactStore, old: ArtifactRef | None, new: ArtifactRef | None) -> float:
    assert old is not None
    assert new is not None
    if old == new:
        return 0.0
    with tempfile.TemporaryDirectory(prefix="bench-references-") as name:
        folders = [Path(name) / side for side in SIDES]
        for folder in folders:
            folder.mkdir()
        bundles = [store.fetch(ref, folder) for ref, folder in zip((old, new), folders, strict=True)]
        first, second = (dict(np.load(bundle.reference)) for bundle in bundles)
    if first.keys() != second.keys() or any(first[key].shape != second[key].shape for key in first):
        return float("inf")
    if any(not np.array_equal(first[key], second[key]) for key in first if key != "output"):
        return float("inf")
    difference = np.abs(first["output"] - second["output"]).max()
    return float(difference / (np.abs(first["output"]).max() + NEAR_ZERO))
