"""The placement functions before they were stable; they still work afterwards, and say so."""

from __future__ import annotations

import warnings
from typing import Any

from neuron_standin.sdk import current

from . import _placement


def _experimental(name: str) -> Any:
    function = getattr(_placement, name)
    if not current().has_stable_placement:
        return function

    def deprecated(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(
            f"In a future version torch_neuronx.experimental.{name} will be removed. "
            f"Call torch_neuronx.{name} instead.",
            DeprecationWarning,
            stacklevel=2,
        )
        return function(*args, **kwargs)

    return deprecated


multicore_context = _experimental("multicore_context")
neuron_cores_context = _experimental("neuron_cores_context")
set_multicore = _experimental("set_multicore")
set_neuron_cores = _experimental("set_neuron_cores")
