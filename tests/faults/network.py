"""A network of its own for a cluster: hosts in network namespaces, on a switch in which any way can be cut.

Nothing of the machine's own network is touched, and nothing is left behind: a namespace has no name and lasts as long as
a process in it. Addresses are from 198.18.0.0/15, which is set aside for tests of networks (RFC 2544).

A cut drops packets without a word, as a network does: connections stay open and are silent. It has a direction, so all
shapes are sets of pairs; `shapes.py` has them. A link that is taken down is another fault: its host notices.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import pytest

PREFIX_BITS = 15
ADDRESS = "198.18.0.{}"
CLIENTS, OBSERVER = 100, 200
"""The last byte of the addresses of the clients and of the test itself; brokers have their id."""

_CLONE_NEWNET = 0x40000000
# Users other than root mostly do not have the last two on their path.
_ENVIRONMENT = {**os.environ, "PATH": os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])}
_FILTER = """
table bridge faults {
    set cut { type ipv4_addr . ipv4_addr; }
    chain forward { type filter hook forward priority 0; ip saddr . ip daddr @cut drop; }
}
"""

Way = tuple[int, int]
"""From one host to another, by their numbers."""


class Namespace:
    """A network namespace, which a process holds that ends when this one does."""

    def __init__(self):
        script = "ip link set lo up && echo up && exec cat"
        command = ["unshare", "--net", "sh", "-c", script]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.holder = subprocess.Popen(command, **pipes, text=True, env=_ENVIRONMENT, start_new_session=True)
        if self.holder.stdout.readline() != "up\n":
            said = self.holder.communicate()[1].strip()
            pytest.skip(f"no network namespace can be made; be root, or use unshare --map-root-user --mount --net: {said}")

    def enter(self) -> list[str]:
        """What goes before a command that is to run in here; the process keeps its id."""
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--"]

    def run(self, *command: str, given: str | None = None) -> None:
        """Runs a command in here, which has to succeed."""
        done = subprocess.run([*self.enter(), *command], input=given, capture_output=True, text=True, env=_ENVIRONMENT)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Has the calling thread, and the threads and processes that it starts, use this network."""
        with open("/proc/thread-self/ns/net") as before, open(f"/proc/{self.holder.pid}/ns/net") as here:
            _enter(here.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())

    def close(self) -> None:
        """Ends the process that holds it."""
        with suppress(BrokenPipeError):
            self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()
        self.holder.stderr.close()


def _enter(descriptor: int) -> None:
    """setns(2), which Python has from 3.12 on."""
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")


class Network:
    """Brokers, clients and the test, which sees all of them whatever is cut."""

    def __init__(self, brokers: int):
        self.brokers = frozenset(range(1, brokers + 1))
        self.switch = Namespace()
        self.hosts: dict[int, Namespace] = {}
        self.switch.run("ip", "link", "add", "switch", "type", "bridge")
        self.switch.run("ip", "link", "set", "switch", "up")
        self.switch.run("nft", "-f", "-", given=_FILTER)
        for number in [*sorted(self.brokers), CLIENTS, OBSERVER]:
            self._add(number)

    def _add(self, number: int) -> None:
        """A host with a link to the switch."""
        host, port = Namespace(), f"port{number}"
        self.hosts[number] = host
        link = ["type", "veth", "peer", "name", "eth0", "netns", str(host.holder.pid)]
        self.switch.run("ip", "link", "add", port, *link)
        self.switch.run("ip", "link", "set", port, "master", "switch", "up")
        host.run("ip", "address", "add", f"{ADDRESS.format(number)}/{PREFIX_BITS}", "dev", "eth0")
        host.run("ip", "link", "set", "eth0", "up")

    def cut(self, ways: Iterable[Way]) -> None:
        """Drops what goes these ways, and lets everything else through; nothing in between is seen by anyone."""
        pairs = ", ".join(f"{ADDRESS.format(one)} . {ADDRESS.format(other)}" for one, other in sorted(ways))
        add = f"add element bridge faults cut {{ {pairs} }}\n" if pairs else ""
        self.switch.run("nft", "-f", "-", given=f"flush set bridge faults cut\n{add}")

    def heal(self) -> None:
        """Lets everything through."""
        self.cut([])

    def unplug(self, number: int) -> None:
        """Takes a host's link down, which it notices."""
        self.switch.run("ip", "link", "set", f"port{number}", "down")

    def plug(self, number: int) -> None:
        """Brings it up again."""
        self.switch.run("ip", "link", "set", f"port{number}", "up")

    def close(self) -> None:
        """Throws everything away."""
        for namespace in [*self.hosts.values(), self.switch]:
            namespace.close()

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_) -> None:
        self.close()
