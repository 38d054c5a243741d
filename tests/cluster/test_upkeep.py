"""Retention, compaction, catching up and the brokers' health, on three brokers."""

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from harness.cluster import Cluster, Member, Pending, wait_for

TOPIC = "kept"
VALUE = b"v" * 1000
SETTINGS = {"log.retention.check.interval.ms": "200", "log.cleaner.backoff.ms": "200"}


@pytest.fixture
def settings() -> dict[str, str]:
    """Brokers clean up often."""
    return SETTINGS


def create(cluster: Cluster, **configs: str) -> None:
    """The topic, with one partition on all brokers."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([NewTopic(TOPIC, 1, 3, config=configs)])[TOPIC].result(30)


def produce(cluster: Cluster, count: int, key: bytes | None = None) -> None:
    """So many records, one after the other in batches of one, all acknowledged by all."""
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "acks": "all", "batch.num.messages": 1})
    for _ in range(count):
        producer.produce(TOPIC, VALUE, key=key)
        producer.poll(0)
    assert producer.flush(60) == 0


def throttle(cluster: Cluster, rate: int) -> None:
    """Limits, as Kafka's tool does, what each broker sends in a second to replicas that are not in sync."""
    entry = ConfigEntry("leader.replication.throttled.rate", str(rate), incremental_operation=AlterConfigOpType.SET)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    for broker in (member.id for member in cluster.running):
        resource = ConfigResource(ResourceType.BROKER, str(broker), incremental_configs=[entry])
        admin.incremental_alter_configs([resource])[resource].result(30)


def offsets(cluster: Cluster) -> tuple[int, int]:
    """Where the partition begins and ends, as its leader says."""
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "offsets"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), 30)
    except KafkaException as error:
        raise Pending(f"no offsets: {error}") from error
    finally:
        consumer.close()


def read(cluster: Cluster) -> list[int]:
    """The offsets of all records."""
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "read", "enable.partition.eof": True})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    found = []
    try:
        while (message := consumer.poll(30)) is not None and message.error() is None:
            found.append(message.offset())
    finally:
        consumer.close()
    return found


def leader(cluster: Cluster) -> Member:
    """The partition's leader, of which all brokers must know."""
    partition = cluster.agreed().get(TOPIC, {}).get(0)
    if partition is None or partition.leader not in cluster.members:
        raise Pending("the partition has no leader")
    return cluster[partition.leader]


def wait_in_sync(cluster: Cluster, count: int) -> None:
    """Waits until so many replicas are in sync."""
    cluster.wait_agreed(f"{count} replicas are in sync", lambda topics: len(topics[TOPIC][0].in_sync) == count)


def disk_usage(member: Member) -> int:
    """Bytes of records on a broker's disk, as it answers DescribeLogDirs."""
    answer = member.ask("DescribeLogDirs", 4, {"Topics": None})
    topics = answer["Results"][0]["Topics"]
    return sum(each["PartitionSize"] for topic in topics if topic["Name"] == TOPIC for each in topic["Partitions"])


def test_followers_delete_what_their_leader_has_deleted(cluster):
    create(cluster, **{"retention.bytes": "20000"})
    produce(cluster, 100)
    # Nothing is produced any more: the followers must be told all the same.
    wait_for("the leader deletes", lambda: offsets(cluster)[0] > 50)
    wait_for("the followers too", lambda: all(disk_usage(member) < 30_000 for member in cluster.running))
    first = offsets(cluster)[0]
    wait_for("a leader", lambda: leader(cluster)).kill()
    wait_for("another leader has the same records", lambda: offsets(cluster) == (first, 100))


def test_nothing_goes_while_it_may_be_truncated(cluster):
    """What is not on enough replicas does not count for retention and compaction."""
    create(cluster, **{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "min.insync.replicas": "3"})
    produce(cluster, 10, b"key")
    first, *others = sorted(cluster.running, key=lambda member: member is not leader(cluster))
    for member in others:
        member.kill()
    # Only the leader gets these, and they are not acknowledged by enough.
    single = {"batch.num.messages": 1}
    producer = Producer({"bootstrap.servers": first.bootstrap, "acks": 1, "enable.idempotence": False, **single})
    for _ in range(10):
        producer.produce(TOPIC, VALUE, key=b"key", partition=0)
    producer.flush(60)
    wait_for("the committed part is compacted", lambda: disk_usage(first) < 15_000)
    assert read(cluster) == [8, 9], "the newest committed record of the key is there, whatever comes after it"
    cluster.start()
    wait_in_sync(cluster, 3)
    wait_for("it goes once a newer one is committed", lambda: read(cluster)[0] > 9)


def test_catching_up_is_throttled_and_gets_there(cluster):
    create(cluster)
    victim = next(member for member in cluster.running if member is not wait_for("a leader", lambda: leader(cluster)))
    victim.kill()
    wait_in_sync(cluster, 2)
    produce(cluster, 2000)
    throttle(cluster, 200_000)
    cluster.start(victim.id)
    wait_for("it begins", lambda: leader(cluster).metric("fjord_replication_catch_up_bytes_total") > 0)
    assert len(cluster.agreed()[TOPIC][0].in_sync) == 2, "2 MB at 200 kB/s take a while"
    # Nobody who is in sync waits for that.
    produce(cluster, 10)
    throttle(cluster, 100_000_000)
    wait_in_sync(cluster, 3)


def test_a_broker_without_the_others_is_not_ready_and_says_why(cluster):
    create(cluster)
    wait_in_sync(cluster, 3)
    first, *others = cluster.running
    assert first.metric("fjord_quorum_has_leader") == 1
    assert first.metric("fjord_brokers") == 3 and first.metric("fjord_brokers_fenced") == 0
    assert sum(member.metric("fjord_quorum_leads") for member in cluster.running) == 1
    assert sum(member.metric("fjord_partitions_led") for member in cluster.running) == 1
    others[0].kill()
    wait_in_sync(cluster, 2)

    def under() -> float:
        return sum(member.metric("fjord_partitions_under_replicated") for member in cluster.running)

    wait_for("one partition is under-replicated", lambda: under() == 1)
    wait_for("one broker is fenced", lambda: first.metric("fjord_brokers_fenced") == 1)
    others[1].kill()
    wait_for("it is not ready", lambda: "cluster" in first.not_ready_because())
    cluster.start(*(member.id for member in others))
    wait_for("it is ready again", first.is_ready)
    wait_in_sync(cluster, 3)
    wait_for("nothing is under-replicated", lambda: under() == 0)
