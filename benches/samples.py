"""What was measured, and how sides compare: medians of rounds, ratios within a round, and their spread."""

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """One side in one round of one cell."""

    cell: str
    """What is done, such as `produce, 1 KiB, 100 partitions`."""
    side: str
    round: int
    values: dict[str, float]
    """From a name with its unit, such as `MB/s`, to the value."""


def digits(value: float) -> str:
    """A number with the digits that mean something."""
    places = next((places for below, places in ((0.2, 3), (10, 2), (100, 1)) if abs(value) < below), 0)
    return f"{value:.{places}f}"


@dataclass(frozen=True)
class Ratio:
    """A side to the reference: the median of the rounds' ratios, the least, and the greatest."""

    median: float
    least: float
    greatest: float

    def __str__(self) -> str:
        return f"{digits(self.median)} ({digits(self.least)} to {digits(self.greatest)})"


class Samples:
    """All samples of a suite, in the order in which they were taken."""

    def __init__(self, samples: Iterable[Sample] = (), facts: dict[str, str] | None = None):
        self.all = list(samples)
        self.facts = facts or {}
        """The machine, the versions, and how long was measured."""

    def add(self, sample: Sample) -> None:
        self.all.append(sample)

    def cells(self) -> list[str]:
        return list(dict.fromkeys(sample.cell for sample in self.all))

    def sides(self, cell: str) -> list[str]:
        return list(dict.fromkeys(sample.side for sample in self.all if sample.cell == cell))

    def names(self, cell: str) -> list[str]:
        """The names of what was measured in this cell."""
        return list(dict.fromkeys(name for sample in self.all if sample.cell == cell for name in sample.values))

    def values(self, cell: str, side: str, value: str) -> list[float]:
        """The values of all rounds."""
        return list(self._by_round(cell, side, value).values())

    def median(self, cell: str, side: str, value: str) -> float | None:
        """The median of all rounds; None if it was not measured."""
        found = self._by_round(cell, side, value)
        return statistics.median(found.values()) if found else None

    def first(self, cell: str, side: str, value: str) -> float | None:
        """The value of the first round that there is; None if it was not measured."""
        found = self._by_round(cell, side, value)
        return found[min(found)] if found else None

    def ratio(self, cell: str, side: str, reference: str, value: str) -> Ratio | None:
        """How `side` is to `reference`, compared within each round; None if one of them was not measured."""
        ours, theirs = self._by_round(cell, side, value), self._by_round(cell, reference, value)
        ratios = [ours[number] / theirs[number] for number in ours.keys() & theirs.keys() if theirs[number]]
        return Ratio(statistics.median(ratios), min(ratios), max(ratios)) if ratios else None

    def _by_round(self, cell: str, side: str, value: str) -> dict[int, float]:
        return {
            sample.round: sample.values[value]
            for sample in self.all
            if (sample.cell, sample.side) == (cell, side) and value in sample.values
        }

    def save(self, path: Path) -> None:
        """Writes the facts, and then one sample a line."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [{"facts": self.facts}] * bool(self.facts) + [asdict(sample) for sample in self.all]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    @classmethod
    def load(cls, path: Path) -> "Samples":
        """Reads what was saved."""
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        facts = lines.pop(0)["facts"] if "facts" in lines[0] else None
        return cls((Sample(**line) for line in lines), facts)
