"""Two device hosts and the cables to them, in networks of their own; the tests are in `two_hosts`.

They run inside an empty network that this one makes, which needs root or the right to make user namespaces.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchlib.settings import PROJECT_ROOT
from tests.e2e.networks import own_network

TESTS = "tests/e2e/two_hosts.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hosts_whose_cables_are_pulled() -> None:
    allowed = subprocess.run(
        [*own_network(), "ip", "link", "set", "lo", "up"], capture_output=True, text=True, check=False
    )
    assert allowed.returncode == 0, (
        f"this system lets this user make no network of its own ({allowed.stderr.strip()}): run as root, or "
        "permit user namespaces (on Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
    )
    pytest_itself = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", TESTS]
    done = subprocess.run(
        [*own_network(), *pytest_itself], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
