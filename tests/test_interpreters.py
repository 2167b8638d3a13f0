from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchlib.errors import BadInput, BenchError
from benchlib.interpreters import find_neuron_interpreter, list_neuron_interpreters
from tests.standin.neuron_standin.builder import build_host

PLAIN = "aws_neuronx_venv_pytorch_"

MakeVenv = Callable[..., Path]


@pytest.fixture
def make_venv(tmp_path: Path) -> MakeVenv:
    """Puts an environment of a release under /opt; its Python has no torch, so that nothing can import
    torch_neuronx there."""

    def make(name: str, sdk: str = "2.31") -> Path:
        host = build_host(tmp_path / f"made-for-{name}", Path(sys.executable), sdk=sdk)
        python = tmp_path / "opt" / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        shutil.copy(host.python, python)
        return python

    return make


def test_the_plain_environment_with_the_newest_pytorch_is_taken(tmp_path: Path, make_venv: MakeVenv) -> None:
    names = ["2_8", "2_10", "2_9", "2_10_nxd_inference", "2_7_transformers", "inference_vllm_0_24_0_1_1_0"]
    for name in names:
        make_venv(PLAIN + name)
    found = find_neuron_interpreter(root=tmp_path)
    assert found.python == tmp_path / f"opt/{PLAIN}2_10/bin/python"
    assert found.origin == "venv"
    assert found.torch_neuronx == "2.9.0.2.15.32035+standin"
    assert found.neuronx_cc == "2.26.6360.0+standin"
    assert found.python_version == "{}.{}.{}".format(*sys.version_info)
    order = [one.python.parts[-3].removeprefix(PLAIN) for one in list_neuron_interpreters(tmp_path)]
    assert order == ["2_10", "2_9", "2_8", "2_10_nxd_inference", "2_7_transformers"]


def test_an_environment_without_torch_neuronx_is_passed_over(tmp_path: Path, make_venv: MakeVenv) -> None:
    make_venv(PLAIN + "2_9", sdk="2.32")
    older = make_venv(PLAIN + "2_8", sdk="2.26")
    assert find_neuron_interpreter(root=tmp_path).python == older


def test_an_environment_that_does_not_answer_is_passed_over(tmp_path: Path, make_venv: MakeVenv) -> None:
    make_venv(PLAIN + "2_9").write_text("#!/bin/sh\nexec sleep 60\n")
    make_venv(PLAIN + "2_8").write_text("#!/bin/sh\necho hello\n")
    make_venv(PLAIN + "2_7").unlink()
    usable = make_venv(PLAIN + "2_6")
    assert find_neuron_interpreter(root=tmp_path, timeout_s=3).python == usable


def test_a_container_keeps_its_python_elsewhere(tmp_path: Path, make_venv: MakeVenv) -> None:
    python = make_venv("conda")
    found = find_neuron_interpreter(root=tmp_path)
    assert (found.python, found.origin) == (python, "container")


@pytest.mark.parametrize("as_directory", [True, False])
def test_what_is_asked_for_is_taken(tmp_path: Path, make_venv: MakeVenv, as_directory: bool) -> None:
    make_venv(PLAIN + "2_9")
    mine = make_venv("mine", sdk="2.28")
    found = find_neuron_interpreter(mine.parent.parent if as_directory else mine, root=tmp_path)
    assert (found.python, found.origin) == (mine, "override")
    assert found.torch_neuronx == "2.9.0.2.12.22436+standin"


@pytest.mark.parametrize(
    ("override", "reason"),
    [(Path(sys.executable), "has no torch-neuronx"), (Path("/nowhere/python"), "No such file")],
)
def test_what_is_asked_for_is_never_replaced(
    tmp_path: Path, make_venv: MakeVenv, override: Path, reason: str
) -> None:
    make_venv(PLAIN + "2_9")
    with pytest.raises(BadInput, match=reason) as refusal:
        find_neuron_interpreter(override, root=tmp_path)
    assert refusal.value.field == "interpreter"


def test_a_release_without_torch_neuronx_is_named_with_what_to_pin(
    tmp_path: Path, make_venv: MakeVenv
) -> None:
    make_venv("aws_neuronx_venv_jax_0_10", sdk="2.32")
    make_venv(PLAIN + "inference_vllm_0_24_0_1_1_0", sdk="2.32")
    with pytest.raises(BenchError, match=r"SDK 2\.32 and later contain no torch-neuronx.*neuron-2\.31\.txt"):
        find_neuron_interpreter(root=tmp_path)


def test_an_override_of_such_a_release_is_told_the_same(tmp_path: Path, make_venv: MakeVenv) -> None:
    mine = make_venv("mine", sdk="2.32")
    with pytest.raises(BadInput, match=r"neuron-2\.31\.txt"):
        find_neuron_interpreter(mine, root=tmp_path)


def test_a_host_with_nothing_is_told_where_it_was_looked(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="aws_neuronx_venv_pytorch"):
        find_neuron_interpreter(root=tmp_path)


def test_another_interpreters_paths_do_not_answer(
    tmp_path: Path, make_venv: MakeVenv, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "path" / "torch_neuronx-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch-neuronx\nVersion: 1.0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    with pytest.raises(BadInput, match="has no torch-neuronx"):
        find_neuron_interpreter(Path(sys.executable), root=tmp_path)
