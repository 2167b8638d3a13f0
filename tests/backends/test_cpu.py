from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchlib.backends.cpu import CpuBackend
from benchlib.errors import BadInput

CPUINFO = """processor\t: 0
model name\t: A Processor @ 2.40GHz
flags\t\t: fpu avx512f {flags}

processor\t: 1
model name\t: A Processor @ 2.40GHz
flags\t\t: fpu avx512f {flags}
"""


def backend_with(tmp_path: Path, flags: str) -> CpuBackend:
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO.format(flags=flags))
    return CpuBackend(path)


@pytest.mark.parametrize("flags", ["amx_tile amx_bf16", "avx512_bf16"])
def test_bf16_is_chosen_where_the_cpu_computes_in_it(tmp_path: Path, flags: str) -> None:
    backend = backend_with(tmp_path, flags)
    assert backend.resolve_precision("auto") == "bf16"
    assert backend.resolve_precision("bf16") == "bf16"
    assert backend.resolve_precision("fp32") == "fp32"


@pytest.mark.parametrize("flags", ["", "avx512_vnni amx_tile amx_int8"])
def test_bf16_is_refused_where_it_would_be_emulated(tmp_path: Path, flags: str) -> None:
    backend = backend_with(tmp_path, flags)
    assert backend.resolve_precision("auto") == "fp32"
    with pytest.raises(BadInput, match="needs a CPU with amx_bf16 or avx512_bf16") as refusal:
        backend.resolve_precision("bf16")
    assert refusal.value.field == "precision"


def test_a_cpu_is_never_called_an_accelerator(tmp_path: Path) -> None:
    description = backend_with(tmp_path, "").describe()
    assert not description.hardware
    assert description.device == "A Processor @ 2.40GHz"
    assert description.cores == len(os.sched_getaffinity(0))


def test_each_core_is_one_cpu_of_those_that_may_be_used() -> None:
    backend = CpuBackend()
    cores = range(backend.describe().cores)
    assert sorted(cpu for core in cores for cpu in backend.worker_cpus(core)) == sorted(
        os.sched_getaffinity(0)
    )
