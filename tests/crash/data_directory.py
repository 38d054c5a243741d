"""A data directory with known content, left behind by a crash, to be damaged and opened over and over."""

import itertools
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from crash.machine import CrashBroker
from crash.value_log import Entry, entries
from features.simple import wait_until
from harness.connection import Connection
from harness.messages import Reader

TOPICS = {"alpha": 3, "beta": 1}
GROUP = "readers"
BATCHES_A_RUN = 12
TIMEOUT_S = 60
CORRUPT_MESSAGE = 2
UNKNOWN_OFFSET = -1001
_VALUE = re.compile(rb"<(\w+)-(\d+) batch (\d+) record (\d+)>")
_RECORD_BYTES = 700

Place = tuple[str, int]
"""Topic and partition."""


def value(place: Place, batch: int, record: int) -> bytes:
    """A value that says where it belongs."""
    head = b"<%s-%d batch %d record %d>" % (place[0].encode(), place[1], batch, record)
    return head.ljust(_RECORD_BYTES, b".")


@dataclass
class Directory:
    """What is in the data directory."""

    path: Path
    batches: dict[Place, list[tuple[int, list[bytes]]]] = field(default_factory=dict)
    """Of every partition, each batch's base offset and values."""
    committed: dict[Place, int] = field(default_factory=dict)
    committed_before: dict[Place, int] = field(default_factory=dict)
    """What was committed before that."""
    partitions: dict[int, Place] = field(default_factory=dict)
    """Places by the log's own ids."""

    def end(self, place: Place) -> int:
        """Offset after the last record."""
        base, values = self.batches[place][-1]
        return base + len(values)

    def files(self) -> list[Path]:
        """Every file, by paths within the directory."""
        return sorted(path.relative_to(self.path) for path in self.path.rglob("*") if path.is_file())

    def copy(self, to: Path) -> Path:
        """Another copy; files with holes keep them."""
        shutil.rmtree(to, ignore_errors=True)
        subprocess.run(["cp", "-a", "--sparse=always", str(self.path), str(to)], check=True)
        return to

    def entries(self, file: Path) -> list[Entry]:
        """The entries of a value log file, by its path within the directory."""
        return entries(self.path / file)


def fill(broker: CrashBroker) -> Directory:
    """Fills a running broker's directory over three lives, the last of which ends with SIGKILL."""
    directory = Directory(broker.data)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    new = [NewTopic(topic, count, 1) for topic, count in TOPICS.items()]
    for done in admin.create_topics(new).values():
        done.result(TIMEOUT_S)
    for life in range(3):
        if life > 0:
            broker.restart()
        _produce(broker, directory, life)
        _commit(broker, directory, life)
        admin.create_topics([NewTopic(f"empty-{life}", 1, 1)])[f"empty-{life}"].result(TIMEOUT_S)
    wait_until("the index is up to date", lambda: broker.figure("fjord_log_index_backlog") == 0)
    broker.kill()
    for file in directory.files():
        if file.suffix == ".vlog":
            _note_partitions(directory, file)
    return directory


def _produce(broker: CrashBroker, directory: Directory, life: int) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True, "linger.ms": 5})
    places = [(topic, partition) for topic, count in TOPICS.items() for partition in range(count)]
    for number in range(life * BATCHES_A_RUN, (life + 1) * BATCHES_A_RUN):
        sent: dict[Place, tuple[list[int], list[bytes]]] = {}
        for place in places:
            offsets, values = sent[place] = [], [value(place, number, record) for record in range(1 + number % 4)]
            for each in values:
                producer.produce(
                    place[0], each, partition=place[1], on_delivery=lambda _, m, o=offsets: o.append(m.offset())
                )
        assert producer.flush(TIMEOUT_S) == 0
        for place, (offsets, values) in sent.items():
            # The client may have cut one batch in two; the check goes by what is stored.
            assert offsets == list(range(offsets[0], offsets[0] + len(values)))
            directory.batches.setdefault(place, []).append((offsets[0], values))


def _commit(broker: CrashBroker, directory: Directory, life: int) -> None:
    member = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": GROUP, "enable.auto.commit": False})
    directory.committed_before = dict(directory.committed)
    for place in directory.batches:
        directory.committed[place] = 5 * (life + 1)
    offsets = [TopicPartition(*place, offset) for place, offset in directory.committed.items()]
    member.commit(offsets=offsets, asynchronous=False)
    member.close()


def _note_partitions(directory: Directory, file: Path) -> None:
    data = (directory.path / file).read_bytes()
    for entry in directory.entries(file):
        found = _VALUE.search(data[entry.payload : entry.payload + entry.length])
        if found:
            directory.partitions[entry.partition] = (found[1].decode(), int(found[2]))


class Reading:
    """What a broker serves of a directory's content: all of it must be right, or refused as damaged."""

    def __init__(self, broker: CrashBroker, directory: Directory):
        self.directory = directory
        self.refused: dict[Place, list[int]] = {}
        """Offsets that were refused as damaged."""
        with Connection(broker.bootstrap) as connection:
            for place in directory.batches:
                self._read(connection, place)

    def _read(self, connection: Connection, place: Place) -> None:
        wanted = dict(itertools.chain.from_iterable(
            enumerate(values, base) for base, values in self.directory.batches[place]))  # fmt: skip
        offset, end = 0, self.directory.end(place)
        while offset < end:
            error, high_watermark, records = fetch(connection, place, offset)
            assert high_watermark >= end, f"{place} ends at {high_watermark}, before {end}"
            if error == CORRUPT_MESSAGE:
                self.refused.setdefault(place, []).append(offset)
                offset += 1
                continue
            assert error == 0, f"reading {place} at {offset}: error {error}"
            found = [(at, data) for at, data in records_of(records) if at >= offset]
            assert found, f"{place} gives nothing at {offset} of {end}"
            for at, data in found:
                assert at == offset, f"{place} gives offset {at} where {offset} was due"
                assert at >= end or data == wanted[at], f"{place} offset {at} holds {data[:60]!r}"
                offset += 1


def fetch(connection: Connection, place: Place, offset: int) -> tuple[int, int, bytes]:
    """Error code, high watermark and records of one partition, by Fetch version 4."""
    partition = {"Partition": place[1], "FetchOffset": offset, "PartitionMaxBytes": 1 << 20}
    topic = {"Topic": place[0], "Partitions": [partition]}
    answer = connection.ask("Fetch", 4, {"ReplicaId": -1, "MinBytes": 0, "MaxBytes": 1 << 22, "Topics": [topic]})
    found = answer["Responses"][0]["Partitions"][0]
    return found["ErrorCode"], found["HighWatermark"], found["Records"] or b""


def records_of(data: bytes) -> list[tuple[int, bytes]]:
    """Offsets and values of the records in uncompressed batches; the last batch may be cut off."""
    found, reader = [], Reader(data)
    while reader.at + 61 <= len(data):
        start = reader.at
        base, length = reader.take("q"), reader.take("i")
        if start + 12 + length > len(data):
            break
        reader.at = start + 57
        for _ in range(reader.take("i")):
            size = zigzag(reader)
            after = reader.at + size
            reader.take("b")
            zigzag(reader)
            delta = zigzag(reader)
            reader.bytes(max(0, zigzag(reader)))
            found.append((base + delta, reader.bytes(max(0, zigzag(reader)))))
            reader.at = after
        reader.at = start + 12 + length
    return found


def zigzag(reader: Reader) -> int:
    """A signed varint."""
    value = reader.uvarint()
    return value >> 1 ^ -(value & 1)


def committed(broker: CrashBroker, directory: Directory) -> dict[Place, int]:
    """The group's offsets."""
    member = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": GROUP, "log_level": 2})
    places = member.committed([TopicPartition(*place) for place in directory.batches], 10)
    member.close()
    return {(place.topic, place.partition): place.offset for place in places}
