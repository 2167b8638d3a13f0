"""`bench up` and `bench trigger` together: a real Airflow, a data plane that does as it is told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from benchlib.orchestration.airflow_environment import Ports, Secrets
from benchlib.settings import Settings
from tests.cli.test_up import OPTIONS, free_ports
from tests.orchestration.conftest import is_running, wait_until
from tests.orchestration.fake_python import failing, write_fake_python

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Up:
    """A running `bench up`."""

    process: subprocess.Popen[str]
    environment: Mapping[str, str]
    ports: tuple[int, ...]
    home: Path
    first_words: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def bench(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "benchlib.cli", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True)

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def start_up(home: Path, python: Path) -> Up:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "BENCH"))},
        "BENCH_HOME": str(home),
        "BENCH_DATA_PYTHON": str(python),
        "PYTHONPATH": str(ROOT),
    }
    ports = tuple(free_ports(3))
    options = [str(part) for pair in zip(OPTIONS, ports, strict=True) for part in pair]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "benchlib.cli", "up", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    words = ""
    for line in process.stdout:
        words += line
        if line.startswith(("ready", "bench:")):
            break
    return Up(process, environment, ports, home, words)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    running = start_up(folder / "home", write_fake_python(folder / "python", failing("measure", 2)))
    yield running
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(60)


def test_it_says_where_it_is_and_how_to_get_in(up: Up) -> None:
    settings = Settings.from_environment(up.environment)
    password = Secrets.kept_in(settings.airflow_home).admin_password
    assert f"ready: {up.url}  user admin, password {password}" in up.first_words
    health = httpx.get(f"{up.url}/api/v2/monitor/health", trust_env=False).json()
    assert {part["status"] for part in health.values()} == {"healthy"}


def test_a_run_is_followed_to_its_table(up: Up) -> None:
    done = up.bench("trigger", "--model", "config:tiny", "--batch-sizes", "1-3", "--label", "from the test")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert lines[0].startswith("started manual__")
    assert {"batch 1: measured", "batch 2: measure failed", "batch 3: measured"} <= set(lines)
    assert any("model_batch_size_3.pt" in line and "peak" in line for line in lines)
    assert done.stderr.startswith("bench: no result for batch size 2: the details are in ")


def test_a_run_need_not_be_followed(up: Up) -> None:
    done = up.bench("trigger", "--model", "config:tiny", "--batch-sizes", "1", "--no-follow")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)


UNCHECKED = """
import sys
import benchlib.cli
# The command shadows its module's name in the package.
sys.modules["benchlib.cli.trigger"]._checked = lambda params: {"rounds": 0}
sys.argv = ["bench", "trigger"]
benchlib.cli.main()
"""


def test_what_airflow_refuses_is_one_sentence(up: Up) -> None:
    """Our own check is left out: the sentence is Airflow's."""
    command = [sys.executable, "-c", UNCHECKED]
    done = subprocess.run(command, env=up.environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "rounds" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_second_one_is_refused(up: Up) -> None:
    ports = [str(part) for pair in zip(OPTIONS, free_ports(3), strict=True) for part in pair]
    done = up.bench("up", *ports)
    assert done.returncode == 1
    assert "runs already" in done.stderr


def test_sigterm_leaves_nothing_behind(up: Up) -> None:
    members = up.descendants()
    assert len(members) >= 8
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(60) == 130
    assert [process.name() for process in members if is_running(process.pid)] == []
    assert not (up.home / "postgres" / "postmaster.pid").exists()
    for port in up.ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))


def test_a_part_that_dies_is_named_and_takes_the_rest_with_it(up: Up) -> None:
    again = start_up(up.home, Path(up.environment["BENCH_DATA_PYTHON"]))
    assert "ready" in again.first_words
    members = again.descendants()
    triggerer = next(process for process in members if process.cmdline()[-1:] == ["triggerer"])
    triggerer.kill()
    assert again.process.stdout
    last_words = again.process.stdout.read()
    assert again.process.wait(60) == 1
    assert "Airflow's triggerer has ended (status -9)" in last_words
    assert "up-triggerer.log" in last_words
    wait_until(lambda: not any(is_running(process.pid) for process in members))


def test_the_default_ports_are_airflows_own() -> None:
    assert Ports() == Ports(api=8080, worker_logs=8793, triggerer_logs=8794)
