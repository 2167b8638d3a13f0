from __future__ import annotations

from pathlib import Path

import pytest

from benchlib.backends import get_backend
from benchlib.backends.base import Backend
from benchlib.backends.cpu import CpuBackend
from benchlib.errors import BadInput
from tests import dataplane

OUTSIDER = """
from benchlib.backends.base import Backend

class Offered(Backend):
    name = "outsider"
"""


def test_the_cpu_backend_is_there() -> None:
    assert isinstance(get_backend("cpu"), CpuBackend)


def test_an_unknown_backend_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(BadInput, match=r"backend: 'gpu' is not allowed; allowed: .*cpu"):
        get_backend("gpu")


def test_another_distribution_can_offer_a_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(dataplane.install_backend(tmp_path, "outsider", OUTSIDER))
    backend: Backend = get_backend("outsider")
    assert backend.name == "outsider"
    assert backend.worker_cpus(0) is None
    with pytest.raises(BadInput, match="cpu, cuda, neuron, outsider"):
        get_backend("gpu")
