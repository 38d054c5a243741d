"""The clients of the suite `kafka`: the probe on librdkafka for all who speak Kafka's protocol, and one for NATS.

Each returns what it reports: values by their names and units. `MB` is what it moved in all.
"""

import itertools
import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic
from harness.batches import batch
from harness.messages import encode_request
from harness.paths import CACHE
from harness.server import Server

from clients import finish
from loads import Load

PROBE = CACHE / "bin" / "probe"
CONNECTIONS = CACHE / "bin" / "connections"
NATS = CACHE / "bin" / "nats"
ADMIN_TIMEOUT_S = 60
SYSLOG_ERROR = 3
_numbers = itertools.count()


@dataclass(frozen=True)
class Steady:
    """Records at a fixed rate, produced and consumed at once."""

    topic: str
    load: Load
    seconds: float
    warm_up_s: float
    rate: float
    """Records a second."""


def _ask(program: Path, *arguments: object) -> dict:
    return json.loads(finish([str(program), *(str(argument) for argument in arguments)]) or "{}")


def _latencies(told: dict) -> dict[str, float]:
    return {f"{what} {name} ms": value for what in ("produce", "end to end") for name, value in told.get(what, {}).items()}


class Driver(ABC):
    """A client: what it can be asked to do with a server."""

    @abstractmethod
    def create(self, server: Server, topic: str, partitions: int) -> None:
        """Creates a topic."""

    @abstractmethod
    def delete(self, server: Server, topic: str, partitions: int) -> None:
        """Deletes a topic."""

    @abstractmethod
    def ask_produce(self, server: Server, topic: str, load: Load, seconds: float) -> dict:
        """Has the client produce as fast as it goes, for so long."""

    @abstractmethod
    def ask_consume(self, server: Server, topic: str, load: Load, records: int, seconds: float) -> dict:
        """Has the client read a topic from its beginning, for so long at most."""

    @abstractmethod
    def ask_steady(self, server: Server, asked: Steady) -> dict:
        """Has the client produce and consume at a rate."""

    @contextmanager
    def topic(self, server: Server, partitions: int) -> Iterator[str]:
        """A topic's name; the topic goes when it is done with."""
        name = f"bench-{next(_numbers)}"
        self.create(server, name, partitions)
        yield name
        self.delete(server, name, partitions)

    def produce(self, server: Server, topic: str, load: Load, seconds: float) -> dict[str, float]:
        """Produces as fast as it goes, for so long. Also returns how many `records` there were."""
        told = self.ask_produce(server, topic, load, seconds)
        megabytes = told["records"] * load.size / 1e6
        return {"MB/s": megabytes / told["seconds"], "MB": megabytes, "records": told["records"]}

    def consume(self, server: Server, topic: str, load: Load, records: int, seconds: float) -> dict[str, float]:
        """Reads a topic from its beginning, for so long at most."""
        told = self.ask_consume(server, topic, load, records, seconds)
        return {"MB/s": told["bytes"] / 1e6 / told["seconds"], "MB": told["bytes"] / 1e6}

    def steady(self, server: Server, asked: Steady) -> dict[str, float]:
        """Latencies at a fixed rate, from when each record was due to its acknowledgement and to its arrival.

        `on time` is the share of the records that was acknowledged when the time was up: below 1, the rate was too much.
        """
        told = self.ask_steady(server, asked)
        size = asked.load.size
        asked_rate = {"MB/s asked for": asked.rate * size / 1e6, "on time": told["on time"]}
        return {**asked_rate, **_latencies(told), "MB": told["records"] * size / 1e6}


class KafkaDriver(Driver):
    """librdkafka."""

    def create(self, server: Server, topic: str, partitions: int) -> None:
        admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": SYSLOG_ERROR})
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(ADMIN_TIMEOUT_S)

    def delete(self, server: Server, topic: str, partitions: int) -> None:
        # Named, so that it lives until its answer is there.
        admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": SYSLOG_ERROR})
        admin.delete_topics([topic])[topic].result(ADMIN_TIMEOUT_S)

    def ask_produce(self, server: Server, topic: str, load: Load, seconds: float) -> dict:
        return _ask(PROBE, "produce", server.bootstrap, topic, seconds, load.size, *load.settings)

    def ask_consume(self, server: Server, topic: str, load: Load, records: int, seconds: float) -> dict:
        return _ask(PROBE, "consume", server.bootstrap, topic, records, load.partitions, seconds)

    def ask_steady(self, server: Server, asked: Steady) -> dict:
        load = asked.load
        what = (asked.seconds, load.size, asked.warm_up_s, load.partitions, asked.rate)
        return _ask(PROBE, "steady", server.bootstrap, asked.topic, *what, *load.settings)


class NatsDriver(Driver):
    """NATS' own Go client. A partition is a stream."""

    def create(self, server: Server, topic: str, partitions: int) -> None:
        _ask(NATS, "create", server.bootstrap, topic, partitions)

    def delete(self, server: Server, topic: str, partitions: int) -> None:
        _ask(NATS, "delete", server.bootstrap, topic, partitions)

    def ask_produce(self, server: Server, topic: str, load: Load, seconds: float) -> dict:
        return _ask(NATS, "produce", server.bootstrap, topic, load.partitions, seconds, load.size)

    def ask_consume(self, server: Server, topic: str, load: Load, records: int, seconds: float) -> dict:
        return _ask(NATS, "consume", server.bootstrap, topic, load.partitions, records, seconds)

    def ask_steady(self, server: Server, asked: Steady) -> dict:
        what = (asked.load.partitions, asked.seconds, asked.load.size, asked.warm_up_s, asked.rate)
        return _ask(NATS, "steady", server.bootstrap, asked.topic, *what)


PRODUCE_VERSION = 9
RECORDS_IN_REQUEST = 16
_BEFORE_ERROR = 4 + 1 + 1 + 1 + 1 + 4
"""Bytes of a response to Produce before its error code: the correlation id, no tags, one topic, the length of its name,
one partition, its index; the topic's name is among them."""


@dataclass(frozen=True)
class Connections:
    """Producers that have a connection each, and send one batch after the other to one partition."""

    topic: str
    load: Load
    connections: int
    seconds: float
    warm_up_s: float
    rate: float = 0
    """Records a second of all together; as many as possible if 0."""


def produce_on_connections(server: Server, asked: Connections) -> dict[str, float]:
    """Produces on many connections at once, with no client library."""
    records = batch([bytes(range(256)) * (asked.load.size // 256)] * RECORDS_IN_REQUEST)
    with tempfile.NamedTemporaryFile(prefix="fjord-bench-") as frames:
        for partition in range(asked.load.partitions):
            data = [{"Name": asked.topic, "PartitionData": [{"Index": partition, "Records": records}]}]
            body = {"TransactionalId": None, "Acks": -1, "TimeoutMs": 30_000, "TopicData": data}
            frame = encode_request("Produce", PRODUCE_VERSION, body, partition)
            frames.write(len(frame).to_bytes(4, "big") + frame)
        frames.flush()
        error_at = _BEFORE_ERROR + len(asked.topic)
        port = server.bootstrap.rpartition(":")[2]
        requests = asked.rate / RECORDS_IN_REQUEST
        what = (asked.connections, asked.seconds, asked.warm_up_s, requests)
        told = _ask(CONNECTIONS, port, frames.name, error_at, *what)
    megabytes = told["requests"] * RECORDS_IN_REQUEST * asked.load.size / 1e6
    speed = {"on time": told["on time"]} if asked.rate else {"MB/s": megabytes / asked.seconds}
    return {**speed, **_latencies(told), "MB": megabytes * (asked.seconds + asked.warm_up_s) / asked.seconds}
