from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from benchlib import environment
from benchlib.backends.base import DeviceDescription

CPU = DeviceDescription(hardware=False, device="A CPU", cores=2)


@pytest.fixture(autouse=True)
def bare_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose firmware, driver and variables say nothing."""
    for name in ("PRODUCT_NAME", "NEURON_DRIVER"):
        monkeypatch.setattr(environment, name, tmp_path / name)
    for variable in (environment.INSTANCE_TYPE_VARIABLE, environment.IMAGE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def test_software_is_read_from_what_is_installed() -> None:
    captured = environment.capture(CPU)
    assert captured.numpy == version("numpy")
    assert captured.python == ".".join(map(str, sys.version_info[:3]))
    assert captured.torch_neuronx is None
    assert captured.neuron_driver is None
    assert captured.instance_type is None


def test_the_backends_word_on_versions_wins(bare_host: Path) -> None:
    (bare_host / "NEURON_DRIVER").write_text("2.29.0\n")
    assert environment.capture(CPU).neuron_driver == "2.29.0"
    told = DeviceDescription(
        hardware=False,
        device="d",
        cores=0,
        versions=(("neuronx_cc", "2.26"),),
        host_versions=(("neuron_driver", "2.30"),),
    )
    captured = environment.capture(told)
    assert (captured.neuron_driver, captured.neuronx_cc, captured.cores) == ("2.30", "2.26", None)


@pytest.mark.parametrize(
    ("product", "instance_type"),
    [
        ("inf2.48xlarge", "inf2.48xlarge"),
        ("inf2.xlarge\n", "inf2.xlarge"),
        ("m7i.metal-24xl", "m7i.metal-24xl"),
        ("u-6tb1.56xlarge", "u-6tb1.56xlarge"),
        ("Standard PC (Q35 + ICH9, 2009)", None),
        ("ThinkPad X1", None),
        ("", None),
    ],
)
def test_firmware_is_believed_when_it_names_an_instance_type(
    bare_host: Path, product: str, instance_type: str | None
) -> None:
    (bare_host / "PRODUCT_NAME").write_text(product)
    assert environment.capture(CPU).instance_type == instance_type


def test_the_variable_wins_over_the_backend_and_the_backend_over_firmware(
    bare_host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare_host / "PRODUCT_NAME").write_text("inf2.xlarge")
    told = DeviceDescription(hardware=True, device="d", cores=2, instance_type="inf2.8xlarge")
    assert environment.capture(told).instance_type == "inf2.8xlarge"
    monkeypatch.setenv(environment.INSTANCE_TYPE_VARIABLE, "inf2.24xlarge")
    assert environment.capture(told).instance_type == "inf2.24xlarge"


def test_the_image_is_what_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.IMAGE_VARIABLE, "neuron:2.31")
    assert environment.capture(CPU).image == "neuron:2.31"


def on_neuron(torch_neuronx: str, neuronx_cc: str) -> str | None:
    versions = (("torch_neuronx", torch_neuronx), ("neuronx_cc", neuronx_cc))
    device = DeviceDescription(hardware=True, device="d", cores=2, versions=versions)
    return environment.capture(device).neuron_sdk


def test_the_sdk_is_known_by_the_two_packages_that_belong_to_it() -> None:
    assert on_neuron("2.8.0.2.10.13553+cd7bbe2c", "2.21.18209.0+043b1bf7") == "2.26.0"
    assert on_neuron("2.8.0.2.10.16998", "2.21.33363.0") == "2.26.1"
    assert on_neuron("2.9.0.2.15.32035", "2.27.5334.0") is None, "a mixture that AWS's guide makes"
    assert on_neuron("2.9.0.2.99.1", "2.99.1.0") is None
    assert environment.capture(CPU).neuron_sdk is None
    assert environment.neuron_sdk(None, "2.26.6360.0+ab12") is None


def test_a_standin_has_no_sdk() -> None:
    real = ("2.9.0.2.15.32035", "2.26.6360.0")
    assert on_neuron(*real) == "2.31.0"
    assert on_neuron(f"{real[0]}+standin", f"{real[1]}+standin") is None


@pytest.mark.parametrize("field", ["host", "memory_bytes"])
def test_equal_hosts_have_one_fingerprint(field: str) -> None:
    captured = environment.capture(CPU)
    other = captured.model_copy(update={field: 1 if field == "memory_bytes" else "other"})
    assert environment.fingerprint(other) == captured.fingerprint


@pytest.mark.parametrize(
    "field", ["device", "instance_type", "kernel", "torch", "neuronx_cc", "image", "hardware"]
)
def test_whatever_can_change_the_speed_changes_the_fingerprint(field: str) -> None:
    captured = environment.capture(CPU)
    other = captured.model_copy(update={field: True if field == "hardware" else "other"})
    assert environment.fingerprint(other) != captured.fingerprint
