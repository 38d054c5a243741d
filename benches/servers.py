"""The servers that are measured beside each other."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.apache_kafka import ApacheKafka
from harness.broker import Broker
from harness.server import Server

from drivers import Driver, KafkaDriver, NatsDriver
from nats_server import Nats


class Kafka(ApacheKafka):
    """Apache Kafka with the virtual machine's settings of its own start script."""

    JVM = [
        *["-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"],
        *["-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"],
    ]

    def command(self) -> list[str]:
        command = super().command()
        return ["java", *self.JVM, *command[command.index("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn") :]]


LIBRDKAFKA, NATS_CLIENT = KafkaDriver(), NatsDriver()


@dataclass(frozen=True)
class Side:
    """A kind of server with its settings."""

    name: str
    make: Callable[[Path], Server]
    driver: Driver = LIBRDKAFKA
    warm_up: float = 1 / 3
    """The share of the warm-up that it takes: all of it where a virtual machine compiles what it runs."""
    start_s: float = 1
    """About how long its start and its end take, for the forecast of how long a run takes."""

    @contextmanager
    def fresh(self) -> Iterator[Server]:
        """A running server with no data."""
        with tempfile.TemporaryDirectory(prefix="fjord-bench-") as directory, self.make(Path(directory)) as server:
            yield server


# What a topic has where it does not matter is left as each of them ships it.
KAFKA = Side("Kafka", Kafka, warm_up=1, start_s=12)
KAFKA_FLUSH = Side(
    "Kafka, flush at each message", lambda path: Kafka(path, {"log.flush.interval.messages": "1"}), start_s=12
)
FJORD = Side("Fjord", Broker)
FJORD_OS = Side("Fjord, durability os", lambda path: Broker(path, {"fjord.durability": "os"}))
NATS = Side("NATS", Nats, NATS_CLIENT)
NATS_SYNC = Side("NATS, sync always", lambda path: Nats(path, {"sync_interval": "always"}), NATS_CLIENT)
