"""The gRPC API through the Rust client beside Kafka's protocol through the Java client, on one broker."""

from dataclasses import replace

from harness.broker import Broker

from clients import Load, create_topic, fjord_consume, fjord_produce, java_consume, java_produce
from samples import Samples
from servers import FJORD
from suite import Run, Suite
from tables import comparison

SIZE = 1024
PARTITIONS = (1, 10, 100)
RATES = (5_000, 20_000)
EXPECTED_PER_SECOND = 100_000
"""About how many records a second go through, from which the number of records follows."""

KAFKA, GRPC = "Java client, Kafka's protocol", "Rust client, gRPC"


def run(run: Run) -> None:
    for partitions in PARTITIONS:
        with run.server(FJORD) as broker:
            topic = f"topic-{partitions}"
            create_topic(broker.grpc, topic, partitions)
            for number, sides in run.rounds([KAFKA, GRPC]):
                for side in sides:
                    compare(run, broker, topic, partitions, side, number)


def compare(run: Run, broker: Broker, topic: str, partitions: int, side: str, number: int) -> None:
    """All cells of one side in one round."""
    produce = {KAFKA: lambda load: java_produce(broker.bootstrap, load), GRPC: lambda load: fjord_produce(broker.grpc, load)}
    consume = {KAFKA: lambda load: java_consume(broker.bootstrap, load), GRPC: lambda load: fjord_consume(broker.grpc, load)}
    fastest = Load(topic, int(EXPECTED_PER_SECOND * run.options.seconds), SIZE)
    steady = [replace(fastest, records=int(rate * run.options.seconds), rate=rate) for rate in RATES]
    for load in (fastest, *steady):
        run.measure(broker, cell("produce", partitions, load.rate), side, number, lambda: produce[side](load))
    run.measure(broker, cell("consume", partitions), side, number, lambda: consume[side](fastest))


def cell(what: str, partitions: int, rate: int | None = None) -> str:
    speed = f", {rate:,} records/s" if rate else ""
    return f"{what}, {partitions} {'partition' if partitions == 1 else 'partitions'}{speed}"


def render(samples: Samples) -> str:
    fastest = [cell(what, partitions) for what in ("produce", "consume") for partitions in PARTITIONS]
    steady = [cell("produce", partitions, rate) for rate in RATES for partitions in PARTITIONS]
    return "\n".join(
        [
            "As fast as each client can:\n",
            comparison(samples, fastest, (KAFKA, GRPC), ["MB/s", "CPU s/GiB"]),
            "At a fixed rate:\n",
            comparison(samples, steady, (KAFKA, GRPC), ["p50 ms", "p99 ms", "CPU s/GiB"]),
        ]
    )


SUITE = Suite("grpc", run, render)
