"""The `./bench` wrapper, in a copy of the checkout's root with stand-ins for Python."""

from __future__ import annotations

import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = (
    "sh",
    "dirname",
    "basename",
    "cmp",
    "cp",
    "grep",
    "tail",
    "mkdir",
    "touch",
    "flock",
    "env",
    "cat",
    "rm",
)
LOCKS = ("control.txt", "dev.txt", "data-cpu.txt")

# Claims to be a supported Python; makes venvs out of itself; writes down every call of pip and pytest.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
*version_info*) exit {version_status} ;;
*ensurepip*) exit {venv_status} ;;
"-m venv --clear "*) mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
"-m pip install"*)
    echo "$@" >> "{log}"
    case "$*" in *--editable*) cp "$0" "$(dirname "$0")/bench" ;; esac
    exit {pip_status} ;;
*) echo "$(basename "$0") $*" >> "{log}" ;;
esac
"""


@dataclass(frozen=True)
class Checkout:
    root: Path
    log: Path

    def add_python(self, *, version_status: int = 0, venv_status: int = 0, pip_status: int = 0) -> None:
        statuses = {"version_status": version_status, "venv_status": venv_status, "pip_status": pip_status}
        python = self.root / "path" / "python3"
        python.write_text(FAKE_PYTHON.format(log=self.log, **statuses))
        python.chmod(python.stat().st_mode | stat.S_IXUSR)

    def bench(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.root / "path"), **environ}
        command = [str(self.root / "bench"), *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=30
        )

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root = tmp_path / "a checkout"
    (root / "path").mkdir(parents=True)
    (root / "requirements").mkdir()
    shutil.copy(ROOT / "bench", root / "bench")
    for lock in LOCKS:
        (root / "requirements" / lock).write_text(f"{lock}==1\n")
    for tool in TOOLS:
        (root / "path" / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
    return Checkout(root, root / "calls.log")


def test_without_python_one_sentence_says_what_to_install(checkout: Checkout) -> None:
    run = checkout.bench("demo")
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "apt-get install python3 python3-venv" in run.stderr


def test_a_python_that_is_too_old_is_not_taken(checkout: Checkout) -> None:
    checkout.add_python(version_status=1)
    run = checkout.bench("demo")
    assert run.returncode == 2
    assert "3.11" in run.stderr


def test_a_named_python_that_does_not_fit_is_refused_by_name(checkout: Checkout) -> None:
    checkout.add_python()
    run = checkout.bench("demo", BENCH_PYTHON="/opt/python2")
    assert run.returncode == 2
    assert run.stderr.startswith("bench: BENCH_PYTHON: '/opt/python2'")


def test_without_venv_support_one_sentence_says_what_to_install(checkout: Checkout) -> None:
    checkout.add_python(venv_status=1)
    run = checkout.bench("demo")
    assert run.returncode == 2
    assert "apt-get install python3-venv" in run.stderr
    assert not (checkout.root / ".venv").exists()


def test_the_first_start_installs_both_planes_and_the_second_nothing(checkout: Checkout) -> None:
    checkout.add_python()
    assert checkout.bench("demo", "--rounds", "2").returncode == 0
    first = checkout.calls()
    assert [c.rsplit("/", 1)[-1] for c in first if "--requirement" in c] == ["control.txt", "data-cpu.txt"]
    assert first[-1] == "bench demo --rounds 2"

    second = checkout.bench("demo")
    assert second.stderr == ""
    assert checkout.calls()[len(first) :] == ["bench demo"]


def test_a_command_without_measuring_needs_no_data_plane(checkout: Checkout) -> None:
    checkout.add_python()
    checkout.bench("report")
    assert not (checkout.root / ".venv-data").exists()


def test_another_data_python_needs_no_data_plane_either(checkout: Checkout) -> None:
    checkout.add_python()
    checkout.bench("demo", BENCH_DATA_PYTHON="/opt/neuron/bin/python")
    assert not (checkout.root / ".venv-data").exists()


def test_a_changed_lock_is_installed(checkout: Checkout) -> None:
    checkout.add_python()
    checkout.bench("report")
    (checkout.root / "requirements" / "control.txt").write_text("newer==2\n")
    before = len(checkout.calls())
    checkout.bench("report")
    assert [c for c in checkout.calls()[before:] if c.endswith("control.txt")]


def test_a_failed_installation_is_not_taken_for_a_finished_one(checkout: Checkout) -> None:
    checkout.add_python(pip_status=1)
    run = checkout.bench("report")
    assert run.returncode == 2
    assert "install.log" in run.stderr
    shutil.rmtree(checkout.root / ".venv")  # its stand-in would fail for ever
    checkout.add_python()
    assert checkout.bench("report").returncode == 0


def test_tests_run_from_the_root_with_the_tools_installed(checkout: Checkout) -> None:
    checkout.add_python()
    checkout.bench("test", "-k", "x y")
    calls = checkout.calls()
    assert [c for c in calls if c.endswith("dev.txt")]
    assert calls[-1] == "python -m pytest -k x y"
