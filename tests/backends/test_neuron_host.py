from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import cast

import pytest

from benchlib.backends.neuron import NeuronBackend, sysfs
from benchlib.backends.neuron.host import (
    NeuronDevice,
    NeuronHost,
    NeuronProcess,
    instance_type_from_imds,
    is_hardware,
    parse_neuron_ls,
    scrub,
)
from benchlib.backends.neuron.preflight import pair_problem, preflight
from benchlib.errors import BenchError
from tests.standin.neuron_standin.builder import StandinHost, build_host

# Captured from one device of a public report; no trailing newline, as the tool prints it.
CAPTURED = (
    '[{"neuron_device":0,"bdf":"0000:00:1e.0","cpu_affinity":"0-7","numa_node":"-1","connected_to":null,'
    '"nc_count":2,"memory_size":34359738368,"neuroncore_ids":[0,1],"neuron_processes":[]}]'
)

BuildHost = Callable[..., StandinHost]


@pytest.fixture
def make_host(tmp_path: Path) -> BuildHost:
    return lambda **options: build_host(tmp_path / "host", Path(sys.executable), **options)


def test_a_captured_answer_is_read() -> None:
    (device,) = parse_neuron_ls(CAPTURED)
    assert (device.index, device.core_count, device.memory_bytes) == (0, 2, 32 * 2**30)
    assert device.cpu_affinity == frozenset(range(8))
    assert device.numa_node is None
    assert device.connected_to == ()
    assert device.core_ids == (0, 1)


def test_older_tools_leave_most_fields_out() -> None:
    (device,) = parse_neuron_ls('[{"neuron_device": 3, "nc_count": 2, "memory_size": 1024}]')
    assert (device.index, device.core_count, device.memory_bytes) == (3, 2, 1024)
    assert device.cpu_affinity == frozenset()
    assert device.core_ids == device.processes == device.connected_to == ()


def test_numa_nodes_neighbours_and_owners_are_read() -> None:
    entry = json.loads(CAPTURED)[0] | {
        "numa_node": "1",
        "connected_to": [1, 5],
        "cpu_affinity": "0-1,48",
        "neuron_processes": [{"pid": 7, "command": "", "neuron_runtime_version": "2.30.51"}],
    }
    (device,) = parse_neuron_ls(json.dumps([entry]))
    assert device.numa_node == 1
    assert device.connected_to == (1, 5)
    assert device.cpu_affinity == {0, 1, 48}
    assert [(p.pid, p.command, p.runtime_version) for p in device.processes] == [(7, "", "2.30.51")]


@pytest.mark.parametrize("text", ["", "{}", '[{"neuron_device": 0}]', "[1]", "null"])
def test_any_other_answer_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_neuron_ls(text)


@pytest.mark.parametrize("sdk", ["2.24", "2.27", "2.31"])
def test_a_host_is_described_by_its_own_tools_in_every_release(make_host: BuildHost, sdk: str) -> None:
    host = NeuronHost(make_host(devices=6, sdk=sdk).root, {})
    devices = host.devices()
    assert [device.core_count for device in devices] == [2] * 6
    assert host.instance_type(devices) == "inf2.24xlarge"
    assert host.driver_version() == {"2.24": "2.22.2.0", "2.27": "2.25.4.0", "2.31": "2.29.0.0"}[sdk]
    assert host.runtime_version() == {"2.24": "2.26.42.0", "2.27": "2.29.40.0", "2.31": "2.33.10.0"}[sdk]


def test_a_host_without_driver_has_no_devices(make_host: BuildHost) -> None:
    host = NeuronHost(make_host(devices=0).root, {})
    assert not host.driver_loaded()
    assert host.devices() == ()
    assert host.driver_version() is None


def write_tool(root: Path, name: str, script: str) -> None:
    path = root / "opt/aws/neuron/bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_neuron_ls_is_asked_again_when_another_one_runs(make_host: BuildHost) -> None:
    root = make_host().root
    busy = f"if mkdir {root}/second; then echo busy >&2; exit 1; fi; printf %s '{CAPTURED}'"
    write_tool(root, "neuron-ls", f"if mkdir {root}/first; then exit 1; fi; {busy}")
    assert len(NeuronHost(root, {}).devices()) == 1


def test_a_neuron_ls_that_keeps_failing_is_quoted_without_identifiers(make_host: BuildHost) -> None:
    root = make_host().root
    write_tool(root, "neuron-ls", "echo level=fatal i-0123456789abcdef0 is broken >&2; exit 1")
    with pytest.raises(BenchError, match=r"failed 4 times.*level=fatal \[removed\] is broken"):
        NeuronHost(root, {}).devices()


def test_a_driver_without_tools_is_explained(make_host: BuildHost) -> None:
    root = make_host().root
    (root / "opt/aws/neuron/bin/neuron-ls").unlink()
    with pytest.raises(BenchError, match="install aws-neuronx-tools"):
        NeuronHost(root, {}).devices()


def test_the_tools_are_found_on_path_and_without_it(tmp_path: Path) -> None:
    program = tmp_path / "neuron-ls"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert NeuronHost(Path("/"), {"PATH": str(tmp_path)}).tool("neuron-ls") == program
    assert NeuronHost(Path("/"), {"PATH": "/nowhere"}).tool("neuron-ls") is None


def test_the_package_manager_of_the_other_distribution_is_asked_too(make_host: BuildHost) -> None:
    root = make_host().root
    (root / "usr/bin/dpkg-query").unlink()
    write_tool(root, "rpm", '[ "$4" = "" ] && [ "$3" = aws-neuronx-runtime-lib ] && printf 2.30.51')
    assert NeuronHost(root, {}).runtime_version() == "2.30.51"


def test_the_firmware_wins_over_the_variable_which_wins_over_nothing(make_host: BuildHost) -> None:
    root = make_host().root
    environ = {"BENCH_INSTANCE_TYPE": "inf2.8xlarge"}
    assert NeuronHost(root, environ).instance_type() == "inf2.xlarge"
    (root / "sys/devices/virtual/dmi/id/product_name").write_text("Standard PC (Q35)\n")
    assert NeuronHost(root, environ).instance_type() == "inf2.8xlarge"
    assert NeuronHost(root, {}).instance_type() is None


class Metadata(BaseHTTPRequestHandler):
    """Version 2 of the service: no token, no answer."""

    def do_PUT(self) -> None:
        self._answer(200 if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else 400, "token")

    def do_GET(self) -> None:
        known = self.path == "/latest/meta-data/instance-type"
        self._answer(
            200 if known and self.headers["X-aws-ec2-metadata-token"] == "token" else 401, "inf2.8xlarge"
        )

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metadata_address() -> Iterator[tuple[str, int]]:
    server = HTTPServer(("127.0.0.1", 0), Metadata)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield "127.0.0.1", server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_metadata_service_is_asked_with_a_token(metadata_address: tuple[str, int]) -> None:
    assert instance_type_from_imds(metadata_address) == "inf2.8xlarge"


def test_a_metadata_service_that_is_not_there_is_no_error(metadata_address: tuple[str, int]) -> None:
    assert instance_type_from_imds(("127.0.0.1", 1)) is None


@pytest.mark.parametrize(
    ("own_root", "driver_loaded", "torch_neuronx", "hardware"),
    [
        (True, True, "2.9.0.2.15.32035+4f1c20de", True),
        (True, True, None, True),
        (True, True, "2.9.0.2.15.32035+standin", False),
        (True, True, "2.9.0.2.15.32035+standin.1", False),
        (True, False, "2.9.0.2.15.32035+4f1c20de", False),
        (False, True, "2.9.0.2.15.32035+4f1c20de", False),
    ],
)
def test_only_a_kernel_with_a_driver_and_an_unmarked_library_is_hardware(
    own_root: bool, driver_loaded: bool, torch_neuronx: str | None, hardware: bool
) -> None:
    assert (
        is_hardware(own_root=own_root, driver_loaded=driver_loaded, torch_neuronx=torch_neuronx) is hardware
    )


def test_identifiers_are_removed_and_figures_are_not() -> None:
    text = (
        "i-0123456789abcdef0 of account 123456789012 in subnet-0a1b2c3d from ami-0123456789abcdef0, "
        "serial_number=abc123; 34359738368 bytes, 2.9.0.2.15.32035, took 1.25 s"
    )
    assert scrub(text) == (
        "[removed] of account [removed] in [removed] from [removed], "
        "serial_number=[removed]; 34359738368 bytes, 2.9.0.2.15.32035, took 1.25 s"
    )


@pytest.mark.parametrize("sdk", ["2.24", "2.31"])
def test_the_drivers_counters_are_read_under_both_names(make_host: BuildHost, sdk: str) -> None:
    root = make_host(devices=12, sdk=sdk).root
    memory, executions = sysfs.memory_errors(root), sysfs.execution_errors(root)
    assert memory.total == executions.total == 0
    assert len(memory.values) == 12 * 3
    device = sysfs.device_directories(root)[11]
    assert device.name == "neuron11"
    prefix = "execute" if sdk == "2.31" else "infer"
    (device / "stats/hardware/mem_ecc_uncorrected").write_text("2\n")
    (device / f"neuron_core1/stats/status/{prefix}_completed_with_error/total").write_text("3\n")
    (device / f"neuron_core1/stats/status/{prefix}_success/total").write_text("88000\n")
    assert str(sysfs.memory_errors(root).increase_since(memory)) == "neuron11/mem_ecc_uncorrected 2"
    increase = sysfs.execution_errors(root).increase_since(executions)
    assert increase.values == (("neuron11/neuron_core1/completed_with_error", 3),)


@pytest.mark.parametrize("sdk", ["2.24", "2.31"])
def test_the_chip_is_named_under_both_file_names(make_host: BuildHost, sdk: str) -> None:
    (device,) = sysfs.device_directories(make_host(sdk=sdk).root)
    assert sysfs.architecture(device) == sysfs.Architecture("Inferentia2", "Inf2", "NDv3", "NCv2")


@pytest.mark.parametrize(
    ("driver", "runtime", "complaint"),
    [
        ("2.29.0.0", "2.33.10.0", None),
        ("2.30.2.0", "2.32.31.0", "upgrade the runtime"),
        ("2.29.0.0", "2.32.31.0-a1b2", "upgrade the runtime"),
        ("2.28.0.0", "2.32.31.0", None),
        ("2.27.4.0", "2.27.23.0", None),
        ("2.26.5.0", "2.32.31.0", "upgrade the driver"),
        ("2.26.5.0", "2.31.24.0", None),
        (None, "2.33.10.0", None),
        ("2.29.0.0", None, None),
    ],
)
def test_a_driver_and_a_runtime_that_do_not_go_together_are_found(
    driver: str | None, runtime: str | None, complaint: str | None
) -> None:
    problem = pair_problem(driver, runtime)
    assert (problem is None) if complaint is None else (problem is not None and complaint in problem)


def failed(host: NeuronHost, directory: Path) -> dict[str, str]:
    return {check.name: check.advice for check in preflight(host, directory) if not check.passed}


def test_the_preflight_of_a_ready_host_complains_about_this_interpreter_only(
    make_host: BuildHost, tmp_path: Path
) -> None:
    found = failed(NeuronHost(make_host().root, {}), tmp_path)
    assert set(found) - {"disk"} == {"torch-neuronx", "neuronx-cc", "transformers"}


def test_the_preflight_names_everything_that_is_missing_at_once(make_host: BuildHost, tmp_path: Path) -> None:
    host = make_host(devices=6)
    (host.root / "dev/neuron5").unlink()
    (host.root / "opt/aws/neuron/bin/neuron-monitor").unlink()
    (host.root / "sys/module/neuron/version").write_text("2.26.5.0\n")
    (host.root / "sys/devices/virtual/dmi/id/product_name").write_text("trn1.32xlarge\n")
    found = failed(NeuronHost(host.root, {}), tmp_path)
    assert "neuron5 cannot be opened" in found["devices"]
    assert "aws-neuronx-tools" in found["monitor"]
    assert "upgrade the driver" in found["runtime"]
    assert "trn1.32xlarge" in found["instance"]
    bare = failed(NeuronHost(tmp_path, {}), tmp_path)
    assert "aws-neuronx-dkms" in bare["driver"]
    assert bare["devices"] == "no Neuron device is visible"


@pytest.mark.dataplane
def test_the_preflight_can_be_asked_from_the_command_line(make_host: BuildHost, tmp_path: Path) -> None:
    from tests import dataplane

    host = build_host(tmp_path / "ready", Path(dataplane.PYTHON))
    done = subprocess.run(
        [host.python, "-m", "benchlib.backends.neuron", tmp_path],
        capture_output=True,
        text=True,
        env=dataplane.environment(),
        check=False,
    )
    lines = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}
    assert {lines.pop(name) for name in ("driver", "devices", "torch-neuronx", "transformers")} == {"ok"}
    assert done.returncode == (1 if "FAIL" in lines.values() else 0)


class Listed:
    """A host whose neuron-ls tells these processes."""

    def __init__(self, *pids: int) -> None:
        self.pids = pids

    def devices(self) -> tuple[NeuronDevice, ...]:
        if not self.pids:
            raise BenchError("neuron-ls is missing")
        processes = tuple(NeuronProcess(pid, "", None) for pid in self.pids)
        return (NeuronDevice(0, 2, 2**35, processes=processes),)


def test_processes_that_hold_the_device_are_those_that_can_be_seen_from_here() -> None:
    of_another_namespace = 2**22 + 1  # beyond the kernel's highest
    host = cast("NeuronHost", Listed(os.getpid(), of_another_namespace))
    assert NeuronBackend(host).device_pids() == {os.getpid()}
    assert NeuronBackend(cast("NeuronHost", Listed())).device_pids() is None
