"""Device hosts in networks of their own, each with one cable to the control plane's, which can be pulled.

All of it lives inside one network namespace, which `own_network` starts a command in: root or not, nothing of
the machine's own network is touched. A host is two namespaces, network and host name; its files are the
machine's. What listens on 127.0.0.1 or a Unix socket beside the control plane, hosts reach at `CONTROL`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CONTROL = "10.77.0.1"

RELAY = """
import asyncio, json, sys

async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()

def relay(target):
    async def serve(reader, writer):
        if isinstance(target, str):
            there = await asyncio.open_unix_connection(target)
        else:
            there = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
    return serve

async def main(address, targets):
    starting = [asyncio.start_server(relay(target), address, int(port)) for port, target in targets.items()]
    servers = await asyncio.gather(*starting)
    await asyncio.gather(*(server.serve_forever() for server in servers))

asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
"""


def own_network() -> list[str]:
    """The prefix that gives a command an empty network in which it may do as it likes.

    An ordinary user keeps his name and gets these rights by a user namespace, where the system permits them.
    """
    if os.geteuid() == 0:
        return ["unshare", "--net", "--"]
    return ["unshare", "--user", "--map-current-user", "--keep-caps", "--net", "--"]


def relay_command(targets: Mapping[int, int | Path]) -> list[str]:
    """The command that passes on what comes to a port of `CONTROL`: to a local port or a Unix socket."""
    plain = {port: str(target) if isinstance(target, Path) else target for port, target in targets.items()}
    return [sys.executable, "-c", RELAY, CONTROL, json.dumps(plain)]


def lay_control_network() -> None:
    """Give the control plane its addresses."""
    _ip("link", "set", "lo", "up")
    _ip("address", "add", f"{CONTROL}/32", "dev", "lo")


@dataclass(frozen=True)
class Host:
    """A host that is up; processes enter it one by one."""

    name: str
    pid: int

    @property
    def enter(self) -> list[str]:
        """The prefix that runs a command on this host."""
        return ["nsenter", "--target", str(self.pid), "--net", "--uts", "--"]

    def runs(self, pid: int) -> bool:
        """Whether a process is on this host."""
        return _network_of(pid) == _network_of(self.pid)

    def pull_cable(self) -> None:
        """Nothing comes or goes any more, and nobody is told."""
        _ip("link", "set", self.name, "down")

    def plug_in(self) -> None:
        """As before."""
        _ip("link", "set", self.name, "up")


@contextmanager
def host(name: str, number: int) -> Iterator[Host]:
    """A host with a cable to the control plane's network."""
    wait = 'hostname "$1" && echo up && read _'
    holder = subprocess.Popen(
        ["unshare", "--net", "--uts", "--", "sh", "-c", wait, "sh", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout
        assert holder.stdout.readline() == b"up\n", f"no host {name}: see the error above"
        up = Host(name, holder.pid)
        _connect(up, f"10.77.{number}")
        yield up
    finally:
        holder.communicate()


def _network_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/net").readlink()


def _connect(up: Host, net: str) -> None:
    _ip("link", "add", up.name, "type", "veth", "peer", "name", "eth0", "netns", str(up.pid))
    _ip("address", "add", f"{net}.1/24", "dev", up.name)
    up.plug_in()
    for command in (
        ["link", "set", "lo", "up"],
        ["address", "add", f"{net}.2/24", "dev", "eth0"],
        ["link", "set", "eth0", "up"],
        ["route", "add", "default", "via", f"{net}.1"],
    ):
        _ip(*command, on=up.enter)


def _ip(*arguments: str, on: Sequence[str] = ()) -> None:
    subprocess.run([*on, "ip", *arguments], check=True)
