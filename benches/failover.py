"""What users wait when a broker goes: faults under load, and the longest time between acknowledged records."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.cluster import Cluster, Member, wait_for

from clusters import balance
from gaps import gaps
from steady_producers import SteadyProducer

WELL_S = 1.0
"""Records that were acknowledged within this time, in every partition, show that all is well."""
GIVE_UP_S = 150


@dataclass(frozen=True)
class Fault:
    """A way for a broker to go, and to come back."""

    name: str
    begin: Callable[[Member], None]
    end: Callable[[Cluster, Member], None]


def _paused(member: Member) -> None:
    member.process.send_signal(signal.SIGSTOP)


def _resumed(_cluster: Cluster, member: Member) -> None:
    member.process.send_signal(signal.SIGCONT)


def _asked_to_stop(member: Member) -> None:
    member.process.send_signal(signal.SIGTERM)


def _gone(cluster: Cluster, member: Member) -> None:
    member.process.wait()
    member.process = None
    cluster.start(member.id)


KILL = Fault("SIGKILL", lambda member: member.process.kill(), _gone)
PAUSE = Fault("SIGSTOP", _paused, _resumed)
STOP = Fault("SIGTERM", _asked_to_stop, _gone)


def hit(cluster: Cluster, fault: Fault, victim: Member, producer: SteadyProducer, watch_s: float) -> dict[str, float]:
    """Does one fault to a broker that leads, and puts everything back. Returns the gaps, in milliseconds.

    It is watched for `watch_s` at least what the fault does.
    """
    balance(cluster)
    wait_well(producer)
    errors = len(producer.errors)
    begun = time.monotonic()
    fault.begin(victim)
    end = begun + GIVE_UP_S
    while time.monotonic() < begun + watch_s or producer.waiting_s() > WELL_S:
        if time.monotonic() > end:
            raise TimeoutError(f"records wait for {producer.waiting_s():.0f} s after {fault.name} of broker {victim.id}")
        time.sleep(0.01)
    found = gaps(producer.acknowledged, begun, time.monotonic())
    fault.end(cluster, victim)
    return {
        "longest gap ms": found.together * 1000,
        "longest gap of a partition ms": found.worst * 1000,
        "records given up": len(producer.errors) - errors,
    }


def wait_well(producer: SteadyProducer) -> None:
    """Waits until every partition had its records acknowledged quickly for a while."""

    def is_well() -> bool:
        end = time.monotonic()
        return producer.waiting_s() < WELL_S and gaps(producer.acknowledged, end - 2 * WELL_S, end).worst < WELL_S

    wait_for("all partitions have their records acknowledged", is_well, GIVE_UP_S)
