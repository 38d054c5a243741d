"""This broker beside Apache Kafka, with the same clients, and beside NATS JetStream."""

from collections.abc import Callable
from dataclasses import dataclass

import kafka_cells as cells
import loads
from kafka_cells import Session
from kafka_page import render
from kafka_plots import plots
from loads import COUNTS, ENDS, OTHERS, SHARES, SIZES, STEADY, USUAL, Load
from servers import FJORD, FJORD_OS, KAFKA, KAFKA_FLUSH, NATS, NATS_SYNC, Side
from suite import Options, Progress, Run, Suite

SHIPPED = (KAFKA, FJORD)
SIDES = (KAFKA, FJORD, KAFKA_FLUSH, FJORD_OS)
PEERS = (*SIDES, NATS, NATS_SYNC)


@dataclass(frozen=True)
class Work:
    """What is measured at once."""

    names: tuple[str, ...]
    """Of its cells."""
    do: Callable[[Session], None]
    lengths: float
    """How many times the length of a measurement it takes."""
    sides: tuple[Side, ...] = PEERS


@dataclass(frozen=True)
class Group:
    """What one server does from its start to its end, beginning with a warm-up with this load."""

    load: Load
    sides: tuple[Side, ...]
    works: tuple[Work, ...]
    memory: bool = False
    """Whether its memory before and after all of this is taken."""
    warm_up: bool = True
    checked: tuple[Side, ...] = (FJORD,)
    """The sides with which it is seen that all of this works: what other servers are asked for is the same."""


def _throughput(load: Load, sides: tuple[Side, ...] = PEERS) -> Work:
    names = (loads.produce(load), loads.consume(load))
    return Work(names, lambda session: cells.throughput(session, load), 2, sides)


def _steady(load: Load, share: float) -> Work:
    # NATS does not get to Kafka's peak.
    sides = SIDES if share == max(SHARES) else PEERS
    return Work((loads.steady(load, share),), lambda session: cells.steady(session, load, share), 1, sides)


def _java(load: Load) -> Work:
    names = (loads.java("produce", load), loads.java("consume", load))
    return Work(names, lambda session: cells.java(session, load), 3, SHIPPED)


def _connections(number: int, share: float | None) -> Work:
    return Work((loads.connections(number, share),), lambda session: cells.connections(session, number, share), 1)


def _restart(how: str) -> Work:
    return Work((loads.restart(how),), lambda session: cells.restart(session, how), 3)


def _usual(load: Load) -> Group:
    """All of what there is for records of 1 KiB."""
    others = OTHERS if load == USUAL else ()
    is_steady = load in STEADY
    works = [
        _throughput(load),
        *(_throughput(other, SHIPPED) for other in others),
        *(_steady(load, share) for share in SHARES if is_steady),
        *([_java(load)] if is_steady else []),
    ]
    sides = PEERS if is_steady else SIDES
    return Group(load, sides, tuple(works), memory=True, checked=PEERS if load == STEADY[0] else (FJORD,))


def _sizes() -> Group:
    """Records of other sizes."""
    others = [Load(size, partitions) for size in SIZES if size != USUAL.size for partitions in COUNTS]
    return Group(USUAL, SHIPPED, tuple(_throughput(load) for load in others))


def _connections_and_cold() -> Group:
    many = [_connections(number, share) for number in COUNTS for share in (None, loads.CONNECTIONS_SHARE)]
    cold = Work((loads.cold(False), loads.cold(True)), cells.cold, 5)
    return Group(USUAL, SHIPPED, (*many, cold), checked=SHIPPED)


GROUPS = (
    *(_usual(Load(1024, partitions)) for partitions in COUNTS),
    _sizes(),
    _connections_and_cold(),
    Group(USUAL, SIDES, tuple(_restart(how) for how in ENDS), warm_up=False),
)


@dataclass(frozen=True)
class Plan:
    """One session that is still to come."""

    group: Group
    number: int
    side: Side
    works: list[Work]
    memory: bool

    def foreseen_s(self, options: Options) -> float:
        """About how long it takes."""
        work = sum(work.lengths * options.seconds + 2 * options.settle_s for work in self.works)
        warm_up = options.warm_up_s * self.side.warm_up * self.group.warm_up
        return self.side.start_s + warm_up + work + options.quiet_s * self.memory


def planned(run: Run) -> list[Plan]:
    """All sessions in their order."""
    options, found = run.options, []
    for group in GROUPS:
        for number, sides in run.rounds(group.sides if not options.is_check else group.checked):
            for side in sides:
                works = [work for work in group.works if side in work.sides and any(map(run.wants, work.names))]
                # Waiting is dear, and what remains differs little: it is taken once, of those who are compared first.
                memory = group.memory and side in SHIPPED and number == options.rounds - 1
                memory = memory and run.wants(loads.memory(group.load.partitions))
                if works or memory:
                    found.append(Plan(group, number, side, works, memory))
    return found


def run(run: Run) -> None:
    plan = planned(run)
    progress = Progress([each.foreseen_s(run.options) for each in plan])
    for each in plan:
        with run.server(each.side) as server:
            session = Session(run, each.side, server, each.number)
            idle = cells.warm_up(session, each.group.load) if each.group.warm_up else 0
            for work in each.works:
                work.do(session)
            if each.memory:
                cells.memory(session, each.group.load.partitions, idle)
        progress.step()


SUITE = Suite("kafka", run, render, plots)
