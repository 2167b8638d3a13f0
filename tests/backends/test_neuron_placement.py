from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import pytest

from benchlib.backends.neuron.placement import (
    accepts,
    has_placement,
    index_in_process,
    placed_on,
    process_environment,
    visible_cores,
)
from benchlib.errors import BadInput, BenchError


@pytest.mark.parametrize(
    ("environ", "cores"),
    [
        ({}, (0, 1, 2, 3)),
        ({"NEURON_RT_VISIBLE_CORES": ""}, (0, 1, 2, 3)),
        ({"NEURON_RT_VISIBLE_CORES": "2"}, (2,)),
        ({"NEURON_RT_VISIBLE_CORES": "1-3"}, (1, 2, 3)),
        ({"NEURON_RT_VISIBLE_CORES": "3,1"}, (1, 3)),
        ({"NEURON_RT_NUM_CORES": "0"}, (0, 1, 2, 3)),
        ({"NEURON_RT_NUM_CORES": "2"}, (0, 1)),
        ({"NEURON_RT_NUM_CORES": "1", "NEURON_RT_VISIBLE_CORES": "2-3"}, (2, 3)),
    ],
)
def test_a_process_sees_what_its_variables_say(environ: Mapping[str, str], cores: tuple[int, ...]) -> None:
    assert visible_cores(4, environ) == cores


@pytest.mark.parametrize(
    ("environ", "field"),
    [
        ({"NEURON_RT_VISIBLE_CORES": "2-4"}, "NEURON_RT_VISIBLE_CORES"),
        ({"NEURON_RT_VISIBLE_CORES": "all"}, "NEURON_RT_VISIBLE_CORES"),
        ({"NEURON_RT_VISIBLE_CORES": "3-1"}, "NEURON_RT_VISIBLE_CORES"),
        ({"NEURON_RT_NUM_CORES": "5"}, "NEURON_RT_NUM_CORES"),
        ({"NEURON_RT_NUM_CORES": "two"}, "NEURON_RT_NUM_CORES"),
    ],
)
def test_cores_that_do_not_exist_are_refused(environ: Mapping[str, str], field: str) -> None:
    with pytest.raises(BadInput) as refusal:
        visible_cores(4, environ)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("cores", "environ", "visible"),
    [
        ((3,), {}, "3"),
        ((0, 1, 2), {}, "0-2"),
        ((0, 2, 4), {}, "0,2,4"),
        ((0, 1), {"NEURON_RT_VISIBLE_CORES": "6-9"}, "6-7"),
    ],
)
def test_each_process_gets_its_own_cores(
    cores: tuple[int, ...], environ: Mapping[str, str], visible: str
) -> None:
    own = process_environment(cores, environ)
    assert own["NEURON_RT_VISIBLE_CORES"] == visible
    assert [index_in_process(core, own) for core in cores] == list(range(len(cores)))


def test_alone_a_process_counts_as_the_run_does() -> None:
    assert index_in_process(5, {}) == 5


def test_without_any_placement_one_core_needs_none_and_more_need_processes() -> None:
    bare = ModuleType("torch_neuronx")
    assert isinstance(placed_on(bare, 0, visible=1), nullcontext)
    with pytest.raises(BenchError, match="one process per core, each started with NEURON_RT_VISIBLE_CORES"):
        placed_on(bare, 1, visible=2)


def test_a_keyword_is_passed_only_to_what_takes_it() -> None:
    def older(func: object, *_: object, compiler_args: object = None) -> None: ...
    def newer(func: object, *_: object, cpu_backend: bool = False) -> None: ...
    def wrapped(*args: object, **kwargs: object) -> None: ...

    assert not accepts(older, "cpu_backend")
    assert accepts(newer, "cpu_backend")
    assert accepts(wrapped, "cpu_backend")


@pytest.mark.parametrize(
    ("files", "has_it"),
    [
        ({"__init__.py": "from .core import neuron_cores_context"}, True),
        (
            {"__init__.py": "raise AssertionError", "experimental/p.py": "def neuron_cores_context(): ..."},
            True,
        ),
        ({"__init__.py": "raise AssertionError", "xla_impl/trace.py": "def trace(): ..."}, False),
        ({"__init__.so": ""}, True),
        ({}, True),
    ],
)
def test_placement_is_looked_for_without_an_import(
    files: Mapping[str, str], has_it: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        path = tmp_path / "torch_neuronx" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert has_placement() == has_it
    assert "torch_neuronx" not in sys.modules
