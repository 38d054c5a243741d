"""What a suite of measurements is, and what it is told."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from harness.server import Server

from samples import Sample, Samples
from servers import Side
from usage import GIB, usage


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    rounds: int
    seconds: float
    """About how long each measurement takes."""
    only: re.Pattern = re.compile("")
    """What is measured: cells in whose names this is found."""
    is_check: bool = False
    """Whether it is only to be seen that everything works: one server of a kind does for all cells."""


@dataclass
class Run:
    """One run of a suite: what it has measured until now."""

    options: Options
    samples: Samples = field(default_factory=Samples)
    _shared: dict[Side, Server] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    @contextmanager
    def server(self, side: Side) -> Iterator[Server]:
        """A running server of a kind, with no data, and all of the machine for itself."""
        if not self.options.is_check:
            with side.fresh() as server:
                yield server
            return
        if side not in self._shared:
            self._shared[side] = self._stack.enter_context(side.fresh())
        yield self._shared[side]

    def close(self) -> None:
        """Stops the servers that are left."""
        self._stack.close()

    def measure(self, server: Server, cell: str, side: str, number: int, client: Callable[[], dict[str, float]]) -> None:
        """Has a client work with a server, and adds what it reports and what the server used meanwhile."""
        before = usage(server.pid)
        values = client()
        used = usage(server.pid) - before
        bytes_moved = values.pop("MB") * 1e6
        values["CPU s/GiB"] = used.cpu_s / (bytes_moved / GIB)
        values["bytes written per byte"] = used.written_bytes / bytes_moved
        values["RSS MiB"] = server.memory_mib()
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
