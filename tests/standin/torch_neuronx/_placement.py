"""Where the next model goes. Like the real one, the choice is the process's, not the thread's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ._runtime import runtime

_chosen: list[tuple[int, int]] = [(-1, -1)]


def chosen() -> tuple[int, int]:
    return _chosen[-1]


@contextmanager
def neuron_cores_context(start_nc: int = -1, nc_count: int = -1) -> Iterator[None]:
    runtime.ensure()
    if nc_count > len(runtime.cores) or nc_count == 0 or nc_count < -1:
        raise ValueError(f"nc_count {nc_count} is invalid: {len(runtime.cores)} cores are visible")
    _chosen.append((start_nc, nc_count))
    try:
        yield
    finally:
        _chosen.pop()


@contextmanager
def multicore_context() -> Iterator[None]:
    runtime.ensure()
    with neuron_cores_context(0, len(runtime.cores)):
        yield


def set_neuron_cores(trace: Any, start_nc: int = -1, nc_count: int = -1) -> None:
    from ._program import move

    move(trace, start_nc, nc_count)


def set_multicore(trace: Any) -> None:
    runtime.ensure()
    set_neuron_cores(trace, 0, len(runtime.cores))
