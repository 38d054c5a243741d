"""Records to produce, and the comparison of what came back with what was sent."""

import random
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

FIRST_TIMESTAMP_MS = int(time.time() * 1000) - 3_600_000
"""An hour ago: a broker's default retention deletes records that are older than a week, by their timestamp."""

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True)
class Record:
    """One record as a client sends or receives it; None is null, which is not the same as empty."""

    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: int | None = None
    offset: int | None = None

    def to_json(self) -> dict:
        """The form in which records travel to and from the client programs: bytes as hex."""
        return {
            "partition": self.partition,
            "key": _hex(self.key),
            "value": _hex(self.value),
            "headers": [[name, _hex(value)] for name, value in self.headers],
            "timestamp": self.timestamp,
        }

    @staticmethod
    def from_json(event: dict) -> "Record":
        """Reads a `record` event of a client program."""
        headers = tuple((name, _unhex(value)) for name, value in event["headers"])
        return Record(
            event["partition"], _unhex(event["key"]), _unhex(event["value"]), headers, event["timestamp"], event["offset"]
        )


def _hex(data: bytes | None) -> str | None:
    return None if data is None else data.hex()


def _unhex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


_EDGE_KEYS_AND_VALUES = [
    (None, b"no key"),
    (b"", b"empty key"),
    (b"no value", None),
    (b"empty value", b""),
    (None, None),
    (b"\x00\xff\xfe binary key", bytes(range(256))),
]
_EDGE_HEADERS: list[Headers] = [
    (),
    (("plain", b"text"),),
    (("repeated", b"1"), ("repeated", b"2"), ("repeated", b"1")),
    (("interleaved", b"1"), ("other", b"x"), ("interleaved", b"2")),
    (("null", None), ("empty", b"")),
    (("grün-ключ", "größe".encode()), ("binary", b"\x00\x80\xff")),
]


def sample_records(seed: int, partitions: int, per_partition: int) -> list[Record]:
    """Records of every kind for every partition: edge cases first, then sizes from 0 to 4,000 bytes.

    The same seed gives the same records, but for their time. Some values compress well, some not at all. Timestamps
    go forth and back, as those of real producers do.
    """
    chance = random.Random(seed)
    edges = [(key, value, headers) for key, value in _EDGE_KEYS_AND_VALUES for headers in _EDGE_HEADERS]
    records = []
    for index in range(per_partition):
        for partition in range(partitions):
            if index < len(edges):
                key, value, headers = edges[index]
            else:
                key = b"key-%d" % chance.randrange(20)
                size = chance.choice((0, 1, 10, 100, 1000, 4000))
                value = chance.randbytes(size) if chance.random() < 0.3 else (b"%d compressible " % index * 500)[:size]
                headers = _EDGE_HEADERS[index % len(_EDGE_HEADERS)]
            timestamp = FIRST_TIMESTAMP_MS + index * 1000 + chance.randrange(-5000, 5000)
            records.append(Record(partition, key, value, headers, timestamp))
    return records


def without_nulls(records: list[Record], *, headers: bool, records_of_nulls: bool) -> list[Record]:
    """The same records for a producer that cannot send some nulls: empty header values, empty values instead."""
    changed = []
    for record in records:
        if headers:
            record = replace(record, headers=tuple((name, value or b"") for name, value in record.headers))
        if records_of_nulls and record.key is None and record.value is None:
            record = replace(record, value=b"")
        changed.append(record)
    return changed


def numbered_records(first: int, count: int, keys: int = 20) -> list[Record]:
    """Records with a running number as value, spread over keys; the client chooses the partitions."""
    return [Record(None, b"key-%d" % (number % keys), b"%d" % number) for number in range(first, first + count)]


def headers_by_name(headers: Headers) -> Headers:
    """Headers in the only order that a client with a map of headers can tell: by first name, then as sent."""
    grouped: dict[str, list] = {}
    for name, value in headers:
        grouped.setdefault(name, []).append((name, value))
    return tuple(header for group in grouped.values() for header in group)


def check_round_trip(
    sent: list[Record],
    delivered: dict[int, tuple[int, int]],
    received: Iterable[Record],
    *,
    timestamps: bool = True,
    by_name: bool = False,
) -> None:
    """Every record that was sent came back once, at the place that was acknowledged, in order, byte for byte.

    `delivered` maps the index of a sent record to the partition and offset that were acknowledged.
    """
    assert sorted(delivered) == list(range(len(sent))), "not every record was acknowledged"
    places: dict[tuple[int, int], Record] = {}
    for record in received:
        place = (record.partition, record.offset)
        assert place not in places, f"offset {place} came twice"
        places[place] = record
    check_offsets_are_contiguous(places)
    next_offset: dict[int, int] = defaultdict(int)
    for index, record in enumerate(sent):
        partition, offset = delivered[index]
        assert offset == next_offset[partition], f"record {index} is at offset {offset}, out of order"
        next_offset[partition] += 1
        assert record.partition in (None, partition), f"record {index} went to partition {partition}"
        assert (partition, offset) in places, f"record {index}, acknowledged at {(partition, offset)}, did not come back"
        back = places.pop((partition, offset))
        assert (back.key, back.value) == (record.key, record.value), f"record {index} is {back}, not {record}"
        wanted, got = record.headers, back.headers
        if by_name:
            wanted, got = headers_by_name(wanted), headers_by_name(got)
        assert got == wanted, f"headers of record {index} differ"
        if timestamps:
            assert back.timestamp == record.timestamp, f"timestamp of record {index} differs"
    assert not places, f"{len(places)} records came back that nobody sent"


def check_offsets_are_contiguous(places: Iterable[tuple[int, int]]) -> None:
    """The offsets of every partition are 0, 1, 2, ... without a gap."""
    offsets = defaultdict(list)
    for partition, offset in places:
        offsets[partition].append(offset)
    for partition, found in offsets.items():
        assert sorted(found) == list(range(len(found))), f"the offsets of partition {partition} have gaps"


def check_order_per_key(records: Iterable[Record]) -> None:
    """Numbered records of one key lie in one partition and rise with the offset."""
    last: dict[bytes, tuple[int, int, int]] = {}
    for record in sorted(records, key=lambda record: (record.partition, record.offset)):
        number = int(record.value)
        if record.key in last:
            partition, offset, before = last[record.key]
            assert partition == record.partition, f"key {record.key} lies in partitions {partition} and {record.partition}"
            assert before < number, f"of key {record.key}, {before} at offset {offset} comes before {number}"
        last[record.key] = (record.partition, record.offset, number)
