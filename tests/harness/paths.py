"""Where things are, and which network ports are free."""

import random
import socket
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TESTS = REPOSITORY / "tests"
CACHE = REPOSITORY / ".cache"
"""Everything that the tests install or build; removing it costs only time."""

_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given_out: set[int] = set()


def free_port() -> int:
    """A free TCP port on loopback, below the range from which the system takes client ports.

    A port inside that range could be lost while a broker restarts: a client that tries to reconnect
    may be given the very port as its own end, and then is connected to itself.
    """
    first_ephemeral = int(_EPHEMERAL_RANGE.read_text().split()[0]) if _EPHEMERAL_RANGE.exists() else 32768
    for _ in range(1000):
        port = random.randrange(10_000, first_ephemeral)
        if port in _given_out:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given_out.add(port)
        return port
    raise RuntimeError("no free TCP port below the ephemeral range")
