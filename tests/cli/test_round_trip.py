"""What the command line writes Kafka's clients read, and the reverse, byte for byte."""

import base64
import json

import pytest
from confluent_kafka import KafkaException

from features import simple as kafka
from grpc_api.api import of_kafka
from harness.records import Record, check_round_trip, sample_records

PARTITIONS = 3
PER_PARTITION = 80


def to_line(record: Record) -> dict:
    """A record as `fjord produce --format json` takes it; bytes in base64 every time, text or not."""
    encode = lambda data: base64.b64encode(data).decode()  # noqa: E731
    line: dict = {"partition": record.partition, "timestamp_ms": record.timestamp, "headers": []}
    for name, data in (("key", record.key), ("value", record.value)):
        if data is not None:
            line[f"{name}_base64"] = encode(data)
    for name, data in record.headers:
        line["headers"].append({"key": name} | ({} if data is None else {"value_base64": encode(data)}))
    return line


def of_line(line: dict) -> Record:
    """A record as `fjord consume --output json` prints it."""

    def field(of: dict, name: str) -> bytes | None:
        assert (name in of) != (f"{name}_base64" in of)
        if f"{name}_base64" in of:
            return base64.b64decode(of[f"{name}_base64"], validate=True)
        return None if of[name] is None else of[name].encode()

    headers = tuple((header["key"], field(header, "value")) for header in line["headers"])
    key, value = field(line, "key"), field(line, "value")
    return Record(line["partition"], key, value, headers, line["timestamp_ms"], line["offset"])


def places(records: list[Record]) -> dict[int, tuple[int, int]]:
    """Where records are that were sent one after the other: index to partition and offset."""
    ends = dict.fromkeys(range(PARTITIONS), 0)
    found = {}
    for index, record in enumerate(records):
        found[index] = (record.partition, ends[record.partition])
        ends[record.partition] += 1
    return found


def read_by_kafka(broker, topic: str) -> list[Record]:
    return [of_kafka(message) for number in range(PARTITIONS) for message in kafka.read_partition(broker, topic, number)]


def read_by_fjord(fjord, topic: str, *options) -> list[Record]:
    return [of_line(line) for line in fjord.rows("consume", topic, "--until-end", *options)]


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_fjord_writes(broker, fjord, topic, codec):
    """Keys, values, headers and timestamps arrive at a Kafka client as they were."""
    fjord.run("topic", "create", topic, "--partitions", PARTITIONS)
    records = sample_records(51, PARTITIONS, PER_PARTITION)
    lines = "\n".join(json.dumps(to_line(record)) for record in records)
    fjord.run("produce", topic, "--format", "json", "--compression", codec, stdin=lines.encode())
    check_round_trip(records, places(records), read_by_kafka(broker, topic))
    check_round_trip(records, places(records), read_by_fjord(fjord, topic))


@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_kafka_writes(broker, fjord, topic, group, codec):
    """Keys, values, headers and timestamps that a Kafka client wrote are printed as they were, also to a group."""
    fjord.run("topic", "create", topic, "--partitions", PARTITIONS)
    records = sample_records(52, PARTITIONS, PER_PARTITION)
    client = kafka.producer(broker, compression_type=codec)

    def delivered(error, _) -> None:
        if error:
            raise KafkaException(error)

    for record in records:
        place = {"partition": record.partition, "timestamp": record.timestamp}
        client.produce(topic, record.value, record.key, headers=list(record.headers), on_delivery=delivered, **place)
        client.poll(0)
    assert client.flush(kafka.TIMEOUT_S) == 0
    check_round_trip(records, places(records), read_by_fjord(fjord, topic))
    check_round_trip(records, places(records), read_by_fjord(fjord, topic, "--group", group))


def test_a_copy_is_the_same(broker, fjord, topic):
    """What `consume` prints, `produce` reads: another topic gets the very same records."""
    copy = f"{topic}-copy"
    for name in (topic, copy):
        fjord.run("topic", "create", name, "--partitions", PARTITIONS)
    records = sample_records(53, PARTITIONS, PER_PARTITION)
    lines = "\n".join(json.dumps(to_line(record)) for record in records)
    fjord.run("produce", topic, "--format", "json", stdin=lines.encode())
    printed = fjord.run("consume", topic, "--until-end", "--format", "json").stdout
    fjord.run("produce", copy, "--format", "json", stdin=printed)
    assert read_by_kafka(broker, copy) == read_by_kafka(broker, topic)


def test_lines_of_bytes(broker, fjord, topic):
    """Any bytes but the delimiter go through unchanged, in keys and values, in both directions."""
    fjord.run("topic", "create", topic, "--partitions", 1)
    noise = [bytes(range(256)).replace(b"\0", b"") * 10, b"", b"\xff\xfe", "größe".encode()]
    lines = [b"key-%d::" % index + value for index, value in enumerate(noise)]
    fjord.run("produce", topic, "--delimiter", r"\0", "--key-separator", "::", stdin=b"\0".join(lines))
    messages = kafka.read_partition(broker, topic)
    assert [(message.key(), message.value()) for message in messages] == [
        (b"key-%d" % index, value) for index, value in enumerate(noise)
    ]
    form = ["--format", "key-value", "--key-separator", "::", "--delimiter", r"\0"]
    assert fjord.run("consume", topic, "--until-end", *form).stdout == b"".join(line + b"\0" for line in lines)
