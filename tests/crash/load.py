"""Load from an idempotent client whose every record can be told from every other, and the check of what arrived."""

import random
import threading
import time
import zlib
from dataclasses import dataclass

from confluent_kafka import Consumer, Producer, TopicPartition

_FILLER = random.Random(7).randbytes(1 << 17)
_FLUSH_TIMEOUT_S = 60
_READ_TIMEOUT_S = 60


@dataclass(frozen=True)
class Shape:
    """What a load's records and batches look like."""

    topic: str
    partitions: int
    sizes: tuple[int, int]
    """Least and most bytes of a record's value."""
    options: tuple[tuple[str, object], ...] = ()
    pause_s: float = 0.0
    """Between two records of one partition."""


SMALL = Shape("small", 4, (20, 200), (("linger.ms", 0), ("batch.num.messages", 50)), pause_s=0.0005)
LARGE = Shape("large", 3, (1_000, 100_000), (("linger.ms", 20), ("compression.type", "lz4")), pause_s=0.005)


def value_of(shape: Shape, partition: int, number: int) -> bytes:
    """The value of record `number` of a partition: always the same, and unlike any other."""
    head = b"%d:%d:" % (partition, number)
    mix = zlib.crc32(head)
    size = shape.sizes[0] + mix % (shape.sizes[1] - shape.sizes[0])
    start = mix % (len(_FILLER) - size) if size < len(_FILLER) else 0
    return (head + _FILLER[start : start + size])[: max(size, len(head))]


class Load:
    """A thread that produces to all partitions of its topic until it is told to finish.

    Record n of a partition is the n-th sent to it, and nobody else writes there: it must be stored at offset n, once.
    """

    def __init__(self, bootstrap: str, shape: Shape, start_at: list[int] | None = None):
        self.shape = shape
        self.sent = list(start_at or [0] * shape.partitions)
        self.acknowledged = list(self.sent)
        """How many records of each partition have been acknowledged; they are acknowledged in order."""
        self.errors: list[str] = []
        self._finish = threading.Event()
        self._producer = Producer({
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "log_level": 2,
            "acks": "all",
            # The client must not give a record up while the broker is away.
            "message.timeout.ms": 0,
            "queue.buffering.max.kbytes": 4096,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 100,
            "retry.backoff.ms": 20,
            "retry.backoff.max.ms": 100,
            **dict(shape.options),
        })  # fmt: skip
        self._thread = threading.Thread(target=self._run, name=f"load-{shape.topic}", daemon=True)

    def start(self) -> "Load":
        """Begins to produce."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stops producing, and forgets what is not acknowledged yet."""
        self._finish.set()
        self._thread.join(_FLUSH_TIMEOUT_S)
        self._producer.purge()
        self._producer = None

    def finish(self) -> None:
        """Stops producing and waits until all that was sent is acknowledged."""
        self._finish.set()
        self._thread.join(_FLUSH_TIMEOUT_S)
        left = self._producer.flush(_FLUSH_TIMEOUT_S)
        assert not self.errors, f"the producer gave up: {self.errors[:5]}"
        assert left == 0, f"{left} records were not acknowledged within {_FLUSH_TIMEOUT_S} s"
        assert self.acknowledged == self.sent

    def _run(self) -> None:
        while not self._finish.is_set() and not self.errors:
            for partition in range(self.shape.partitions):
                self._send(partition)
            self._producer.poll(self.shape.pause_s)

    def _send(self, partition: int) -> None:
        number = self.sent[partition]
        value = value_of(self.shape, partition, number)
        try:
            self._producer.produce(
                self.shape.topic, value, partition=partition, on_delivery=lambda error, m: self._delivered(number, error, m)
            )
            self.sent[partition] += 1
        except BufferError:
            self._producer.poll(0.05)

    def _delivered(self, number: int, error, message) -> None:
        partition = message.partition()
        if error:
            self.errors.append(f"{self.shape.topic}-{partition} record {number}: {error}")
        elif message.offset() != number:
            self.errors.append(f"{self.shape.topic}-{partition} record {number} is at offset {message.offset()}")
        elif number != self.acknowledged[partition]:
            self.errors.append(f"{self.shape.topic}-{partition} record {number} acknowledged out of order")
        else:
            self.acknowledged[partition] += 1


class Check:
    """Reads a load's topic, and goes on from where the last check ended."""

    def __init__(self, bootstrap: str, shape: Shape, start_at: list[int] | None = None):
        self.shape = shape
        self.checked = list(start_at or [0] * shape.partitions)
        self._consumer = Consumer({
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "log_level": 2,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 100,
            "fetch.message.max.bytes": 4 << 20,
        })  # fmt: skip

    def run(self, at_least: list[int], whole: bool = False) -> None:
        """Every partition holds record n at offset n, each once, up to a point beyond `at_least`, and nothing else."""
        if whole:
            self.checked = [0] * self.shape.partitions
        places = [TopicPartition(self.shape.topic, p, offset) for p, offset in enumerate(self.checked)]
        self._consumer.assign(places)
        reading, deadline = set(range(len(places))), time.monotonic() + _READ_TIMEOUT_S
        while reading:
            assert time.monotonic() < deadline, f"still reading {self.shape.topic} at {self.checked}, wanted {at_least}"
            for message in self._consumer.consume(2000, 0.2):
                self._take(message, at_least, reading)
        self._consumer.unassign()

    def _take(self, message, at_least: list[int], reading: set[int]) -> None:
        partition = message.partition()
        if (error := message.error()) is not None:
            if error.name() == "_PARTITION_EOF":
                # An end that was seen while records were still being written again is not the last one.
                if self.checked[partition] >= at_least[partition]:
                    reading.discard(partition)
                return
            # The client says so, and tries again, while the broker comes back.
            assert error.retriable() or error.name() in ("_ALL_BROKERS_DOWN", "_TRANSPORT"), f"reading failed: {error}"
            return
        place = f"{self.shape.topic}-{partition} offset {message.offset()}"
        assert message.offset() == self.checked[partition], f"{place} came where {self.checked[partition]} was due"
        found, wanted = message.value(), value_of(self.shape, partition, self.checked[partition])
        assert found == wanted, f"{place} holds {found[:40]!r}, not {wanted[:40]!r}"
        self.checked[partition] += 1

    def close(self) -> None:
        """Closes the consumer."""
        self._consumer.close()
