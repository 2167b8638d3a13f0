"""Neuron environments bring transformers from 4.52 on, and newer ones 5.x: both must work unchanged."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from benchlib.results import Measurement
from tests import dataplane
from tests.core.conftest import Bench

pytestmark = [pytest.mark.dataplane, pytest.mark.slow]


def overlay(requirement: str, config: pytest.Config) -> Path:
    """A folder with this release of transformers, installed once and kept."""
    root = os.environ.get("BENCH_TEST_CACHE")
    cache = Path(root) if root else config.cache.mkdir("overlays")
    folder = cache / requirement.replace(",", "").replace("*", "x")
    if not (folder / ".complete").exists():
        command = [dataplane.PYTHON, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(folder)]
        subprocess.run([*command, requirement], check=True)
        (folder / ".complete").touch()
    return folder


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("requirement", "release"), [("transformers==4.52.*", "4.52."), ("transformers>=5,<6", "5.")]
)
def test_a_release_of_transformers_compiles_and_measures(
    bench: Bench, pytestconfig: pytest.Config, requirement: str, release: str
) -> None:
    bench.env = dataplane.environment(overlay(requirement, pytestconfig))
    done, made = bench.compile()
    assert done.returncode == 0, done.stderr
    assert made["environment"]["transformers"].startswith(release)
    done, raw = bench.run("measure", bench.measure_request(made))
    assert done.returncode == 0, done.stderr
    outputs = {check.name: check.passed for check in Measurement.model_validate(raw).checks}
    assert outputs["outputs_match_reference"]
    assert outputs["outputs_finite"]
    model = {"name": "config:bert-tiny", "sequence_length": 16, "head": "encoder", "inputs": "zeros_int32"}
    done, made = bench.compile(model=model)
    assert done.returncode == 0, done.stderr
    done, raw = bench.run("measure", bench.measure_request(made))
    assert done.returncode == 0, done.stderr
    assert {check["name"]: check["passed"] for check in raw["checks"]}["outputs_match_reference"]


@pytest.mark.timeout(600)
def test_loading_from_a_directory_works_with_the_next_major_release(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    from tests.test_models import LOADING

    env = dataplane.environment(overlay("transformers>=5,<6", pytestconfig))
    loading = dataplane.facts(LOADING.replace("{folder!r}", repr(str(tmp_path))), env)
    assert loading["saved"]
    assert loading["same_seed"]
    assert loading["headless_same_seed"]
    assert loading["bf16_checkpoint"] == "torch.float32"
    assert loading["tokenised"]["words"].count("[SEP]") == 2
    assert loading["corrupt"].startswith("model: ")
