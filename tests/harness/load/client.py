"""Clients under test, each a process of its own: `python -m harness.load.client KIND ARGUMENTS`, the arguments as JSON.

They go on until their input is closed, then finish what they have begun, and write their history; see `history.py`.
"""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from .history import Writer

ROUND_S = 0.02
ROUND_RECORDS = 3
"""Records that a producer sends to each topic before it looks at what was acknowledged."""
FINISH_S = 90
"""How long a producer may take in the end until all is acknowledged: more than librdkafka's `socket.timeout.ms`."""
KEYS = 24
CATCH_UP_S = 0.1
"""How much of the time in which a producer could not send it makes up for, instead of sending all of that at once."""
COMMIT_S = 0.3


@dataclass(frozen=True)
class Arguments:
    """What a client is told."""

    client: str
    """Its name, with which its keys begin."""
    bootstrap: str
    """The Kafka listeners."""
    topics: dict[str, int]
    """The topics, with their numbers of partitions."""
    history: str
    """The file for its history."""
    options: dict[str, object]
    """Settings of the client, beyond its defaults."""
    grpc: dict[str, str] = field(default_factory=dict)
    """The gRPC listeners by the ids of their brokers."""
    group: str = ""
    pause_s: float = 0
    """How long a producer waits between two rounds at least."""


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

    number, due = 0, time.monotonic()
    while not halt.is_set():
        for topic in told.topics:
            for _ in range(ROUND_RECORDS):
                key = f"{told.client}-{number % KEYS}"
                record = f"{key}:{number}"
                history.write("sent", record=record, topic=topic)
                waiting.add((topic, record))
                producer.produce(topic, record.encode(), key=key.encode(), on_delivery=delivered)
                number += 1
        producer.poll(ROUND_S)
        due = max(due + told.pause_s, time.monotonic() - CATCH_UP_S)
        while (left := due - time.monotonic()) > 0:
            producer.poll(left)
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


Kind = Callable[[Arguments, Writer, threading.Event], None]
KINDS: dict[str, Kind] = {"produce": produce, "consume": consume}


def main(kinds: dict[str, Kind], kind: str, arguments: str) -> None:
    """Is a client of one of these kinds."""
    told = Arguments(**json.loads(arguments))
    halt = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), halt.set()), daemon=True).start()
    history = Writer(Path(told.history), told.client)
    kinds[kind](told, history, halt)


if __name__ == "__main__":
    main(KINDS, *sys.argv[1:])
