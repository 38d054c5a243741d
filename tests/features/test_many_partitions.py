"""Ten thousand partitions on one broker: they cost little memory, and a restart keeps them all."""

import time

import pytest
from confluent_kafka.admin import NewTopic

from features import simple
from harness.broker import Broker, new_broker
from harness.server import peer_name

TOPICS, PARTITIONS = 100, 100
MOST_MIB = 500

pytestmark = pytest.mark.skipif(
    peer_name() == "kafka", reason="Apache Kafka needs more open files than one process may have"
)


@pytest.fixture
def own_broker(session_directory):
    """A broker for this test alone: what it creates would slow down all others."""
    with new_broker(session_directory / "many") as broker:
        yield broker


def test_ten_thousand_partitions(own_broker):
    """They are created, written, and there after a clean stop and after SIGKILL, in less than 500 MiB."""
    names = [f"topic-{number}" for number in range(TOPICS)]
    began = time.monotonic()
    client = simple.admin(own_broker)
    created = client.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    for answer in created.values():
        answer.result(simple.TIMEOUT_S)
    told(own_broker, f"created in {time.monotonic() - began:.2f} s")
    producer = simple.producer(own_broker)
    for name in names:
        for partition in range(PARTITIONS):
            producer.produce(name, b"%d" % partition, partition=partition)
    assert producer.flush(simple.TIMEOUT_S) == 0
    for end in (own_broker.stop, own_broker.kill):
        end()
        own_broker.start()
        told(own_broker, f"after {end.__name__}: ready in {own_broker.ready_after_s:.2f} s")
        topics = simple.admin(own_broker).list_topics(timeout=simple.TIMEOUT_S).topics
        assert sum(len(topics[name].partitions) for name in names) == TOPICS * PARTITIONS
        for name in (names[0], names[-1]):
            assert [m.value() for m in simple.read_partition(own_broker, name, PARTITIONS - 1)] == [b"%d" % (PARTITIONS - 1)]
        assert own_broker.memory_mib() < MOST_MIB


def told(broker: Broker, what: str) -> None:
    """Says how it went; no figure but that of the memory is tested."""
    print(f"{TOPICS * PARTITIONS} partitions: {what}, {broker.memory_mib():.0f} MiB resident")
