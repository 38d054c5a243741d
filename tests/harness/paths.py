"""Where things are, and which network ports are free."""

import random
import socket
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TESTS = REPOSITORY / "tests"
CACHE = REPOSITORY / ".cache"
"""Everything that the tests install or build; removing it costs only time."""

_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given_out: set[int] = set()


def free_port(*, also: Iterable[int] = ()) -> int:
    """A free TCP port on loopback, below the range from which the system takes client ports.

    A port inside that range could be lost while a broker restarts: a client that tries to reconnect
    may be given the very port as its own end, and then is connected to itself.

    The ports that are higher by what `also` says are free as well.
    """
    first_ephemeral = int(_EPHEMERAL_RANGE.read_text().split()[0]) if _EPHEMERAL_RANGE.exists() else 32768
    above = [0, *also]
    for _ in range(1000):
        port = random.randrange(10_000, first_ephemeral - max(above))
        ports = {port + each for each in above}
        if ports.isdisjoint(_given_out) and all(map(_is_free, ports)):
            _given_out.update(ports)
            return port
    raise RuntimeError("no free TCP port below the ephemeral range")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
