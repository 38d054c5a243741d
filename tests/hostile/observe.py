"""What a broker process shows of itself: memory, connections, and why it closed some."""

import re
import time

from harness.broker import Broker

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_TOLD = re.compile(r"connection closed .*reason=\S.* suppressed=(\d+)")

ORDINARY = ("peer_closed", "peer_reset", "idle", "shutdown")
"""Reasons for which connections of good clients end."""


def settled_memory_mib(broker: Broker, seconds: float = 10.0) -> float:
    """The least resident memory within some seconds: what is held for a moment does not count."""
    least, until = broker.memory_mib(), time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.5)
        least = min(least, broker.memory_mib())
    return least


def closed(broker: Broker) -> dict[str, float]:
    """Connections that were closed, by reason."""
    return broker.metrics("fjord_network_connections_closed_total")


def closed_for_cause(broker: Broker) -> int:
    """Connections that were closed because of what their client did."""
    return int(sum(count for reason, count in closed(broker).items() if reason not in ORDINARY))


def told_in_log(broker: Broker) -> int:
    """Connections whose end the log tells with its reason, or counts: it has so many lines a second, and no more."""
    text = _COLOURS.sub("", broker.log_path.read_text(errors="replace"))
    return sum(1 + int(suppressed) for suppressed in _TOLD.findall(text))


def open_connections(broker: Broker) -> float:
    """Connections that are open now."""
    return sum(broker.metrics("fjord_network_connections").values())
