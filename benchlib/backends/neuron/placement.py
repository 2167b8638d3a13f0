"""Which cores a process may use, and how a model gets onto one of them.

A process owns its cores until it ends; nobody else can use them meanwhile. By default it takes all of the
host's. Inside a process cores are numbered from 0 among those that it may see.

Where an SDK offers no way to place a model, one process per core does: started with
``NEURON_RT_VISIBLE_CORES=<core>`` (`process_environment`), it has only one place to load to.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

from benchlib.backends.neuron.host import is_marked, parse_cpu_list
from benchlib.errors import BadInput, BenchError

VISIBLE_CORES = "NEURON_RT_VISIBLE_CORES"
NUM_CORES = "NEURON_RT_NUM_CORES"
TARGET_OVERRIDE = "NEURON_PLATFORM_TARGET_OVERRIDE"
PROCESS_CORES = "BENCH_NEURON_PROCESS_CORES"
"""The run's numbers of the cores that one of several load-generating processes was given."""

PLACEMENT = "neuron_cores_context"
"""The function that places what is loaded in its context."""

CORES_ALLOWED = "a core or a range of the host's cores, such as 0 or 0-11"


def visible_cores(total: int, environ: Mapping[str, str] = os.environ) -> tuple[int, ...]:
    """The host's numbers of the cores that this process may use, of ``total``.

    Under ``NEURON_RT_NUM_CORES`` the runtime chooses which; then the first ones stand for them.

    Raises:
        BadInput: a variable names no cores, or cores that the host does not have.
    """
    asked = environ.get(VISIBLE_CORES)
    if asked:
        try:
            cores = tuple(sorted(parse_cpu_list(asked)))
        except ValueError:
            raise BadInput(VISIBLE_CORES, asked, CORES_ALLOWED) from None
        if not cores or cores[-1] >= total:
            raise BadInput(VISIBLE_CORES, asked, f"{CORES_ALLOWED}; this host has {total}")
        return cores
    count = environ.get(NUM_CORES) or "0"
    if not count.isdigit() or int(count) > total:
        raise BadInput(NUM_CORES, count, f"a number of cores up to this host's {total}; 0 means all")
    return tuple(range(int(count) or total))


def process_environment(cores: Sequence[int], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables of a child process that is to use these cores of the run, and no others.

    One core or an unbroken range is written in the form that the runtime's guide documents; anything else
    as a list with commas, which AWS's container tools write.
    """
    run_cores = parse_cpu_list(environ.get(VISIBLE_CORES) or "")
    of_host = [sorted(run_cores)[core] if run_cores else core for core in sorted(cores)]
    first, last = of_host[0], of_host[-1]
    if of_host == list(range(first, last + 1)):
        text = str(first) if first == last else f"{first}-{last}"
    else:
        text = ",".join(map(str, of_host))
    return {VISIBLE_CORES: text, PROCESS_CORES: ",".join(map(str, sorted(cores)))}


def index_in_process(core: int, environ: Mapping[str, str] = os.environ) -> int:
    """The number that a core of the run has among those of this process."""
    given = sorted(parse_cpu_list(environ.get(PROCESS_CORES) or ""))
    return given.index(core) if given else core


def has_placement() -> bool:
    """Whether the installed torch_neuronx can place a model on a core, found without importing it.

    Its source is searched for the function's name: an import might claim cores, which then no child process
    could have. Where there is no source to look at the answer is yes, as for every release since SDK 2.24.
    """
    spec = importlib.util.find_spec("torch_neuronx")
    folders = spec.submodule_search_locations if spec else None
    sources = [path for folder in folders or () for path in sorted(Path(folder).rglob("*.py"))]
    return not sources or any(PLACEMENT.encode() in path.read_bytes() for path in sources)


def import_torch_neuronx() -> ModuleType:
    """Import torch_neuronx: it registers what `torch.jit.load` needs, so it must come before.

    Raises:
        BenchError: it is missing, cannot be imported, or is a stand-in whose metadata says otherwise.
    """
    try:
        module = importlib.import_module("torch_neuronx")
        declared = is_marked(version("torch-neuronx"))
    except (ImportError, PackageNotFoundError) as error:
        raise BenchError(f"torch_neuronx cannot be imported here: {error} (docs/neuron-host.md)") from error
    if bool(getattr(module, "STANDIN", False)) != declared:
        raise BenchError(
            f"torch_neuronx at {module.__file__} is not the package that this environment's metadata names"
        )
    return module


def placed_on(torch_neuronx: ModuleType, index: int, visible: int) -> AbstractContextManager[Any]:
    """A context in which `torch.jit.load` loads onto one core of this process. Not safe among threads.

    Raises:
        BenchError: the SDK has no placement, and this process sees more than one core.
    """
    contexts = _placement(torch_neuronx, PLACEMENT)
    if contexts is not None:
        context: AbstractContextManager[Any] = contexts(start_nc=index, nc_count=1)
        return context
    if visible == 1:
        return nullcontext()
    raise BenchError(
        "this torch_neuronx cannot place a model on a core; use one process per core, each started with "
        f"{VISIBLE_CORES} set to its core"
    )


def _placement(torch_neuronx: ModuleType, name: str) -> Any:
    """A placement function: a stable name since SDK 2.25, experimental before."""
    found = getattr(torch_neuronx, name, None)
    if found is None:
        try:
            found = getattr(importlib.import_module("torch_neuronx.experimental"), name, None)
        except ImportError:
            return None
    return found


def accepts(function: Any, parameter: str) -> bool:
    """Whether a function takes this keyword; its signature differs between SDK versions."""
    parameters = inspect.signature(function).parameters.values()
    return any(p.name == parameter or p.kind is p.VAR_KEYWORD for p in parameters)
