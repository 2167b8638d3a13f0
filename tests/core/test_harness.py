"""Which topology a device allows, with replicas that take a moment and no device at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchlib.backends.base import Backend
from benchlib.core.harness import Harness, choose_harness
from benchlib.core.layout import Layout, Loader
from benchlib.errors import BadInput
from benchlib.spec import LoadSpec


class Device(Backend):
    """Two cores; a process may hold several of them, or one only."""

    name = "fake"

    def __init__(self, *, process_per_core: bool = False, claims_cores: bool = False) -> None:
        self.process_per_core = process_per_core
        self.claims_cores = claims_cores

    def needs_process_per_core(self) -> bool:
        return self.process_per_core

    def process_environment(self, cores: Sequence[int]) -> Mapping[str, str]:
        return {"CORES": ",".join(map(str, cores))} if self.claims_cores else {}

    def load(self, artifact: Path, core: int) -> Callable[..., None]:
        return partial(time.sleep, 0.001)

    def worker_context(self) -> AbstractContextManager[Any]:
        return nullcontext()


def chosen(device: Device, replicas: int, **load: Any) -> Harness:
    spec = LoadSpec(replicas=replicas, workers=replicas, **load)
    loader = Loader(device, Path("none"), Layout.of(spec, cores=2))
    return choose_harness(spec, loader, (), lambda replica, example: None)


@pytest.mark.parametrize(
    ("replicas", "load", "field"),
    [
        (2, {"interleave": True}, "interleave"),
        (3, {}, "replicas"),
        (2, {"worker_mode": "thread"}, "worker_mode"),
        (2, {"worker_mode": "native"}, "worker_mode"),
    ],
)
def test_a_device_of_one_process_per_core_refuses_what_takes_one_process(
    replicas: int, load: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadInput) as caught:
        chosen(Device(process_per_core=True), replicas, **load)
    assert caught.value.field == field


@pytest.mark.parametrize("mode", ["auto", "process"])
def test_a_device_of_one_process_per_core_gets_one_process_per_replica(mode: str) -> None:
    harness = chosen(Device(process_per_core=True, claims_cores=True), 2, worker_mode=mode)
    assert (harness.worker_mode, harness.options.processes) == ("process", 2)
    assert harness.options.process_env is not None
    assert harness.options.process_env([1]) == {"CORES": "1"}


@pytest.mark.parametrize(("claims_cores", "mode", "processes"), [(True, "thread", 1), (False, "process", 4)])
def test_processes_never_claim_the_same_core(claims_cores: bool, mode: str, processes: int) -> None:
    harness = chosen(Device(claims_cores=claims_cores), 4, worker_mode="process")
    assert (harness.worker_mode, harness.options.processes) == (mode, processes)
    assert ("share cores" in harness.topology.why) == claims_cores


def test_workers_that_share_a_lock_are_judged_beside_a_call_alone() -> None:
    sharing, alone = (chosen(Device(), replicas, worker_mode="thread") for replicas in (2, 1))
    assert alone.lock_use(Layout(2, 1, 1)) is None
    use = sharing.lock_use(Layout(2, 2, 2))
    assert use is not None
    assert (use.workers, use.workers_per_core) == (2, 1.0)
    assert use.service_ns >= 1e6
