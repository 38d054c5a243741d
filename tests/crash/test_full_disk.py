"""A full disk: appends are refused in so many words, all else goes on, and space that comes back is used at once."""

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from crash.disk import SmallDisk
from crash.load import Check, Load, Shape
from crash.machine import CrashBroker
from features.simple import wait_until
from harness.batches import batch
from harness.connection import Connection

BALLAST_BYTES = 16 << 20
KAFKA_STORAGE_ERROR = 56
REFUSED = "fjord_log_refused_disk_full_total"
BULK = Shape("bulk", 2, (20_000, 60_000), (("linger.ms", 5),))
TIMEOUT_S = 60


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request, session_directory):
    """A small file system."""
    disk = SmallDisk(request.param, session_directory / f"disk-{request.param}")
    disk.mount()
    yield disk
    disk.unmount()


@pytest.fixture
def broker(disk, session_directory, request):
    """A broker with default settings whose data is on the small disk, and nothing else of it."""
    broker = CrashBroker(session_directory / f"full-{disk.kind}")
    broker.data = disk.directory / "data"
    with broker:
        yield broker
        broker.check_after(request.node)


def test_full_disk(disk, broker):
    disk.put_ballast(BALLAST_BYTES)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    create(admin, BULK.topic, BULK.partitions)
    create(admin, "probe", 1)
    assert produce(broker, b"before") is None
    load = Load(broker.bootstrap, BULK).start()
    check = Check(broker.bootstrap, BULK)
    full(broker, load)

    refused_in_words(broker)
    assert told_in_log(broker, "the disk is full: appends are refused") == 1
    check.run(list(load.acknowledged))
    groups_and_metadata_go_on(broker)

    disk.drop_ballast()
    grown = sum(load.acknowledged) + 10
    wait_until("the load goes on once there is space", lambda: sum(load.acknowledged) > grown or load.errors)
    assert told_in_log(broker, "there is space on the disk again") == 1
    full(broker, load)
    acknowledged = list(load.acknowledged)

    broker.restart()
    check.run(acknowledged, whole=True)
    full(broker, load)
    broker.kill()
    broker.start()
    check.run(acknowledged, whole=True)
    full(broker, load)

    acknowledged = list(load.acknowledged)
    free_by_deleting_records(admin, acknowledged)
    grown = sum(acknowledged) + 10
    wait_until("the load goes on once records are deleted", lambda: sum(load.acknowledged) > grown or load.errors)
    full(broker, load)
    load.stop()
    admin.delete_topics([BULK.topic])[BULK.topic].result(TIMEOUT_S)
    wait_until("appends are taken after the topic is deleted", lambda: produce(broker, b"after") is None)
    assert not load.errors or all("UNKNOWN_TOPIC" in error for error in load.errors), load.errors[:5]
    values = read_all(broker, "probe")
    assert values[0] == b"before" and values[-1] == b"after", values


def create(admin: AdminClient, topic: str, partitions: int) -> None:
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(TIMEOUT_S)


def full(broker, load: Load) -> None:
    """Waits until the broker refuses for want of space."""
    before = broker.figure(REFUSED)

    def refused() -> bool:
        assert not load.errors, load.errors[:5]
        return broker.figure(REFUSED) > before

    wait_until("the disk is full", refused)


def produce(broker, value: bytes) -> str | None:
    """Produces one record with a client that does not try again; the name of the error, if there is one."""
    client = Producer({"bootstrap.servers": broker.bootstrap, "retries": 0, "message.timeout.ms": 30_000})
    outcome: list[str | None] = []
    client.produce("probe", value, on_delivery=lambda error, _: outcome.append(error.name() if error else None))
    client.flush(TIMEOUT_S)
    return outcome[0]


def refused_in_words(broker) -> None:
    """The answer to a client that asks for one large batch names the reason."""
    wait_until("a small record is refused too", lambda: produce(broker, b"x" * 50_000) == "KAFKA_STORAGE_ERROR")
    records = batch([b"x" * 50_000])
    partition = {"Index": 0, "Records": records}
    body = {"Acks": -1, "TimeoutMs": 30_000, "TopicData": [{"Name": "probe", "PartitionData": [partition]}]}
    with Connection(broker.bootstrap) as connection:
        answer = connection.ask("Produce", 9, body)["Responses"][0]["PartitionResponses"][0]
    assert answer["ErrorCode"] == KAFKA_STORAGE_ERROR, answer
    assert "disk is full" in answer["ErrorMessage"], answer


def groups_and_metadata_go_on(broker) -> None:
    """Whatever becomes of these requests, it is an answer within the time limit, and the broker lives."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    listed = admin.list_topics(timeout=TIMEOUT_S)
    assert {BULK.topic, "probe"} <= set(listed.topics)
    for topic in (f"more-{number}" for number in range(20)):
        try:
            create(admin, topic, 3)
        except KafkaException as error:
            assert error.args[0].name() == "KAFKA_STORAGE_ERROR", error
    member = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "full", "auto.offset.reset": "earliest",
                       "enable.auto.commit": False, "session.timeout.ms": 10_000})  # fmt: skip
    member.subscribe(["probe"])
    wait_until("the group reads", lambda: member.poll(1) is not None)
    try:
        member.commit(asynchronous=False)
    except KafkaException as error:
        print(f"a commit on the full disk: {error}")
    member.close()
    broker.check_log()


def free_by_deleting_records(admin: AdminClient, ends: list[int]) -> None:
    """DeleteRecords up to what was acknowledged: it must work on a full disk, or there would be no way out."""
    places = [TopicPartition(BULK.topic, partition, offset) for partition, offset in enumerate(ends)]
    for place, done in admin.delete_records(places).items():
        assert done.result(TIMEOUT_S).low_watermark == place.offset


def read_all(broker, topic: str) -> list[bytes]:
    """The values of a topic of one partition."""
    reader = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "unused", "enable.partition.eof": True})
    reader.assign([TopicPartition(topic, 0, 0)])
    values = []
    while (message := reader.poll(TIMEOUT_S)) is not None and not message.error():
        values.append(message.value())
    reader.close()
    return values


def told_in_log(broker, what: str) -> int:
    """How often the broker's log says this."""
    return broker.log_path.read_text().count(what)
