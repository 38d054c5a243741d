"""What is measured of a server in the suite `kafka`. Each function measures one cell, or some that belong together."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

from harness.server import Server

import loads
from clients import Load as JavaLoad
from clients import java_consume, java_produce
from drivers import Connections, Steady, produce_on_connections
from first import wait_for_acknowledgement
from loads import Load
from memory import drop_page_cache
from samples import Sample
from servers import KAFKA, Side
from suite import Options, Run

JAVA_RECORDS_PER_SECOND = 100_000
"""About how many go through, from which the number of records follows."""
CHECK_PEAK = 20
"""MB/s that stand for Kafka's peak where it is only seen that everything works."""


@dataclass(frozen=True)
class Session:
    """A server from its start to its end, in one round."""

    run: Run
    side: Side
    server: Server
    number: int

    @property
    def options(self) -> Options:
        return self.run.options

    def measure(self, cell: str, client) -> None:
        self.run.measure(self.server, cell, self.side.name, self.number, client)

    @contextmanager
    def topic(self, partitions: int) -> Iterator[str]:
        """A new topic. When it is gone, what others wrote meanwhile is on disk, so that it does not disturb what comes."""
        with self.side.driver.topic(self.server, partitions) as topic:
            yield topic
        if not self.options.is_check:
            os.sync()

    def rate(self, load: Load, share: float) -> float:
        """Records a second: a share of what Kafka reached in the first round."""
        peak = CHECK_PEAK if self.options.is_check else self.run.samples.first(loads.produce(load), KAFKA.name, "MB/s")
        if peak is None:
            raise SystemExit(f"rates are shares of what Kafka produces: measure '{loads.produce(load)}' as well")
        return share * peak * 1e6 / load.size


def warm_up(session: Session, load: Load) -> float:
    """Produces and consumes for a while. Returns the memory (MiB) that the server had before, with its topic."""
    with session.topic(load.partitions) as topic:
        idle = session.server.memory_mib()
        seconds = session.options.warm_up_s * session.side.warm_up
        told = session.side.driver.produce(session.server, topic, load, seconds * 2 / 3)
        session.side.driver.consume(session.server, topic, load, int(told["records"]), seconds / 3)
    return idle


def throughput(session: Session, load: Load) -> None:
    """Produces for a while, and reads that."""
    driver, server, options = session.side.driver, session.server, session.options
    with session.topic(load.partitions) as topic:
        records = driver.produce(server, topic, load, options.settle_s)["records"]

        def produce() -> dict[str, float]:
            nonlocal records
            values = driver.produce(server, topic, load, options.seconds)
            records += values.pop("records")
            return values

        session.measure(loads.produce(load), produce)
        consume = lambda: driver.consume(server, topic, load, int(records), options.seconds)  # noqa: E731
        session.measure(loads.consume(load), consume)


def java(session: Session, load: Load) -> None:
    """Kafka's own clients."""
    with session.topic(load.partitions) as topic:
        asked = JavaLoad(topic, int(JAVA_RECORDS_PER_SECOND * session.options.seconds), load.size)
        session.measure(loads.java("produce", load), lambda: java_produce(session.server.bootstrap, asked))
        session.measure(loads.java("consume", load), lambda: java_consume(session.server.bootstrap, asked))


def steady(session: Session, load: Load, share: float) -> None:
    """Latencies at a fixed rate."""
    with session.topic(load.partitions) as topic:
        session.measure(loads.steady(load, share), lambda: _steady(session, topic, load, share))


def _steady(session: Session, topic: str, load: Load, share: float) -> dict[str, float]:
    options = session.options
    asked = Steady(topic, load, options.seconds, options.settle_s, session.rate(load, share))
    return session.side.driver.steady(session.server, asked)


def cold(session: Session) -> None:
    """Latencies at a fixed rate without and with somebody who reads, from the disk, what was produced before."""
    load, driver, options = loads.USUAL, session.side.driver, session.options
    with session.topic(load.partitions) as old:
        records = int(driver.produce(session.server, old, load, 2 * options.seconds)["records"])
        for with_reader in (False, True):
            with session.topic(load.partitions) as topic, ThreadPoolExecutor() as beside:
                done, speeds = Event(), []
                drop_page_cache(session.server.directory)

                def read(done=done, speeds=speeds) -> None:
                    time.sleep(options.settle_s)
                    # From the beginning again and again, so that it reads until the end of the measurement.
                    while not done.is_set():
                        told = driver.consume(session.server, old, load, records, options.seconds)
                        speeds.append(told["MB/s"])
                        drop_page_cache(session.server.directory)

                def both(topic=topic, done=done, speeds=speeds, with_reader=with_reader) -> dict[str, float]:
                    reading = beside.submit(read) if with_reader else None
                    try:
                        values = _steady(session, topic, load, loads.COLD_SHARE)
                    finally:
                        done.set()
                    if reading:
                        reading.result()
                        values["reader's MB/s"] = speeds[0]
                    return values

                session.measure(loads.cold(with_reader), both)


def connections(session: Session, number: int, share: float | None) -> None:
    """Produces on so many connections."""
    load, options = loads.USUAL, session.options
    rate = session.rate(load, share) if share else 0
    with session.topic(load.partitions) as topic:
        for partition in range(load.partitions):
            # Kafka answers that a topic is there before all of its partitions take records.
            wait_for_acknowledgement(session.server.bootstrap, topic, partition)
        asked = Connections(topic, load, number, options.seconds, options.settle_s, rate)
        session.measure(loads.connections(number, share), lambda: produce_on_connections(session.server, asked))


def memory(session: Session, partitions: int, idle: float) -> None:
    """Memory before, under, and after load: before is what it was when the session began."""
    time.sleep(session.options.quiet_s)
    values = {"RSS MiB idle": idle, "RSS MiB after": session.server.memory_mib()}
    session.run.add(Sample(loads.memory(partitions), session.side.name, session.number, values))


def restart(session: Session, how: str) -> None:
    """How long it takes from the start of a process that has data to the first acknowledged record."""
    server, load = session.server, loads.USUAL
    with session.topic(load.partitions) as topic:
        session.side.driver.produce(server, topic, load, session.options.seconds)
        server.stop() if how == "a stop" else server.kill()
        started = time.monotonic()
        # It is asked while it starts: some time goes by from the first answer until the harness finds it ready.
        with ThreadPoolExecutor() as asking:
            acknowledged = asking.submit(wait_for_acknowledgement, server.bootstrap, topic)
            server.start()
        values = {"seconds": acknowledged.result() - started}
        session.run.add(Sample(loads.restart(how), session.side.name, session.number, values))
