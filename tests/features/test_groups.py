"""Consumer groups as administrators see them: committed offsets, listing, describing, resetting, deleting."""

import subprocess

import pytest
from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, TopicPartition
from kafka import KafkaConsumer, OffsetAndMetadata
from kafka import TopicPartition as PythonTopicPartition
from kafka.admin import KafkaAdminClient

from features import simple

COUNT = 100


@pytest.fixture
def group(topic) -> str:
    return f"readers-of-{topic}"


@pytest.fixture
def filled(broker, topic) -> str:
    """A topic of one partition with the numbers from 0."""
    simple.create(broker, topic)
    simple.produce(broker, topic, [b"%d" % number for number in range(COUNT)])
    return topic


def joined(broker, group: str, topic: str, **config):
    """A member that has its assignment and read the first record."""
    member = simple.consumer(broker, group=group, **config)
    member.subscribe([topic])
    simple.read(member, 1)
    return member


def committed(broker, group: str, topic: str) -> int | None:
    """The group's committed offset for partition 0, as an administrator sees it."""
    client = simple.admin(broker)
    answer = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group]
    places = {(p.topic, p.partition): p.offset for p in answer.result(simple.TIMEOUT_S).topic_partitions}
    return places.get((topic, 0))


def describe(broker, group: str):
    client = simple.admin(broker)
    return client.describe_consumer_groups([group])[group].result(simple.TIMEOUT_S)


def reset(broker, group: str, topic: str, offset: int):
    """Sets the group's offset as an administrator."""
    client = simple.admin(broker)
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, offset)])
    places = client.alter_consumer_group_offsets([wanted])[group].result(simple.TIMEOUT_S).topic_partitions
    for place in places:
        if place.error:
            return place.error.name()
    return None


def test_committed_offsets_and_metadata_survive_a_restart(broker, filled, group):
    """What was committed is there after a restart, the metadata string with it."""
    place = PythonTopicPartition(filled, 0)
    before = KafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=group, enable_auto_commit=False)
    before.assign([place])
    before.commit({place: OffsetAndMetadata(42, "säge 42 ✓", -1)})
    before.close()
    broker.restart()
    after = KafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=group, auto_offset_reset="earliest")
    after.assign([place])
    found = after.committed(place, metadata=True)
    assert (found.offset, found.metadata) == (42, "säge 42 ✓")
    assert next(after).value == b"42"
    after.close(autocommit=False)
    assert committed(broker, group, filled) == 42


def test_list_and_describe(broker, filled, group):
    """A living group is Stable and shows its member and what it owns; one whose members left is Empty."""
    member = joined(broker, group, filled, client_id="the-reader")
    member.commit(asynchronous=False)
    found = describe(broker, group)
    assert found.state == ConsumerGroupState.STABLE
    assert found.partition_assignor == "range"
    (only,) = found.members
    assert (only.client_id, only.host) == ("the-reader", "/127.0.0.1")
    assert [(place.topic, place.partition) for place in only.assignment.topic_partitions] == [(filled, 0)]
    member.close()

    assert describe(broker, group).state == ConsumerGroupState.EMPTY
    client = simple.admin(broker)
    listed = {found.group_id: found.state for found in client.list_consumer_groups().result(simple.TIMEOUT_S).valid}
    assert listed[group] == ConsumerGroupState.EMPTY
    stable = client.list_consumer_groups(states={ConsumerGroupState.STABLE}).result(simple.TIMEOUT_S).valid
    assert group not in {found.group_id for found in stable}


def test_reset_by_an_administrator(broker, filled, group):
    """Offsets are reset while the group is empty, and the group goes on from there; a living group is left alone."""
    member = joined(broker, group, filled)
    member.commit(asynchronous=False)
    assert reset(broker, group, filled, 7) == "UNKNOWN_MEMBER_ID"
    member.close()
    assert committed(broker, group, filled) == 1
    assert reset(broker, group, filled, 77) is None
    again = simple.consumer(broker, group=group)
    again.subscribe([filled])
    assert simple.read(again, 1)[0].value() == b"77"
    again.close()


def test_delete_groups_and_offsets(broker, filled, group):
    """A group is deleted when it is empty; so are single offsets of it."""
    member = joined(broker, group, filled)
    member.commit(asynchronous=False)
    client = simple.admin(broker)
    delete = lambda: client.delete_consumer_groups([group])[group].result(simple.TIMEOUT_S)  # noqa: E731
    assert simple.error_name(delete) == "NON_EMPTY_GROUP"
    member.close()

    python = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    python.delete_group_offsets(group, [PythonTopicPartition(filled, 0)])
    assert committed(broker, group, filled) is None
    assert reset(broker, group, filled, 5) is None
    delete()
    assert committed(broker, group, filled) is None
    assert simple.error_name(delete) == "GROUP_ID_NOT_FOUND"
    assert group not in {found.group_id for found in client.list_consumer_groups().result(simple.TIMEOUT_S).valid}
    python.close()


def test_static_member_comes_back_without_a_rebalance(broker, filled, group):
    """A member with a group.instance.id that goes away and comes back keeps its place (KIP-345)."""
    first = joined(broker, group, filled, group_instance_id="one")
    first.commit(asynchronous=False)
    before = {member.group_instance_id: member.member_id for member in describe(broker, group).members}
    first.close()
    assert describe(broker, group).state == ConsumerGroupState.STABLE, "a static member's leaving made a rebalance"
    again = simple.consumer(broker, group=group, group_instance_id="one")
    again.subscribe([filled])
    assert simple.read(again, 1)[0].value() == b"1"
    after = {member.group_instance_id: member.member_id for member in describe(broker, group).members}
    assert before.keys() == after.keys() == {"one"}
    assert before["one"] != after["one"]
    again.close()


def test_a_member_that_dies_is_replaced(broker, filled, group):
    """When a member says nothing for its session timeout, another one takes over at the committed offset."""
    first = joined(broker, group, filled)
    first.commit(asynchronous=False)
    first.close()
    options = ["session.timeout.ms=6000", "heartbeat.interval.ms=1000", "enable.auto.commit=false"]
    command = ["kcat", "-b", broker.bootstrap, "-u", *(f"-X{option}" for option in options), "-G", group, filled]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as dead:
        assert dead.stdout.readline() == b"1\n"
        dead.kill()
    assert len(describe(broker, group).members) == 1, "it is still taken for alive"
    heir = simple.consumer(broker, group=group)
    heir.subscribe([filled])
    assert [message.value() for message in simple.read(heir, 2)] == [b"1", b"2"]
    heir.close()
