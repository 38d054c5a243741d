"""Producers that send to every partition in turn at a fixed rate, and know when each record was acknowledged.

They go on whatever happens to the brokers, as users' producers do.
"""

import threading
import time
from abc import abstractmethod
from functools import partial

from confluent_kafka import Producer

SYSLOG_CRITICAL = 2
TICK_S = 0.005
DRAIN_S = 5.0


class SteadyProducer(threading.Thread):
    """A thread that produces `rate` records a second, from partition 0 to the last and again from the first."""

    def __init__(self, partitions: int, rate: float, size: int):
        super().__init__(daemon=True)
        self.partitions = partitions
        self.rate = rate
        self.value = bytes(range(256)) * (size // 256)
        self.acknowledged: list[list[float]] = [[] for _ in range(partitions)]
        """When records of each partition were acknowledged (`time.monotonic`), in that order."""
        self.errors: list[str] = []
        """Why records were given up."""
        self._under_way: dict[int, float] = {}
        self._end = threading.Event()

    @abstractmethod
    def send(self, number: int, partition: int) -> None:
        """Sends one record, without waiting for its acknowledgement."""

    @abstractmethod
    def serve(self) -> None:
        """Does what is to be done between records, for `TICK_S` at most."""

    @abstractmethod
    def finish(self) -> None:
        """Ends, with what is under way given up if it takes too long."""

    def told(self, number: int, partition: int, error: object = None) -> None:
        """A record was acknowledged, or given up for this error."""
        del self._under_way[number]
        if error is None:
            self.acknowledged[partition].append(time.monotonic())
        else:
            self.errors.append(str(error))

    def waiting_s(self) -> float:
        """For how long the oldest of the records that are not acknowledged has been under way."""
        oldest = next(iter(self._under_way.copy().values()), None)
        return 0.0 if oldest is None else time.monotonic() - oldest

    def run(self) -> None:
        started, number = time.monotonic(), 0
        while not self._end.is_set():
            due = (time.monotonic() - started) * self.rate
            while number < due:
                self._under_way[number] = time.monotonic()
                self.send(number, number % self.partitions)
                number += 1
            self.serve()
        self.finish()

    def __enter__(self) -> "SteadyProducer":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self._end.set()
        self.join()


class LibrdkafkaProducer(SteadyProducer):
    """librdkafka with its default settings, which include acks of all."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, rate: float, size: int):
        super().__init__(partitions, rate, size)
        self.topic = topic
        self._client = Producer({"bootstrap.servers": bootstrap, "log_level": SYSLOG_CRITICAL})

    def send(self, number: int, partition: int) -> None:
        told = partial(self._delivered, number, partition)
        while True:
            try:
                self._client.produce(self.topic, self.value, partition=partition, on_delivery=told)
                return
            except BufferError:
                self._client.poll(TICK_S)

    def _delivered(self, number: int, partition: int, error: object, _message: object) -> None:
        self.told(number, partition, error)

    def serve(self) -> None:
        # Returns after the first acknowledgement that it has; the others are left for the next time.
        end = time.monotonic() + TICK_S
        while (left := end - time.monotonic()) > 0:
            self._client.poll(left)

    def finish(self) -> None:
        if self._client.flush(DRAIN_S) > 0:
            self._client.purge()
            self._client.flush(DRAIN_S)
