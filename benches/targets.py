"""Which targets are reached, by what was measured."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import loads
from loads import COUNTS, ENDS, SIZES, STEADY, Load
from samples import Ratio, Samples
from servers import FJORD, FJORD_OS, KAFKA, KAFKA_FLUSH, Side
from tables import number, table

# Every cell with acks of all, and records as they are.
_LOADS = [Load(size, partitions) for size in SIZES for partitions in COUNTS]
_PRODUCE = [loads.produce(load) for load in _LOADS]
_CONSUME = [loads.consume(load) for load in _LOADS]
_STEADY = [loads.steady(load, share) for share in (0.1, 0.5) for load in STEADY]
_RESTART = [loads.restart(end) for end in ENDS]


@dataclass(frozen=True)
class Target:
    """A bound on how one side is to the other."""

    measure: str
    cells: Sequence[str]
    value: str
    reference: Side
    goal: float
    at_least: bool = False
    """Whether more is better."""
    ours: Side = FJORD

    def ratios(self, samples: Samples) -> dict[str, Ratio]:
        """By the names of the cells that were measured."""
        found = {cell: samples.ratio(cell, self.ours.name, self.reference.name, self.value) for cell in self.cells}
        return {cell: ratio for cell, ratio in found.items() if ratio is not None}

    def is_reached(self, ratio: Ratio) -> bool:
        return ratio.median >= self.goal if self.at_least else ratio.median <= self.goal

    def row(self, samples: Samples) -> list[str] | None:
        """The measure, what it is compared with, the goal, what was reached and where it was not; None if not measured."""
        ratios = self.ratios(samples)
        if not ratios:
            return None
        medians = [ratio.median for ratio in ratios.values()]
        range_ = f"{number(min(medians))} to {number(max(medians))}"
        reached = (
            f"{number(statistics.median(medians))} ({range_})" if len(medians) > 1 else str(next(iter(ratios.values())))
        )
        missed = [f"{cell}: {ratio}" for cell, ratio in ratios.items() if not self.is_reached(ratio)]
        verdict = f"**not reached** in {len(missed)} of {len(ratios)} cells: " + "; ".join(missed) if missed else "reached"
        goal = f"at {'least' if self.at_least else 'most'} {self.goal:g}"
        return [self.measure, f"{self.ours.name} to {self.reference.name}", goal, reached, verdict]


def _both(
    measure: str, cells: Sequence[str], value: str, goals: tuple[float, float], at_least: bool = False
) -> list[Target]:
    """Targets beside Kafka as it ships, and beside Kafka with a flush at each message."""
    return [
        Target(measure, cells, value, side, goal, at_least)
        for side, goal in zip((KAFKA, KAFKA_FLUSH), goals, strict=True)
    ]  # fmt: skip


TARGETS = [
    *_both("produce throughput, acks=all", _PRODUCE, "MB/s", (1.3, 5), at_least=True),
    *_both("broker CPU seconds per GiB produced", _PRODUCE, "CPU s/GiB", (0.25, 0.05)),
    Target("broker CPU seconds per GiB consumed", _CONSUME, "CPU s/GiB", KAFKA, 0.4),
    *_both("p99 produce latency at a tenth and at half of Kafka's peak", _STEADY, "produce p99 ms", (1.0, 0.2)),
    Target("consume throughput", _CONSUME, "MB/s", KAFKA, 1.2, at_least=True),
    *_both("peak of the resident memory while producing", _PRODUCE, "RSS MiB peak", (0.1, 0.1)),
    *_both("peak of the resident memory while consuming", _CONSUME, "RSS MiB peak", (0.1, 0.1)),
    *_both("restart to first acknowledged record", _RESTART, "seconds", (0.05, 0.05)),
    Target("throughput from the page cache", _PRODUCE, "MB/s", KAFKA, 1.5, at_least=True, ours=FJORD_OS),
    Target("p99 from the page cache", _STEADY, "produce p99 ms", KAFKA, 0.5, ours=FJORD_OS),
]


def targets(samples: Samples) -> str:
    """A table: each cell counts by the median of its rounds' ratios, and all of a measure have to reach the goal."""
    heading = ["Measure", "Ratio of", "Goal", "Median of the cells (least to greatest)", ""]
    return table(heading, [row for target in TARGETS if (row := target.row(samples))])
