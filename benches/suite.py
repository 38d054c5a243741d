"""What a suite of measurements is, and what it is told."""

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from harness.server import Server

from memory import Watch
from samples import Sample, Samples
from servers import Side
from usage import GIB, usage


@dataclass(frozen=True)
class Options:
    """How much is measured."""

    rounds: int
    seconds: float
    """About how long each measurement takes."""
    warm_up_s: float
    """How long a server works before it is measured."""
    settle_s: float = 1
    """How long a client works, or a server with a new topic, before it is measured."""
    quiet_s: float = 30
    """How long a server has nothing to do before its memory after load is taken."""
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
        with Watch(server) as memory:
            values = client()
        used = usage(server.pid) - before
        if bytes_moved := values.pop("MB") * 1e6:
            values["CPU s/GiB"] = used.cpu_s / (bytes_moved / GIB)
            values["bytes written per byte"] = used.written_bytes / bytes_moved
        values |= {"RSS MiB": memory.median(), "RSS MiB peak": memory.peak()}
        self.add(Sample(cell, side, number, values))

    def add(self, sample: Sample) -> None:
        """Adds a sample, and shows it."""
        self.samples.add(sample)
        told = ", ".join(f"{name} {value:.4g}" for name, value in sample.values.items())
        print(f"round {sample.round + 1}, {sample.cell}, {sample.side}: {told}", file=sys.stderr, flush=True)

    def wants(self, cell: str) -> bool:
        """Whether this cell is to be measured."""
        return self.options.only.search(cell) is not None

    def rounds(self, sides: Sequence) -> Iterable[tuple[int, list]]:
        """The sides in each round, in turn from the first and from the last: none always comes first."""
        for number in range(self.options.rounds):
            yield number, list(sides if number % 2 == 0 else reversed(sides))


class Progress:
    """Tells how far a run is, and when it will be done if the rest takes as long as it was foreseen."""

    def __init__(self, foreseen_s: Sequence[float]):
        self._left = list(foreseen_s)
        self._done_s = 0.0
        self._started = time.monotonic()
        print(f"{len(self._left)} sessions, about {sum(self._left) / 60:.0f} minutes", file=sys.stderr, flush=True)

    def step(self) -> None:
        """One more is done."""
        self._done_s += self._left.pop(0)
        took = time.monotonic() - self._started
        left = sum(self._left) * took / self._done_s
        print(f"{took / 60:.1f} min gone, about {left / 60:.0f} min left", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Suite:
    """A named set of measurements, and how they are shown."""

    name: str
    run: Callable[[Run], None]
    render: Callable[[Samples], str]
    """Markdown for the page of the benchmarks."""
    plots: Callable[[Samples], dict[str, str]] = lambda _: {}
    """Pictures (SVG) by the names of their files, which stand beside the raw numbers."""
