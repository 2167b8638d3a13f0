from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Bench

OPTIONS = ("--port", "--worker-logs-port", "--triggerer-logs-port")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.mark.parametrize("option", OPTIONS)
def test_a_taken_port_is_named_with_its_option_before_anything_starts(
    bench: Bench, taken: int, tmp_path: Path, option: str
) -> None:
    ports = dict(zip(OPTIONS, free_ports(3), strict=True)) | {option: taken}
    code, out, error = bench("up", *(str(part) for pair in ports.items() for part in pair))
    assert (code, out) == (2, "")
    assert error.startswith(f"bench: {option}: {taken} is not allowed; allowed: a port that is free")
    assert not (tmp_path / "home").exists()
