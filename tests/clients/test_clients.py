"""What every stock client must be able to do with the broker, unmodified, as its users install it."""

import threading

import pytest

from clients import catalog
from clients.group import Group, check_delivered_once
from harness import programs
from harness.programs import Client, ProducerProgram
from harness.records import Record, check_order_per_key, check_round_trip, numbered_records, sample_records, without_nulls
from harness.wire import Batch, stored_batches

PARTITIONS = 6
PER_PARTITION = 80
CODEC_SEEDS = {"none": 1, "gzip": 2, "snappy": 3, "lz4": 4, "zstd": 5}


@pytest.fixture(params=catalog.ALL, ids=str)
def client(request) -> Client:
    return request.param


@pytest.fixture(params=CODEC_SEEDS)
def codec(request, client) -> str:
    if request.param not in client.codecs:
        pytest.skip(f"{client} has no {request.param}")
    return request.param


def create_topic(client: Client, broker, topic: str, directory) -> None:
    arguments = {"bootstrap": broker.bootstrap, "topic": topic, "partitions": PARTITIONS}
    programs.run(client, "create", arguments, directory)


def sample(client: Client, codec: str) -> list[Record]:
    """Records of every kind that the client can express, others for each codec."""
    records = sample_records(CODEC_SEEDS[codec], PARTITIONS, PER_PARTITION)
    return without_nulls(records, headers=not client.null_headers, records_of_nulls=not client.null_records)


def produce(client: Client, broker, topic: str, codec: str, records: list[Record], directory):
    """Produces records and returns where each was acknowledged."""
    arguments = {"bootstrap": broker.bootstrap, "topic": topic, "codec": codec}
    producer = ProducerProgram(client, arguments, directory)
    try:
        producer.produce(records)
        delivered = producer.wait_delivered()
        producer.end_input()
        producer.finish()
        return delivered
    finally:
        producer.close()


def consume(client: Client, broker, topic: str, count: int, directory) -> list[Record]:
    """Reads a topic from the beginning."""
    arguments = {"bootstrap": broker.bootstrap, "topic": topic, "partitions": PARTITIONS, "count": count}
    events = programs.run(client, "consume", arguments, directory)
    return [Record.from_json(event) for event in events if event["event"] == "record"]


def test_round_trip(client, codec, broker, topic, tmp_path):
    """Create, produce with a codec, read back from the beginning: by the client and by another one."""
    create_topic(client, broker, topic, tmp_path)
    records = sample(client, codec)
    delivered = produce(client, broker, topic, codec, records, tmp_path)

    for reader in {client, catalog.REFERENCE}:
        received = consume(reader, broker, topic, len(records), tmp_path)
        by_name = client.headers_by_name or reader.headers_by_name
        check_round_trip(records, delivered, received, timestamps=client.timestamps, by_name=by_name)

    for partition in range(PARTITIONS):
        batches = stored_batches(broker.bootstrap, topic, partition)
        check_codec(batches, codec)
        assert all(batch.producer_id >= 0 for batch in batches), "the producer was not idempotent"


def check_codec(batches: list[Batch], codec: str) -> None:
    """The codec was used; a client may leave a batch that it would make longer as it is."""
    found = {batch.codec for batch in batches}
    assert codec in found and found <= {codec, "none"}, f"batches have {found}, not {codec}"


def test_reads_what_another_client_wrote(client, broker, topic, tmp_path):
    """Batches of all codecs in one topic, written by another client, are read back by this one."""
    create_topic(catalog.REFERENCE, broker, topic, tmp_path)
    sent, delivered = [], {}
    for codec in client.codecs:
        records = sample(client, codec)
        places = produce(catalog.REFERENCE, broker, topic, codec, records, tmp_path)
        delivered |= {len(sent) + index: place for index, place in places.items()}
        sent += records
    received = consume(client, broker, topic, len(sent), tmp_path)
    check_round_trip(sent, delivered, received, by_name=client.headers_by_name)


def values(records: list[Record]) -> set[bytes]:
    return {record.value for record in records}


def test_group_with_a_rebalance(client, broker, topic, tmp_path):
    """Three members share a topic; one leaves and one joins in the middle; nothing is lost, nothing
    is repeated after its commit, and the order per key holds."""
    create_topic(client, broker, topic, tmp_path)
    arguments = {"bootstrap": broker.bootstrap, "topic": topic, "codec": "none"}
    group = Group(client, broker.bootstrap, topic, PARTITIONS, tmp_path)
    producer = ProducerProgram(client, arguments, tmp_path)
    try:
        group.join(3)
        group.wait_balanced()
        before = numbered_records(0, 600)
        producer.produce(before)
        group.wait_values(values(before))
        group.commit_all()

        during = numbered_records(600, 600)
        producer.produce(during[:300])
        group.leave(1)
        group.join()
        producer.produce(during[300:])
        group.wait_balanced()
        group.wait_values(values(during))
        group.commit_all()
        producer.wait_delivered()
        check_delivered_once(group.records(), values(before))

        after = numbered_records(1200, 300)
        producer.produce(after)
        group.wait_values(values(after))
        group.commit_all()
        check_delivered_once(group.records(), values(before) | values(after))
        check_order_per_key({(r.partition, r.offset): r for r in group.records()}.values())
        while group.members:
            group.leave(0)
        check_delivered_once(group.records(), values(before) | values(after))
    finally:
        producer.close()
        group.close()


def test_goes_on_after_a_restart(client, broker, topic, tmp_path):
    """The broker restarts under a living producer and a living group of three; they go on exactly
    where they stopped, and a group that starts later begins at its committed offsets."""
    create_topic(client, broker, topic, tmp_path)
    arguments = {"bootstrap": broker.bootstrap, "topic": topic, "codec": "none"}
    group = Group(client, broker.bootstrap, topic, PARTITIONS, tmp_path)
    producer = ProducerProgram(client, arguments, tmp_path)
    try:
        group.join(3)
        group.wait_balanced()
        before = numbered_records(0, 600)
        producer.produce(before)
        group.wait_values(values(before))
        group.commit_all()

        during = numbered_records(600, 1000)
        restart_while_producing(broker, producer, during)
        group.wait_values(values(during))
        group.wait_balanced()
        group.commit_all()

        after = numbered_records(1600, 300)
        producer.produce(after)
        group.wait_values(values(after))
        group.commit_all()
        check_delivered_once(group.records(), values(before) | values(after))
        while group.members:
            group.leave(0)

        last = numbered_records(1900, 300)
        producer.produce(last)
        delivered = producer.wait_delivered()
        group.join(1)
        group.wait_values(values(last))
        check_delivered_once(group.records(), values(before) | values(after) | values(last))

        received = consume(catalog.REFERENCE, broker, topic, len(producer.sent), tmp_path)
        check_everything_once(producer.sent, delivered, received)
    finally:
        producer.close()
        group.close()


def restart_while_producing(broker, producer: ProducerProgram, records: list[Record]) -> None:
    """Restarts the broker while records flow: a first part is acknowledged before, the rest in between."""
    acknowledged = len(producer.sent)
    first, rest = records[:200], records[200:]
    producer.produce(first)
    producer.wait_delivered(acknowledged + len(first) // 2)
    restart = threading.Thread(target=broker.restart)
    restart.start()
    for start in range(0, len(rest), 20):
        producer.produce(rest[start : start + 20])
        restart.join(0.05)
    restart.join()
    assert broker.process is not None, "the broker did not come back"
    producer.wait_delivered()


def check_everything_once(sent: list[Record], delivered: dict, received: list[Record]) -> None:
    """An idempotent producer's records lie in the log once each, in order, at the acknowledged places."""
    assert sorted(int(record.value) for record in received) == list(range(len(sent)))
    places = {(record.partition, record.offset): record.value for record in received}
    wrong = [index for index, place in delivered.items() if places[place] != sent[index].value]
    assert not wrong, f"{len(wrong)} records are not where they were acknowledged, the first is {wrong[0]}"
    check_order_per_key(received)
