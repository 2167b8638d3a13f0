"""Devices that compile and run models, behind one door: `benchlib.backends.base.Backend`."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from benchlib.backends.base import Backend
from benchlib.errors import BadInput

GROUP = "benchlib.backends"
"""Entry-point group under which another distribution offers a backend."""

_BUILT_IN = (
    EntryPoint("cpu", "benchlib.backends.cpu:CpuBackend", GROUP),
    EntryPoint("cuda", "benchlib.backends.cuda:CudaBackend", GROUP),
    EntryPoint("neuron", "benchlib.backends.neuron:NeuronBackend", GROUP),
)


def get_backend(name: str) -> Backend:
    """Make the backend of this name.

    Raises:
        BadInput: there is none; names those that there are.
    """
    found = {point.name: point for point in (*entry_points(group=GROUP), *_BUILT_IN)}
    if name not in found:
        raise BadInput("backend", name, ", ".join(sorted(found)))
    backend: Backend = found[name].load()()
    return backend
