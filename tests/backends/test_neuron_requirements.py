"""The pins of each release: one coherent set, and the same versions that the stand-in plays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from benchlib.environment import NEURON_SDKS
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


def pinned_sdks(release: str) -> dict[tuple[str, str], str]:
    """The pairs of packages that a release's file names, its patch releases included."""
    path = ROOT / "requirements" / f"neuron-{release}.txt"
    pins = {name: str(found.specifier)[2:].removesuffix(".*") for name, found in requirements(path).items()}
    patch = r"Patch release ([\d.]+): torch-neuronx ([\d.]+) with neuronx-cc ([\d.]+)\."
    return {
        (pins["torch-neuronx"], pins["neuronx-cc"]): f"{release}.0",
        **{(torch, compiler): sdk for sdk, torch, compiler in re.findall(patch, path.read_text())},
    }


def test_every_pinned_pair_is_known_as_its_release_and_no_other_is() -> None:
    pinned = {pair: sdk for release in RELEASES for pair, sdk in pinned_sdks(release).items()}
    assert pinned == NEURON_SDKS
    assert {"2.26.1", "2.29.1"} <= set(pinned.values())


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
