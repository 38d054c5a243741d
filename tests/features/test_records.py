"""Producing and reading: idempotence, sizes, timestamps, seeking, and records that go away."""

import subprocess
import time

import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from confluent_kafka.admin import OffsetSpec
from kafka import KafkaConsumer, KafkaProducer
from kafka import TopicPartition as PythonTopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import OffsetOutOfRangeError

from features import simple
from harness.broker import new_broker
from harness.connection import TIMEOUT_S, Connection
from harness.server import peer_name
from harness.wire import stored_batches

FOR_EVER_MS = 2 * TIMEOUT_S * 1000
"""A fetch that waits so long fails its test."""


def numbers(count: int, first: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


def values(messages) -> list[bytes]:
    return [message.value() for message in messages]


def test_idempotent_producers_have_sequences_without_gaps(broker, topic):
    """Two producers at once: each one's batches continue its own sequence, and every record is there once."""
    simple.create(broker, topic)
    python = KafkaProducer(bootstrap_servers=broker.bootstrap)
    confluent = simple.producer(broker)
    for number in range(300):
        python.send(topic, b"python %d" % number)
        confluent.produce(topic, b"confluent %d" % number)
    python.close()
    assert confluent.flush(simple.TIMEOUT_S) == 0

    next_sequence: dict[tuple[int, int], int] = {}
    for batch in stored_batches(broker.bootstrap, topic, 0):
        producer = (batch.producer_id, batch.producer_epoch)
        assert batch.producer_id >= 0 and batch.base_sequence == next_sequence.get(producer, 0)
        next_sequence[producer] = batch.base_sequence + batch.record_count
    assert list(next_sequence.values()) == [300, 300]
    read = values(simple.read_partition(broker, topic))
    for name in (b"python", b"confluent"):
        assert [value for value in read if value.startswith(name)] == [b"%b %d" % (name, number) for number in range(300)]


def test_offsets_by_timestamp(broker, topic):
    """The earliest offset whose time is at or after the one asked for: by librdkafka, kafka-python and kcat."""
    simple.create(broker, topic)
    start = int(time.time() * 1000) - 1_000_000
    times = [start + 1000 * number for number in range(100)]
    simple.produce(broker, topic, numbers(100), timestamps=times, batch_num_messages=10)

    python = KafkaConsumer(bootstrap_servers=broker.bootstrap)
    client = simple.consumer(broker)
    place = PythonTopicPartition(topic, 0)
    for asked, wanted in [(start, 0), (start - 1, 0), (start + 1, 1), (start + 42_000, 42), (start + 98_999, 99)]:
        (found,) = client.offsets_for_times([TopicPartition(topic, 0, asked)], simple.TIMEOUT_S)
        assert found.offset == wanted
        by_python = python.offsets_for_times({place: asked})[place]
        assert (by_python.offset, by_python.timestamp) == (wanted, times[wanted])
        query = subprocess.run(
            ["kcat", "-b", broker.bootstrap, "-Q", "-t", f"{topic}:0:{asked}"], capture_output=True, text=True, timeout=60
        )
        assert query.stdout.strip() == f"{topic} [0] offset {wanted}"
    assert python.offsets_for_times({place: start + 99_001})[place] is None
    latest = simple.offset_at(broker, topic, OffsetSpec.max_timestamp())
    assert (latest.offset, latest.timestamp) == (99, times[99])
    python.close()
    client.close()


def test_log_append_time(broker, topic):
    """With message.timestamp.type=LogAppendTime the broker's clock counts, not the producer's."""
    simple.create(broker, topic, message_timestamp_type="LogAppendTime")
    before = int(time.time() * 1000)
    simple.produce(broker, topic, numbers(10), timestamps=[before - 500_000] * 10)
    after = int(time.time() * 1000)
    for message in simple.read_partition(broker, topic):
        kind, timestamp = message.timestamp()
        assert kind == 2, "the consumer is not told that the time is the broker's"
        assert before <= timestamp <= after


def test_seek_and_pause(broker, topic):
    """A consumer goes back, forth, and pauses one partition while the other flows on."""
    simple.create(broker, topic, partitions=2)
    simple.produce(broker, topic, numbers(1000), partition=0)
    simple.produce(broker, topic, numbers(1000), partition=1)
    client = simple.consumer(broker)
    client.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    assert values(simple.read(client, 1000)) == numbers(1000)
    client.seek(TopicPartition(topic, 0, 500))
    assert values(simple.read(client, 10)) == numbers(10, 500)
    client.seek(TopicPartition(topic, 0, 3))
    assert values(simple.read(client, 10)) == numbers(10, 3)

    client.assign([TopicPartition(topic, 0, 0), TopicPartition(topic, 1, 0)])
    client.pause([TopicPartition(topic, 0)])
    assert {message.partition() for message in simple.read(client, 1000)} == {1}
    client.resume([TopicPartition(topic, 0)])
    assert values(simple.read(client, 1000)) == numbers(1000)
    client.close()

    python = KafkaConsumer(bootstrap_servers=broker.bootstrap)
    places = [PythonTopicPartition(topic, 0), PythonTopicPartition(topic, 1)]
    python.assign(places)
    python.seek(places[0], 990)
    python.seek(places[1], 995)
    python.pause(places[1])
    assert [next(python).value for _ in range(10)] == numbers(10, 990)
    python.resume(places[1])
    assert [next(python).value for _ in range(5)] == numbers(5, 995)
    python.close()


def test_a_waiting_consumer_gets_a_new_record_at_once(broker, topic):
    """A fetch that found nothing is answered when a record comes, not when its time is over."""
    simple.create(broker, topic)
    client = simple.consumer(broker, fetch_wait_max_ms=20_000, socket_timeout_ms=60_000)
    client.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    assert client.poll(2) is None
    started = time.monotonic()
    simple.produce(broker, topic, [b"at last"])
    assert values(simple.read(client, 1)) == [b"at last"]
    assert time.monotonic() - started < 15, "the record came only when the fetch's time was over"
    client.close()


def test_large_records(broker, topic):
    """Records up to max.message.bytes are taken, larger ones refused; the topic's own limit counts."""
    large = b"x" * 1_000_000
    simple.create(broker, topic)
    simple.produce(broker, topic, [large], message_max_bytes=20_000_000)
    too_large = lambda size: lambda: simple.produce(broker, topic, [b"x" * size], message_max_bytes=20_000_000)  # noqa: E731
    assert simple.error_name(too_large(1_100_000)) == "MSG_SIZE_TOO_LARGE"
    assert values(simple.read_partition(broker, topic)) == [large]

    wide = f"{topic}-wide"
    simple.create(broker, wide, max_message_bytes="10000000")
    simple.produce(broker, wide, [large * 9, b"small"], message_max_bytes=20_000_000)
    # However little a consumer asks for, it gets at least one batch (KIP-74), or it would be stuck.
    python = KafkaConsumer(bootstrap_servers=broker.bootstrap, max_partition_fetch_bytes=1000, fetch_max_bytes=1000)
    python.assign([PythonTopicPartition(wide, 0)])
    python.seek_to_beginning()
    assert [next(python).value for _ in range(2)] == [large * 9, b"small"]
    python.close()


def test_delete_records(broker, topic):
    """DeleteRecords moves the start of the log; what lies before it is gone, and who asks for it is told."""
    simple.create(broker, topic)
    simple.produce(broker, topic, numbers(100))
    client = simple.admin(broker)
    place = TopicPartition(topic, 0, 40)
    assert client.delete_records([place])[place].result(simple.TIMEOUT_S).low_watermark == 40
    beyond = TopicPartition(topic, 0, 101)
    assert simple.error_name(client.delete_records([beyond])[beyond].result) == "OFFSET_OUT_OF_RANGE"
    assert simple.offset_at(broker, topic, OffsetSpec.earliest()).offset == 40
    assert values(simple.read_partition(broker, topic)) == numbers(60, 40)

    python = KafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="none")
    python.assign([PythonTopicPartition(topic, 0)])
    python.seek(PythonTopicPartition(topic, 0), 39)
    with pytest.raises(OffsetOutOfRangeError):
        simple.wait_until("the broker answers", lambda: python.poll(timeout_ms=1000))
    python.close()

    broker.restart()
    assert simple.offset_at(broker, topic, OffsetSpec.earliest()).offset == 40
    everything = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    everything.delete_records({PythonTopicPartition(topic, 0): -1})
    assert simple.offset_at(broker, topic, OffsetSpec.earliest()).offset == 100
    assert simple.produce(broker, topic, [b"next"]) == [100]
    everything.close()


def test_retention_by_time(broker, topic):
    """Records older than retention.ms go away; newer ones stay."""
    simple.create(broker, topic, retention_ms="600000", segment_ms="100")
    now = int(time.time() * 1000)
    simple.produce(broker, topic, numbers(100), timestamps=[now - 6_000_000] * 100)
    simple.produce(broker, topic, numbers(10, 100), timestamps=[now] * 10)
    # What is written last begins a segment of its own, so that the old one can go.
    time.sleep(0.2)
    simple.produce(broker, topic, [b"110"])
    start = lambda: simple.offset_at(broker, topic, OffsetSpec.earliest()).offset  # noqa: E731
    simple.wait_until("the old records are gone", lambda: start() >= 100)
    assert values(simple.read_partition(broker, topic))[-11:] == numbers(11, 100)


def test_compaction(broker, topic):
    """A compacted topic keeps the last value of each key at its offset, removes what a tombstone names,
    and refuses records without a key."""
    simple.create(
        broker, topic, cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.01",
        delete_retention_ms="100", min_compaction_lag_ms="0",
    )  # fmt: skip
    assert simple.error_name(lambda: simple.produce(broker, topic, [b"no key"])) == "INVALID_RECORD"
    # (offset 0 to 399) forty values for each of ten keys, then one key is removed.
    simple.produce(broker, topic, numbers(400), key=lambda value: b"key-%d" % (int(value) % 10))
    simple.produce(broker, topic, [None], key=b"key-7")
    wanted = [(390 + digit, b"key-%d" % digit, b"%d" % (390 + digit)) for digit in range(10) if digit != 7]

    def compacted() -> bool:
        # Only what is not at the end of the log is compacted, so the end has to move on.
        simple.produce(broker, topic, [b"now"], key=b"other")
        found = [(m.offset(), m.key(), m.value()) for m in simple.read_partition(broker, topic) if m.key() != b"other"]
        return found == wanted

    simple.wait_until("the topic is compacted", compacted)


@pytest.mark.skipif(peer_name() == "kafka", reason="a config of Fjord's own")
def test_what_one_fetch_reads_from_disk_is_bounded(session_directory):
    """Responses from disk are small, and by and by everything comes."""
    settings = {"fjord.fetch.disk.max.bytes": "65536", "fjord.cache.bytes": "1048576"}
    with new_broker(session_directory / "bounded-fetches", settings) as broker:
        simple.create(broker, "big", partitions=4)
        for partition in range(4):
            simple.produce(broker, "big", [b"x" * 30_000] * 40, partition=partition, batch_num_messages=1)
        with Connection(broker.bootstrap) as connection:
            assert 2 * 30_000 < fetched(connection) <= 65_536
            # More than fits is not waited for.
            assert 2 * 30_000 < fetched(connection, min_bytes=500_000) <= 65_536
            assert 30_000 < fetched(connection, max_bytes=40_000) <= 40_000
        for partition in range(4):
            assert values(simple.read_partition(broker, "big", partition)) == [b"x" * 30_000] * 40


@pytest.mark.skipif(peer_name() == "kafka", reason="configs of Fjord's own")
@pytest.mark.parametrize("page_cache", ["0", "-1"])
def test_old_records_are_read_from_disk_as_they_were_written(session_directory, page_cache):
    """Batches of all sizes, from many partitions at once, past the page cache or not, and after a restart too."""
    settings = {"fjord.page.cache.bytes": page_cache, "fjord.cache.bytes": "0", "fjord.log.file.bytes": "16777216"}
    sizes = (10, 700_000, 90_000, 5_000, 200_000, 900_000)
    partitions = range(12)
    with new_broker(session_directory / f"old-records-{page_cache}", settings) as broker:
        simple.create(broker, "old", partitions=len(partitions))
        written = {partition: [(b"%d/%d " % (partition, size) * size)[:size] for size in sizes] for partition in partitions}
        for partition, wanted in written.items():
            simple.produce(broker, "old", wanted, partition=partition, batch_num_messages=1)
        for _ in range(2):
            # One begins while the other reads: what is read ahead for one is not taken for the other's.
            readers = [simple.consumer(broker), simple.consumer(broker)]
            for reader in readers:
                reader.assign([TopicPartition("old", partition, OFFSET_BEGINNING) for partition in partitions])
            for reader in readers:
                found = simple.read(reader, len(partitions) * len(sizes))
                reader.close()
                by_partition = {
                    partition: [m.value() for m in found if m.partition() == partition] for partition in partitions
                }
                assert by_partition == written
            broker.stop()
            broker.start()


def fetched(connection: Connection, min_bytes: int = 1, max_bytes: int = 50 << 20) -> int:
    """How many bytes of records one fetch of all of `big` brings."""
    partitions = [
        {"Partition": partition, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20, "LogStartOffset": -1}
        for partition in range(4)
    ]
    topics = [{"Topic": "big", "Partitions": partitions}]
    body = {"ReplicaId": -1, "MaxWaitMs": FOR_EVER_MS, "MinBytes": min_bytes, "MaxBytes": max_bytes, "Topics": topics}
    answer = connection.ask("Fetch", 4, body)
    return sum(len(found["Records"] or b"") for found in answer["Responses"][0]["Partitions"])
