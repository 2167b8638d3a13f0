"""An S3 server on this machine: moto's, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from tests.cli.test_up import free_ports
from tests.orchestration.conftest import wait_until

SECRET = "not-for-any-message"


@dataclass(frozen=True)
class S3Server:
    """A running server and how clients are told of it."""

    process: subprocess.Popen[bytes]
    url: str

    @property
    def variables(self) -> dict[str, str]:
        """The standard variables of every AWS client; ``AWS_MAX_ATTEMPTS`` saves the tests the waits."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def s3_server(**settings: str) -> Iterator[S3Server]:
    """A server without buckets; ``settings`` are moto's own variables."""
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = S3Server(process, f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: _answers(server))
        yield server
    finally:
        server.stop()


def _answers(server: S3Server) -> bool:
    assert server.process.poll() is None, "the server has ended"
    try:
        urlopen(f"{server.url}/moto-api/").close()
    except HTTPError:
        return True
    except URLError:
        return False
    return True
