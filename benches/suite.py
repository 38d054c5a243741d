"""What a suite of measurements is, and what it is told."""

import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.broker import Broker
from harness.server import Server

from samples import Sample, Samples
from usage import GIB, resident_mib, usage


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    rounds: int
    seconds: float
    """About how long each measurement takes."""
    only: re.Pattern = re.compile("")
    """What is measured: cells in whose names this is found."""


@dataclass
class Run:
    """One run of a suite: what it has measured until now."""

    options: Options
    samples: Samples = field(default_factory=Samples)

    def measure(self, server: Server, cell: str, side: str, number: int, client: Callable[[], dict[str, float]]) -> None:
        """Has a client work with a server, and adds what it reports and what the server used meanwhile."""
        before = usage(server.pid)
        values = client()
        used = usage(server.pid) - before
        bytes_moved = values.pop("MB") * 1e6
        values["CPU s/GiB"] = used.cpu_s / (bytes_moved / GIB)
        values["bytes written per byte"] = used.written_bytes / bytes_moved
        values["RSS MiB"] = resident_mib(server.pid)
        self.samples.add(Sample(cell, side, number, values))
        told = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        print(f"round {number + 1}, {cell}, {side}: {told}", file=sys.stderr, flush=True)

    def wants(self, cell: str) -> bool:
        """Whether this cell is to be measured."""
        return self.options.only.search(cell) is not None

    def rounds(self, sides: Sequence) -> Iterable[tuple[int, list]]:
        """The sides in each round, in turn from the first and from the last: none always comes first."""
        for number in range(self.options.rounds):
            yield number, list(sides if number % 2 == 0 else reversed(sides))


@dataclass(frozen=True)
class Suite:
    """A named set of measurements, and how they are shown."""

    name: str
    run: Callable[[Run], None]
    render: Callable[[Samples], str]
    """Markdown for the page of the benchmarks."""


@contextmanager
def temporary_broker(settings: dict[str, str] | None = None):
    """This broker with an empty data directory."""
    with tempfile.TemporaryDirectory(prefix="fjord-bench-") as directory, Broker(Path(directory), settings) as broker:
        yield broker
