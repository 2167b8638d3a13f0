"""Stand-in for torch_neuronx: the same calls, errors and rules of ownership, on no device at all.

A program that it compiles answers with the CPU model's real output, and takes as long as it is told to
without using the CPU. It cannot be had without its mark: it refuses to be imported unless the installed
metadata of torch-neuronx says that this is the stand-in, and its programs need an operator that only it has.
"""

from __future__ import annotations

import importlib.metadata

from neuron_standin.sdk import MARK, current

STANDIN = True

try:
    __version__ = importlib.metadata.version("torch-neuronx")
except importlib.metadata.PackageNotFoundError as missing:
    raise ImportError("torch-neuronx is not part of this SDK release") from missing
if not __version__.endswith(MARK):
    raise ImportError(f"this is the stand-in, but the metadata of torch-neuronx says {__version__}")

from . import _placement, _program  # noqa: E402
from ._trace import trace  # noqa: E402, F401

print("MASTER_ADDR environment variable is not set, defaulting to localhost")
print("Found libneuronpjrt.so. Setting PJRT_DEVICE=NEURON.")

_program.hook_into_torch_jit_load()

if current().has_stable_placement:
    multicore_context = _placement.multicore_context
    neuron_cores_context = _placement.neuron_cores_context
    set_multicore = _placement.set_multicore
    set_neuron_cores = _placement.set_neuron_cores
