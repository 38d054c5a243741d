"""Topics and their configs: creating, describing, changing, deleting, and auto-creation."""

import subprocess

import pytest
from confluent_kafka import TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourceType,
)
from kafka import KafkaConsumer
from kafka import TopicPartition as PythonTopicPartition
from kafka.admin import KafkaAdminClient

from features import simple


def describe_configs(broker, kind: ResourceType, name: str) -> dict[str, ConfigEntry]:
    """The configs of a topic or a broker by name."""
    client, resource = simple.admin(broker), ConfigResource(kind, name)
    return client.describe_configs([resource])[resource].result(simple.TIMEOUT_S)


def alter(broker, topic: str, **changes: str | None):
    """Sets configs of a topic, or takes them back when the value is None; returns the future."""
    entries = [
        ConfigEntry(name.replace("_", "."), value or "", incremental_operation=operation(value))
        for name, value in changes.items()
    ]
    client, resource = simple.admin(broker), ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    return client.incremental_alter_configs([resource])[resource].result(simple.TIMEOUT_S)


def operation(value: str | None) -> AlterConfigOpType:
    return AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET


def test_configs_are_listed_with_default_and_source(broker, topic):
    """DescribeConfigs lists every config of a topic with its Kafka default, and tells what was set."""
    simple.create(broker, topic, retention_ms="12345")
    configs = describe_configs(broker, ResourceType.TOPIC, topic)
    defaults = {
        "cleanup.policy": "delete", "compression.type": "producer", "delete.retention.ms": "86400000",
        "max.message.bytes": "1048588", "message.timestamp.type": "CreateTime",
        "retention.bytes": "-1", "segment.bytes": "1073741824", "min.cleanable.dirty.ratio": "0.5",
    }  # fmt: skip
    for name, default in defaults.items():
        assert configs[name].value == default, name
        assert configs[name].source == ConfigSource.DEFAULT_CONFIG.value and configs[name].is_default, name
    assert configs["retention.ms"].value == "12345"
    assert configs["retention.ms"].source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    assert not configs["retention.ms"].is_default


def test_configs_are_changed_and_take_effect(broker, topic):
    """IncrementalAlterConfigs sets and takes back; the change counts at once and outlives a restart."""
    simple.create(broker, topic)
    alter(broker, topic, max_message_bytes="1000", retention_ms="777000")
    too_large = lambda: simple.produce(broker, topic, [b"x" * 2000])  # noqa: E731
    assert simple.error_name(too_large) == "MSG_SIZE_TOO_LARGE"
    broker.restart()
    configs = describe_configs(broker, ResourceType.TOPIC, topic)
    assert (configs["max.message.bytes"].value, configs["retention.ms"].value) == ("1000", "777000")
    assert simple.error_name(too_large) == "MSG_SIZE_TOO_LARGE"

    alter(broker, topic, max_message_bytes=None)
    assert describe_configs(broker, ResourceType.TOPIC, topic)["max.message.bytes"].value == "1048588"
    simple.produce(broker, topic, [b"x" * 2000])


def test_wrong_configs_are_refused(broker, topic):
    """An unknown name or an impossible value is refused and changes nothing."""
    simple.create(broker, topic)
    assert simple.error_name(lambda: alter(broker, topic, no_such_config="1")) == "INVALID_CONFIG"
    assert simple.error_name(lambda: alter(broker, topic, retention_ms="soon")) == "INVALID_CONFIG"
    assert simple.error_name(lambda: alter(broker, topic, cleanup_policy="shred")) == "INVALID_CONFIG"
    both = lambda: alter(broker, topic, segment_ms="5000", retention_ms="soon")  # noqa: E731
    assert simple.error_name(both) == "INVALID_CONFIG"
    assert describe_configs(broker, ResourceType.TOPIC, topic)["segment.ms"].value == "604800000"
    create = lambda: simple.create(broker, f"{topic}-2", no_such_config="1")  # noqa: E731
    assert simple.error_name(create) == "INVALID_CONFIG"


def test_broker_configs_are_described(broker):
    """The broker tells its configs, those it was started with included."""
    client = simple.admin(broker)
    node = next(iter(client.list_topics(timeout=simple.TIMEOUT_S).brokers))
    configs = describe_configs(broker, ResourceType.BROKER, str(node))
    assert configs["num.partitions"].value == "6"
    assert configs["num.partitions"].source == ConfigSource.STATIC_BROKER_CONFIG.value
    assert configs["auto.create.topics.enable"].value == "true"
    assert configs["auto.create.topics.enable"].source == ConfigSource.DEFAULT_CONFIG.value


@pytest.mark.parametrize(
    ("name", "partitions", "replicas", "error"),
    [
        ("bad/name", 1, 1, "TOPIC_EXCEPTION"),
        ("..", 1, 1, "TOPIC_EXCEPTION"),
        ("x" * 250, 1, 1, "TOPIC_EXCEPTION"),
        ("no-partitions", 0, 1, "INVALID_PARTITIONS"),
        ("too-many-replicas", 1, 2, "INVALID_REPLICATION_FACTOR"),
    ],
)
def test_impossible_topics_are_refused(broker, name, partitions, replicas, error):
    """Names, partitions and replicas that cannot be are refused with the documented error."""
    client = simple.admin(broker)
    topic = NewTopic(name, partitions, replicas)
    assert simple.error_name(lambda: client.create_topics([topic])[name].result(simple.TIMEOUT_S)) == error


def test_creating_partitions(broker, topic):
    """A topic grows, is not created twice, and does not shrink; a dry run changes nothing."""
    simple.create(broker, topic, partitions=2)
    assert simple.error_name(lambda: simple.create(broker, topic)) == "TOPIC_ALREADY_EXISTS"
    client = simple.admin(broker)
    grow = lambda count, **options: client.create_partitions([NewPartitions(topic, count)], **options)[topic].result  # noqa: E731
    grow(5, validate_only=True)(simple.TIMEOUT_S)
    count = lambda: len(client.list_topics(topic, timeout=simple.TIMEOUT_S).topics[topic].partitions)  # noqa: E731
    assert count() == 2
    grow(5)(simple.TIMEOUT_S)
    simple.wait_until("there are five partitions", lambda: count() == 5)
    assert simple.error_name(grow(3)) == "INVALID_PARTITIONS"
    simple.produce(broker, topic, [b"in the new partition"], partition=4)


def test_deleting_and_creating_again(broker, topic):
    """A deleted topic is gone with its data; one created under its name is another one, with another id."""
    simple.create(broker, topic)
    simple.produce(broker, topic, [b"old"] * 10)
    client = simple.admin(broker)
    topic_id = lambda: client.describe_topics(TopicCollection([topic]))[topic].result(simple.TIMEOUT_S).topic_id  # noqa: E731
    old = str(topic_id())
    client.delete_topics([topic])[topic].result(simple.TIMEOUT_S)
    simple.wait_until("the topic is gone", lambda: topic not in client.list_topics(timeout=simple.TIMEOUT_S).topics)
    delete = lambda: client.delete_topics([topic])[topic].result(simple.TIMEOUT_S)  # noqa: E731
    assert simple.error_name(delete) == "UNKNOWN_TOPIC_OR_PART"
    simple.create(broker, topic)
    assert simple.produce(broker, topic, [b"new"]) == [0]
    assert str(topic_id()) != old
    assert [message.value() for message in simple.read_partition(broker, topic)] == [b"new"]


def test_auto_creation(broker, topic):
    """A producer's first record creates the topic with num.partitions; a reader that does not want that does not."""
    python = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    shy = KafkaConsumer(bootstrap_servers=broker.bootstrap, allow_auto_create_topics=False)
    assert not shy.partitions_for_topic(topic)
    assert topic not in python.list_topics()
    subprocess.run(["kcat", "-P", "-b", broker.bootstrap, "-t", topic], input=b"first\n", check=True, timeout=60)
    (described,) = python.describe_topics([topic])
    assert len(described["partitions"]) == 6
    ends = shy.end_offsets([PythonTopicPartition(topic, partition) for partition in range(6)])
    assert sum(ends.values()) == 1
    shy.close()
    python.close()


def test_internal_topics_are_marked(broker, topic):
    """The topic of the committed offsets is there, internal and compacted."""
    simple.create(broker, topic)
    client = simple.consumer(broker, group=topic)
    client.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
    client.close()
    name = "__consumer_offsets"
    reader = simple.admin(broker)
    found = reader.describe_topics(TopicCollection([name]))[name].result(simple.TIMEOUT_S)
    assert found.is_internal
    assert describe_configs(broker, ResourceType.TOPIC, name)["cleanup.policy"].value == "compact"
