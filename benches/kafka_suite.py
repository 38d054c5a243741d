"""This broker beside Apache Kafka, with the same clients."""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

from confluent_kafka.admin import AdminClient, NewTopic
from harness.server import Server

from clients import Steady, probe_consume, probe_produce, probe_steady
from first import wait_for_acknowledgement
from samples import Sample, Samples
from servers import FJORD, FJORD_OS, KAFKA, KAFKA_FLUSH, Side
from suite import Run, Suite
from tables import comparison

WARM_UP = 0.5
"""The share of a measurement's time that goes before it, for virtual machines to compile and caches to fill."""
SIDES = (KAFKA, FJORD, KAFKA_FLUSH, FJORD_OS)


@dataclass(frozen=True)
class Load:
    """What is produced and consumed."""

    size: int
    partitions: int
    acks: str = "all"
    codec: str = "none"

    def __str__(self) -> str:
        size = f"{self.size} B" if self.size < 1024 else f"{self.size // 1024} KiB"
        others = [f"acks={self.acks}"] * (self.acks != "all") + [self.codec] * (self.codec != "none")
        return ", ".join([size, f"{self.partitions} {'partition' if self.partitions == 1 else 'partitions'}", *others])

    @property
    def settings(self) -> list[str]:
        """The producer's, by librdkafka's names. Idempotence, as Kafka's own producers have it, needs acks of all."""
        idempotence = "true" if self.acks == "all" else "false"
        return [
            f"acks={self.acks}", f"compression.codec={self.codec}", f"enable.idempotence={idempotence}", "linger.ms=5",
        ]  # fmt: skip


USUAL = Load(1024, 100)
LOADS = [Load(size, partitions) for size in (100, 1024, 65_536) for partitions in (1, 100, 1000)] + [
    replace(USUAL, acks="1"),
    replace(USUAL, codec="lz4"),
]
STEADY_LOADS = [Load(1024, 1), USUAL]
RESTART = "first acknowledged record after"
SHARES = (0.1, 0.5, 0.9)
"""Of what Kafka reaches with the same load in the same run."""
_numbers = itertools.count()


def run(run: Run) -> None:
    for load in LOADS:
        if run.wants(f"produce, {load}") or run.wants(f"consume, {load}"):
            # The last two differ from the first two by a setting; that it works is seen with one load.
            compared = SIDES[:2] if run.options.is_check and load != USUAL else SIDES
            for number, sides in run.rounds(compared):
                for side in sides:
                    throughput(run, load, side, number)
    for load in STEADY_LOADS:
        for share in SHARES:
            cell = f"steady at {share:.0%}, {load}"
            if not run.wants(cell):
                continue
            peak = run.samples.median(f"produce, {load}", KAFKA.name, "MB/s")
            if peak is None:
                raise SystemExit(f"{cell} is a share of what Kafka produces: measure 'produce, {load}' as well")
            for number, sides in run.rounds(SIDES):
                for side in sides:
                    steady(run, load, cell, share * peak * 1e6 / load.size, side, number)
    if run.wants(RESTART):
        for number, sides in run.rounds(SIDES):
            for side in sides:
                restart(run, side, number)


def throughput(run: Run, load: Load, side: Side, number: int) -> None:
    """Produces for a while, and reads all of it."""
    with run.server(side) as server, new_topic(server, load.partitions) as topic:
        idle = server.memory_mib()
        warm_up = probe_produce(server.bootstrap, topic, run.options.seconds * WARM_UP, load.size, *load.settings)
        written: dict[str, float] = {}

        def produce() -> dict[str, float]:
            values = probe_produce(server.bootstrap, topic, run.options.seconds, load.size, *load.settings)
            written["records"] = values.pop("records")
            return {**values, "RSS MiB idle": idle}

        run.measure(server, f"produce, {load}", side.name, number, produce)
        records = int(warm_up["records"] + written["records"])
        consume = lambda: probe_consume(server.bootstrap, topic, records, load.partitions)  # noqa: E731
        run.measure(server, f"consume, {load}", side.name, number, consume)


def steady(run: Run, load: Load, cell: str, rate: float, side: Side, number: int) -> None:
    """Latencies at a rate of records a second."""
    with run.server(side) as server, new_topic(server, load.partitions) as topic:
        seconds = run.options.seconds
        asked = Steady(topic, seconds, load.size, seconds * WARM_UP, load.partitions, rate)
        measured = lambda: probe_steady(server.bootstrap, asked, *load.settings)  # noqa: E731
        run.measure(server, cell, side.name, number, measured)


def restart(run: Run, side: Side, number: int) -> None:
    """How long it takes from the start of a process that has data to the first acknowledged record."""
    with run.server(side) as server, new_topic(server, USUAL.partitions) as topic:
        probe_produce(server.bootstrap, topic, run.options.seconds, USUAL.size, *USUAL.settings)
        for how, end in (("a stop", server.stop), ("SIGKILL", server.kill)):
            end()
            started = time.monotonic()
            # It is asked while it starts: some time goes by from the first answer until the harness finds it ready.
            with ThreadPoolExecutor() as asking:
                acknowledged = asking.submit(wait_for_acknowledgement, server.bootstrap, topic)
                server.start()
            values = {"seconds": acknowledged.result() - started}
            run.samples.add(Sample(f"{RESTART} {how}", side.name, number, values))


@contextmanager
def new_topic(server: Server, partitions: int) -> Iterator[str]:
    """A topic's name; the topic goes when it is done with."""
    name = f"bench-{next(_numbers)}"
    # A client that nobody holds any more ends, and its requests with it.
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(60)
    yield name
    admin.delete_topics([name])[name].result(60)


def render(samples: Samples) -> str:
    parts = []
    for reference, ours in ((KAFKA, FJORD), (KAFKA_FLUSH, FJORD), (KAFKA, FJORD_OS)):
        sides = (reference.name, ours.name)
        of = lambda *names: [cell for cell in samples.cells() if cell.startswith(names)]  # noqa: E731
        latencies = [f"{what} {name} ms" for what in ("produce", "end to end") for name in ("p50", "p99", "p99.9", "max")]
        parts += [
            f"#### {ours.name} beside {reference.name}\n",
            comparison(samples, of("produce"), sides, ["MB/s", "CPU s/GiB", "bytes written per byte", "RSS MiB"]),
            comparison(samples, of("consume"), sides, ["MB/s", "CPU s/GiB"]),
            comparison(samples, of("steady"), sides, [*latencies, "CPU s/GiB"]),
            comparison(samples, of("first"), sides, ["seconds"]),
        ]
    return "\n".join(parts)


SUITE = Suite("kafka", run, render)
