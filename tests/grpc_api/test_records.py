"""One log, two protocols: what gRPC writes Kafka's clients read, and the reverse, byte for byte."""

import random
import time

import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaException

from features import simple as kafka
from grpc_api.api import of_kafka, to_proto
from harness.protos import pb
from harness.records import Record, check_round_trip, sample_records

PARTITIONS = 3
PER_PARTITION = 120
REQUEST_RECORDS = 37
COMPRESSIONS = ["none", "gzip", "snappy", "lz4", "zstd"]
KEYS = 1000


def compression(name: str) -> int:
    """The proto's value for a codec by Kafka's name."""
    return pb.COMPRESSION_UNSPECIFIED if name == "none" else pb.Compression.Value(f"COMPRESSION_{name.upper()}")


def produce_by_grpc(api, topic: str, records: list[Record], **fields) -> dict[int, tuple[int, int]]:
    """Produces each record to its partition; the place of each by its index."""
    delivered = {}
    for partition in range(PARTITIONS):
        indexes = [index for index, record in enumerate(records) if record.partition == partition]
        for first in range(0, len(indexes), REQUEST_RECORDS):
            chunk = indexes[first : first + REQUEST_RECORDS]
            messages = [to_proto(records[index]) for index in chunk]
            (part,) = api.produce(topic, messages, partition, **fields).partitions
            assert (part.partition, part.record_count) == (partition, len(chunk))
            assert not part.records and not part.HasField("error"), part
            delivered |= {index: (partition, part.base_offset + place) for place, index in enumerate(chunk)}
    return delivered


def produce_by_kafka(broker, topic: str, records: list[Record], **config) -> dict[int, tuple[int, int]]:
    """The same with confluent-kafka."""
    client, delivered = kafka.producer(broker, **config), {}

    def noted(index: int):
        def report(error, message) -> None:
            if error:
                raise KafkaException(error)
            delivered[index] = (message.partition(), message.offset())

        return report

    for index, record in enumerate(records):
        fields = {"headers": list(record.headers)} | ({} if record.timestamp is None else {"timestamp": record.timestamp})
        if record.partition is not None:
            fields["partition"] = record.partition
        client.produce(topic, record.value, record.key, on_delivery=noted(index), **fields)
        client.poll(0)
    client.flush(kafka.TIMEOUT_S)
    return delivered


def read_by_kafka(broker, topic: str) -> list[Record]:
    """All records of a topic."""
    read = (kafka.read_partition(broker, topic, partition) for partition in range(PARTITIONS))
    return [of_kafka(message) for messages in read for message in messages]


@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_grpc_writes_and_kafka_reads(broker, api, topic, codec):
    """Keys, values, headers and timestamps arrive at a Kafka client as they were, in every compression."""
    api.create(topic, PARTITIONS)
    records = sample_records(41, PARTITIONS, PER_PARTITION)
    delivered = produce_by_grpc(api, topic, records, compression=compression(codec))
    check_round_trip(records, delivered, read_by_kafka(broker, topic))
    check_round_trip(records, delivered, api.read(topic, PARTITIONS))


@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_kafka_writes_and_grpc_reads(broker, api, topic, codec):
    """Keys, values, headers and timestamps arrive at a gRPC client as they were, in every compression."""
    api.create(topic, PARTITIONS)
    records = sample_records(42, PARTITIONS, PER_PARTITION)
    delivered = produce_by_kafka(broker, topic, records, compression_type=codec, linger_ms=20)
    check_round_trip(records, delivered, api.read(topic, PARTITIONS))
    check_round_trip(records, delivered, api.read(topic, PARTITIONS, max_bytes=1))


def test_a_member_gets_the_same_bytes(broker, api, topic, group, join):
    """What a group's member gets is what both protocols wrote."""
    api.create(topic, PARTITIONS)
    by_kafka = sample_records(43, PARTITIONS, PER_PARTITION)
    by_grpc = sample_records(44, PARTITIONS, PER_PARTITION)
    delivered = produce_by_kafka(broker, topic, by_kafka, compression_type="zstd")
    more = produce_by_grpc(api, topic, by_grpc, compression=pb.COMPRESSION_LZ4)
    delivered |= {len(by_kafka) + index: place for index, place in more.items()}
    member = join(group, topic)
    member.read(len(delivered))
    check_round_trip(by_kafka + by_grpc, delivered, [record for _, record in member.records])
    assert all(read_from == topic for read_from, _ in member.records)


@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_append_times(broker, api, topic, codec):
    """With message.timestamp.type=LogAppendTime both protocols see the time that the producer is told."""
    api.create(topic, 1, message_timestamp_type="LogAppendTime")
    before = int(time.time() * 1000)
    old = [pb.Record(value=b"%d" % index, timestamp_ms=1_000_000_000_000) for index in range(10)]
    (part,) = api.produce(topic, old, compression=compression(codec)).partitions
    assert part.HasField("append_time_ms")
    assert before - 1000 <= part.append_time_ms <= int(time.time() * 1000) + 1000
    assert {record.timestamp for record in api.read(topic)} == {part.append_time_ms}
    read = kafka.read_partition(broker, topic)
    assert {message.timestamp() for message in read} == {(TIMESTAMP_LOG_APPEND_TIME, part.append_time_ms)}


def test_a_record_without_a_time_gets_the_brokers(broker, api, topic):
    """A record without a timestamp has the time at which it came in, and the response says no append time."""
    api.create(topic)
    before = int(time.time() * 1000)
    (part,) = api.produce(topic, [pb.Record(value=b"now"), pb.Record(value=b"then", timestamp_ms=0)]).partitions
    after = int(time.time() * 1000)
    assert not part.HasField("append_time_ms")
    now, then = api.read(topic)
    assert before <= now.timestamp <= after
    assert then.timestamp == 0
    assert [message.timestamp()[1] for message in kafka.read_partition(broker, topic)] == [now.timestamp, 0]


@pytest.mark.parametrize("partitions", [1, 7, 12])
def test_keys_go_where_kafkas_clients_put_them(broker, api, topic, partitions):
    """A thousand random keys lie in the same partitions, whoever produced them; so does the empty key."""
    api.create(topic, partitions)
    chance = random.Random(partitions)
    keys = [b"", *(chance.randbytes(chance.randrange(1, 40)) for _ in range(KEYS))]
    by_kafka = produce_by_kafka(broker, topic, [Record(None, key, b"") for key in keys], partitioner="murmur2_random")
    response = api.produce(topic, [pb.Record(key=key, value=b"") for key in keys])
    by_grpc = {}
    for part in response.partitions:
        places = part.records or range(len(keys))
        assert len(places) == part.record_count
        by_grpc |= dict.fromkeys(places, part.partition)
    assert {index: place[0] for index, place in by_kafka.items()} == by_grpc
    in_log = {(record.key, record.partition) for record in api.read(topic, partitions)}
    assert len(in_log) == len(set(keys))


def test_the_places_of_records_are_told(api, topic):
    """The response says where each record of a request is: in the order of their offsets, by partition."""
    api.create(topic, PARTITIONS)
    records = [pb.Record(key=b"%d" % (index % 20), value=b"%d" % index) for index in range(200)]
    response = api.produce(topic, records)
    assert [part.partition for part in response.partitions] == list(range(PARTITIONS))
    told = {}
    for part in response.partitions:
        for place, index in enumerate(part.records):
            told[index] = (part.partition, part.base_offset + place)
    found = {int(record.value): (record.partition, record.offset) for record in api.read(topic, PARTITIONS)}
    assert told == found and len(told) == len(records)


def test_an_explicit_partition_is_taken(broker, api, topic):
    """The partition that a request names is where all its records go, whatever their keys."""
    api.create(topic, PARTITIONS)
    records = [pb.Record(key=b"%d" % index, value=b"x") for index in range(50)]
    (part,) = api.produce(topic, records, partition=2).partitions
    assert (part.partition, part.base_offset, part.record_count) == (2, 0, 50)
    assert api.ends(topic) == {0: 0, 1: 0, 2: 50}
    assert len(kafka.read_partition(broker, topic, 2)) == 50


def test_records_without_a_key_stay_together(api, topic):
    """Those of one request go to one partition, in order; other requests choose others."""
    api.create(topic, PARTITIONS)
    used = set()
    for _ in range(40):
        (part,) = api.produce(topic, [b"%d" % index for index in range(10)]).partitions
        assert part.record_count == 10 and not part.records
        used.add(part.partition)
    assert used == set(range(PARTITIONS))
    for partition in range(PARTITIONS):
        values = [record.value for record in api.read(topic, PARTITIONS) if record.partition == partition]
        assert values == [b"%d" % (index % 10) for index in range(len(values))]
