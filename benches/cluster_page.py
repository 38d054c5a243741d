"""The tables of the suite `cluster` in the page of the benchmarks."""

from dataclasses import dataclass

import cluster_loads as loads
from clusters import FJORD3, KAFKA3
from failover import KILL, PAUSE, STOP
from kafka_page import machine
from samples import Samples
from tables import comparison, number, table

GAPS = ("longest gap of a partition ms", "longest gap ms", "records given up")
LATENCIES = [f"{what} {name} ms" for what in ("produce", "end to end") for name in ("p50", "p99", "p99.9", "max")]


@dataclass(frozen=True)
class Goal:
    """A bound on what this broker takes."""

    cell: str
    value: str
    median: float | None = None
    worst: float | None = None

    def row(self, samples: Samples) -> list[str] | None:
        """What was asked for, and what was reached; None if it was not measured."""
        found = samples.values(self.cell, FJORD3.name, self.value)
        if not found:
            return None
        median, worst = samples.median(self.cell, FJORD3.name, self.value), max(found)
        bounds = [("median", self.median, median), ("worst", self.worst, worst)]
        asked = [(name, bound, value) for name, bound, value in bounds if bound is not None]
        goal = ", ".join(f"{name} at most {bound:g}" for name, bound, _ in asked)
        is_reached = all(value <= bound for _, bound, value in asked)
        reached = f"median {number(median)}, worst {number(worst)} of {len(found)}"
        return [self.cell, self.value, goal, reached, "reached" if is_reached else "**not reached**"]


def _goals() -> list[Goal]:
    """Those of a broker that goes."""
    gap, found = GAPS[0], []
    for client in (loads.LIBRDKAFKA, loads.GRPC):
        found += [
            Goal(loads.failover(KILL.name, client), gap, median=700, worst=2000),
            Goal(loads.failover(PAUSE.name, client), gap, worst=4000),
            Goal(loads.failover(STOP.name, client), gap, worst=200),
        ]
    return [*found, Goal(loads.MOVES, "moved after s", worst=2), Goal(loads.REPLACE, "records lost", worst=0)]


def render(samples: Samples) -> str:
    parts = ["### Targets\n", targets(samples), machine(samples)]
    parts += ["### When a broker goes\n", faults(samples), growth(samples)]
    speed = [loads.PRODUCE, *map(loads.steady, loads.SHARES)]
    values = ["MB/s", "on time", *LATENCIES, "CPU s/GiB", "RSS MiB"]
    return "\n".join([*parts, "### Speed\n", comparison(samples, speed, (KAFKA3.name, FJORD3.name), values)])


def targets(samples: Samples) -> str:
    """What was aimed at, and whether it was reached."""
    rows = [row for goal in _goals() if (row := goal.row(samples))]
    for cell, value, bound, at_least in (
        (loads.PRODUCE, "MB/s", 2, True),
        *((loads.steady(share), "produce p99 ms", 0.5, False) for share in loads.SHARES),
    ):
        if ratio := samples.ratio(cell, FJORD3.name, KAFKA3.name, value):
            is_reached = ratio.median >= bound if at_least else ratio.median <= bound
            goal = f"at {'least' if at_least else 'most'} {bound:g} times Kafka's"
            rows.append([cell, value, goal, str(ratio), "reached" if is_reached else "**not reached**"])
    return table(["Cell", "", "Goal", "Reached", ""], rows)


def faults(samples: Samples) -> str:
    """Medians and extremes of all rounds of each fault."""
    rows = []
    for fault in (KILL, PAUSE, STOP):
        for client in (loads.LIBRDKAFKA, loads.GRPC):
            cell = loads.failover(fault.name, client)
            for side in samples.sides(cell):
                for value in GAPS:
                    found = samples.values(cell, side, value)
                    shown = [min(found), samples.median(cell, side, value), max(found)]
                    rows.append([cell, side, value, *map(number, shown), str(len(found))])
    return table(["", "", "", "least", "median", "worst", "rounds"], rows)


def growth(samples: Samples) -> str:
    """Many partitions, and a broker that is replaced."""
    rows = []
    for cell in (loads.MOVES, loads.REPLACE):
        for value in samples.names(cell):
            found = samples.values(cell, FJORD3.name, value)
            rows.append([cell, value, number(samples.median(cell, FJORD3.name, value)), number(max(found))])
    return table(["", "", "median", "worst"], rows)
