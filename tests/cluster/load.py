"""Producers whose every acknowledged record is looked for in the end."""

import threading
import time
from collections import defaultdict

from confluent_kafka import Consumer, Producer

from harness.cluster import Cluster, wait_for

KEYS = 97


class Load(threading.Thread):
    """Produces numbered records with an idempotent producer, until it is told to stop."""

    def __init__(self, bootstrap: str, topic: str):
        super().__init__()
        self.topic = topic
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": "all", "enable.idempotence": True})
        self.acknowledged: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
        self.count = 0
        self.errors: list[str] = []
        self.halt = threading.Event()

    def told(self, error, message) -> None:
        if error is not None:
            self.errors.append(str(error))
            return
        self.count += 1
        self.acknowledged[message.partition()].append((message.offset(), message.value()))

    def run(self) -> None:
        number = 0
        while not self.halt.is_set():
            for _ in range(20):
                self.producer.produce(self.topic, b"%d" % number, key=b"%d" % (number % KEYS), on_delivery=self.told)
                number += 1
            self.producer.poll(0.01)
        left = self.producer.flush(60)
        if left > 0:
            self.errors.append(f"{left} records were never acknowledged")

    def wait_for_more(self, records: int) -> None:
        """Waits until so many more are acknowledged."""
        goal = self.count + records
        wait_for(f"{records} more records are acknowledged", lambda: self.count >= goal)

    def __enter__(self) -> "Load":
        self.start()
        self.wait_for_more(500)
        return self

    def __exit__(self, *_) -> None:
        self.halt.set()
        self.join()
        assert self.errors == []


def stored(cluster: Cluster, topic: str, records: int) -> dict[int, list[tuple[int, bytes]]]:
    """Reads a topic from its beginning, at least so many records, and to what is its end then."""
    consumer = Consumer({
        "bootstrap.servers": cluster.bootstrap,
        "group.id": "check",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    })  # fmt: skip
    consumer.subscribe([topic])
    found: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
    count, end = 0, time.monotonic() + 60
    try:
        while count < records and time.monotonic() < end:
            for message in consumer.consume(1000, 0.5):
                assert message.error() is None, message.error()
                found[message.partition()].append((message.offset(), message.value()))
                count += 1
    finally:
        consumer.close()
    return found


def check(cluster: Cluster, load: Load) -> None:
    """Everything acknowledged is there, once, where it was said to be, and in the order of each key."""
    found = stored(cluster, load.topic, load.count)
    for partition, records in load.acknowledged.items():
        assert found[partition] == sorted(records), f"partition {partition}"
        numbers: dict[int, int] = {}
        for _offset, value in found[partition]:
            number = int(value)
            key = number % KEYS
            assert numbers.get(key, -1) < number, f"key {key} of partition {partition} is out of order"
            numbers[key] = number
