"""The pins of each release: one coherent set, and the same versions that the stand-in plays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.dataplane import ROOT
from tests.standin.neuron_standin.sdk import MARK, SDKS

RELEASES = [f"2.{minor}" for minor in range(24, 32)]


def requirements(path: Path) -> dict[str, Requirement]:
    found: dict[str, Requirement] = {}
    for line in path.read_text().splitlines():
        if line.startswith("-r "):
            found |= requirements(path.parent / line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            requirement = Requirement(line)
            found[requirement.name] = requirement
    return found


def test_every_release_with_torch_neuronx_has_its_file() -> None:
    files = {path.stem.removeprefix("neuron-") for path in (ROOT / "requirements").glob("neuron-2.*.txt")}
    assert files == set(RELEASES)


@pytest.mark.parametrize("release", RELEASES)
def test_the_pins_of_a_release_belong_together(release: str) -> None:
    path = ROOT / "requirements" / f"neuron-{release}.txt"
    pins, sdk = requirements(path), SDKS[release]
    assert set(pins) == {"torch-neuronx", "neuronx-cc", "torch", "transformers", "pydantic", "fsspec"}
    assert sdk.torch_neuronx is not None
    # AWS's builds carry a hash in the local part, as the stand-in carries its mark.
    assert pins["torch-neuronx"].specifier.contains(sdk.torch_neuronx)
    assert pins["neuronx-cc"].specifier.contains(sdk.neuronx_cc)
    torch = ".".join(sdk.torch_neuronx.split(".")[:3])
    assert pins["torch"].specifier.contains(torch)
    # torch-neuronx 2.9.0.2.15.x is the one of SDK 2.31: its fifth number runs with the release.
    assert int(sdk.torch_neuronx.removesuffix(MARK).split(".")[4]) + 16 == sdk.minor
    for other in set(RELEASES) - {release}:
        assert not pins["neuronx-cc"].specifier.contains(SDKS[other].neuronx_cc)


@pytest.mark.parametrize("release", RELEASES)
def test_the_host_packages_are_named_too(release: str) -> None:
    text = (ROOT / "requirements" / f"neuron-{release}.txt").read_text()
    found = dict(re.findall(r"aws-neuronx-(dkms|runtime-lib|tools)=([\d.]+)\.\*", text))
    sdk = SDKS[release]
    assert {"dkms": sdk.driver, "runtime-lib": sdk.runtime, "tools": sdk.tools} == {
        name: f"{version}.0" for name, version in found.items()
    }


def test_transformers_is_kept_in_the_supported_range() -> None:
    pin = requirements(ROOT / "requirements" / "neuron-extras.txt")["transformers"].specifier
    assert [pin.contains(version) for version in ("4.51.3", "4.52.0", "4.57.6", "5.0.0")] == [
        False, True, True, False,
    ]  # fmt: skip
