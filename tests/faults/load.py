"""Clients under test, each a process of its own: `python -m faults.load KIND ARGUMENTS`, the arguments as JSON.

They go on until their input is closed, then finish what they have begun, and write their history; see `history.py`.
"""

import json
import logging
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from .history import Writer

ROUND_S = 0.02
FINISH_S = 90
"""How long a producer may take in the end until all is acknowledged: more than librdkafka's `socket.timeout.ms`."""
KEYS = 24
COMMIT_S = 0.3


@dataclass(frozen=True)
class Arguments:
    """What a client is told."""

    client: str
    """Its name, with which its keys begin."""
    bootstrap: str
    """The Kafka listeners."""
    grpc: dict[str, str]
    """The gRPC listeners by the ids of their brokers."""
    topics: dict[str, int]
    """The topics, with their numbers of partitions."""
    history: str
    """The file for its history."""
    options: dict[str, object]
    """Settings of the client, beyond its defaults."""
    group: str = ""


class Bumps(logging.Handler):
    """Takes note of new producer epochs, and writes what librdkafka warns of to the log."""

    def __init__(self, history: Writer):
        super().__init__()
        self.history = history

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "bumped epoch" in text:
            self.history.write("bumped")
        if record.levelno >= logging.WARNING:
            print(text, file=sys.stderr)


def produce(told: Arguments, history: Writer, halt: threading.Event) -> None:
    """An idempotent producer of librdkafka; a key's number goes up with each record."""
    logger = logging.getLogger("librdkafka")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(Bumps(history))
    settings = {"bootstrap.servers": told.bootstrap, "enable.idempotence": True, "acks": "all", "debug": "eos"}
    producer = Producer({**settings, **told.options}, logger=logger)
    waiting: set[tuple[str, str]] = set()

    def delivered(error, message) -> None:
        topic, record = message.topic(), message.value().decode()
        waiting.discard((topic, record))
        if error is None:
            history.write("acknowledged", record=record, topic=topic, partition=message.partition(), offset=message.offset())
        else:
            history.write("failed", record=record, topic=topic, error=str(error))

    number = 0
    while not halt.is_set():
        for topic in told.topics:
            for _ in range(3):
                key = f"{told.client}-{number % KEYS}"
                record = f"{key}:{number}"
                history.write("sent", record=record, topic=topic)
                waiting.add((topic, record))
                producer.produce(topic, record.encode(), key=key.encode(), on_delivery=delivered)
                number += 1
        producer.poll(ROUND_S)
    producer.flush(FINISH_S)
    for topic, record in waiting:
        history.write("failed", record=record, topic=topic, error=f"not acknowledged within {FINISH_S} s")


def consume(told: Arguments, history: Writer, halt: threading.Event) -> None:
    """A member of a group that commits what it was given, one commit after the other."""
    positions: dict[tuple[str, int], int] = {}
    # When the commit was sent whose answer is waited for: a second one could overtake it, and be undone by it.
    asked: list[float] = []

    def assigned(_, partitions) -> None:
        for topic in {each.topic for each in partitions}:
            numbers = [each.partition for each in partitions if each.topic == topic]
            history.write("assigned", group=told.group, topic=topic, partitions=numbers)

    def revoked(_, partitions) -> None:
        for each in partitions:
            positions.pop((each.topic, each.partition), None)

    def committed(error, partitions) -> None:
        sent = asked.pop()
        for each in partitions:
            if error is None and each.error is None:
                place = {"topic": each.topic, "partition": each.partition, "offset": each.offset}
                history.write("committed", group=told.group, **place, asked=sent)

    consumer = Consumer({
        "bootstrap.servers": told.bootstrap,
        "group.id": told.group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "on_commit": committed,
        **told.options,
    })  # fmt: skip
    consumer.subscribe(list(told.topics), on_assign=assigned, on_revoke=revoked, on_lost=revoked)
    due = time.monotonic()
    while not halt.is_set():
        for message in consumer.consume(500, 0.1):
            # Errors are told of brokers that cannot be reached; the client goes on by itself.
            if message.error() is None:
                place = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
                history.write("consumed", group=told.group, **place, record=message.value().decode())
                positions[message.topic(), message.partition()] = message.offset() + 1
        if positions and not asked and time.monotonic() > due:
            asked.append(time.monotonic())
            consumer.commit(offsets=[TopicPartition(*place, offset) for place, offset in positions.items()])
            positions.clear()
            due = time.monotonic() + COMMIT_S
    consumer.close()


def main(kind: str, arguments: str) -> None:
    told = Arguments(**json.loads(arguments))
    halt = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), halt.set()), daemon=True).start()
    history = Writer(Path(told.history), told.client)
    if kind == "produce":
        produce(told, history, halt)
    elif kind == "consume":
        consume(told, history, halt)
    else:
        # Only this one needs the stubs.
        from .grpc_producer import stream

        stream(told, history, halt)


if __name__ == "__main__":
    main(*sys.argv[1:])
