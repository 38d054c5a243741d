"""Topics, configs, groups and the cluster over gRPC, and that Kafka's admin client sees the same."""

import time
import uuid

import grpc
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicCollection
from confluent_kafka.admin import ConfigResource

from features import simple as kafka
from grpc_api.api import explained, refusal
from harness.protos import pb

INVALID = grpc.StatusCode.INVALID_ARGUMENT
INVALID_REQUEST = (INVALID, "INVALID_REQUEST")
NO_SUCH_TOPIC = (grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC_OR_PARTITION")
HAS_MEMBERS = (grpc.StatusCode.FAILED_PRECONDITION, "NON_EMPTY_GROUP")
COUNT = 30
BASE_MS = int(time.time() * 1000) - 3_600_000


def describe(api, topic: str):
    return api.topics.DescribeTopic(pb.DescribeTopicRequest(topic=topic))


def listed(api, **fields) -> dict[str, object]:
    """All topics by name."""
    return {each.topic: each for each in api.topics.ListTopics(pb.ListTopicsRequest(**fields)).topics}


def configs_of(api, *names: str, **resource) -> dict[str, object]:
    """The configs of a resource by name."""
    request = pb.DescribeConfigsRequest(resource=pb.ConfigResource(**resource), names=names)
    return {each.name: each for each in api.configs.DescribeConfigs(request).configs}


def alter_configs(api, resource: dict, **fields):
    return api.configs.AlterConfigs(pb.AlterConfigsRequest(resource=pb.ConfigResource(**resource), **fields))


def kafka_configs(broker, kind, name: str) -> dict[str, str]:
    """The configs of a resource as Kafka's admin client sees them."""
    client, resource = kafka.admin(broker), ConfigResource(kind, name)
    found = client.describe_configs([resource])[resource].result(kafka.TIMEOUT_S)
    return {config.name: config.value for config in found.values()}


def kafka_topic(broker, topic: str):
    client = kafka.admin(broker)
    return client.describe_topics(TopicCollection([topic]))[topic].result(kafka.TIMEOUT_S)


# Topics.


def test_create_and_describe(broker, api, topic):
    """What was asked for is there, and Kafka's admin client sees the same."""
    made = api.create(topic, 3, retention_ms="123456", cleanup_policy="compact")
    assert (made.topic, made.partitions, made.replication_factor, made.internal) == (topic, 3, 1, False)
    assert uuid.UUID(made.topic_id).int
    api.produce(topic, [pb.Record(key=b"k", value=b"x" * 500)] * 10, partition=1)

    found = describe(api, topic)
    assert found.topic == made
    assert [part.partition for part in found.partitions] == [0, 1, 2]
    assert [part.high_watermark for part in found.partitions] == [0, 10, 0]
    assert all(part.log_start_offset == 0 and part.leader_epoch >= 0 for part in found.partitions)
    assert found.partitions[1].size_bytes > 5000 > found.partitions[0].size_bytes
    configs = {config.name: config for config in found.configs}
    assert (configs["retention.ms"].value, configs["retention.ms"].source) == ("123456", pb.CONFIG_SOURCE_TOPIC)
    assert configs["retention.bytes"].source == pb.CONFIG_SOURCE_DEFAULT
    assert all(config.documentation for config in found.configs)

    theirs = kafka_topic(broker, topic)
    for mine, other in zip(found.partitions, theirs.partitions, strict=True):
        assert (mine.partition, mine.leader) == (other.id, other.leader.id)
        assert list(mine.replicas) == [node.id for node in other.replicas]
        assert list(mine.in_sync_replicas) == [node.id for node in other.isr]
    values = kafka_configs(broker, ConfigResource.Type.TOPIC, topic)
    assert values == {config.name: config.value for config in found.configs}


def test_creating_with_the_brokers_defaults(api, topic):
    """0 stands for num.partitions and default.replication.factor."""
    made = api.topics.CreateTopic(pb.CreateTopicRequest(topic=topic)).topic
    assert (made.partitions, made.replication_factor) == (6, 1)
    assert len(describe(api, topic).partitions) == 6


def test_list(broker, api, topic, join):
    """Topics are listed by name; internal ones only when they are asked for. Both protocols list the same."""
    for suffix in "ba":
        api.create(f"{topic}-{suffix}")
    join(f"group-of-{topic}", f"{topic}-a").joined(1)
    names = list(listed(api))
    assert names == sorted(names) and {f"{topic}-a", f"{topic}-b"} <= set(names)
    assert not [name for name in names if name.startswith("__")]
    everything = listed(api, include_internal=True)
    internal = {name for name, each in everything.items() if each.internal}
    assert internal == {"__consumer_offsets"}
    assert set(everything) - internal == set(names)
    assert set(kafka.admin(broker).list_topics(timeout=kafka.TIMEOUT_S).topics) == set(everything)
    assert everything[f"{topic}-a"] == describe(api, f"{topic}-a").topic


def test_only_checking_a_creation(api, topic):
    """The answer is that of a creation, good or bad, but no topic is made."""
    request = pb.CreateTopicRequest(topic=topic, partitions=3, validate_only=True)
    assert api.topics.CreateTopic(request).topic.partitions == 3
    assert topic not in listed(api)
    bad = pb.CreateTopicRequest(topic=topic, configs={"no.such.config": "1"}, validate_only=True)
    assert refusal(lambda: api.topics.CreateTopic(bad)) == (INVALID, "INVALID_CONFIG")


def test_refused_creations(api, topic):
    """Each with its own reason; nothing is made."""
    api.create(topic)
    assert refusal(lambda: api.create(topic)) == (grpc.StatusCode.ALREADY_EXISTS, "TOPIC_ALREADY_EXISTS")
    other = f"{topic}-other"
    cases = [
        ({"topic": "bad name!"}, "INVALID_TOPIC_EXCEPTION"),
        ({"topic": ""}, "INVALID_TOPIC_EXCEPTION"),
        ({"topic": "x" * 250}, "INVALID_TOPIC_EXCEPTION"),
        ({"partitions": -1}, "INVALID_PARTITIONS"),
        ({"partitions": -7}, "INVALID_PARTITIONS"),
        ({"replication_factor": 3}, "INVALID_REPLICATION_FACTOR"),
        ({"replication_factor": -1}, "INVALID_REPLICATION_FACTOR"),
        ({"replication_factor": 1 << 20}, "INVALID_REPLICATION_FACTOR"),
        ({"configs": {"retention.ms": "soon"}}, "INVALID_CONFIG"),
    ]
    wrong = []
    for index, (fields, reason) in enumerate(cases):
        request = pb.CreateTopicRequest(**{"topic": f"{other}-{index}", **fields})
        try:
            found = refusal(lambda: api.topics.CreateTopic(request))
        except AssertionError as not_refused:
            found = str(not_refused)
        if found != (INVALID, reason):
            wrong.append((fields, found))
    assert not wrong, wrong
    assert not [name for name in listed(api) if name.startswith(other)]


def test_alter(broker, api, topic):
    """A topic gets partitions and configs, and configs are set back."""
    api.create(topic, 2, retention_ms="1000000")
    alter = lambda **fields: api.topics.AlterTopic(pb.AlterTopicRequest(topic=topic, **fields))  # noqa: E731
    alter(partitions=4, set_configs={"max.message.bytes": "5000"}, reset_configs=["retention.ms"])
    found = describe(api, topic)
    assert [part.partition for part in found.partitions] == [0, 1, 2, 3]
    configs = {config.name: config for config in found.configs}
    assert configs["max.message.bytes"].value == "5000"
    assert configs["retention.ms"].source != pb.CONFIG_SOURCE_TOPIC
    assert len(kafka_topic(broker, topic).partitions) == 4
    assert kafka_configs(broker, ConfigResource.Type.TOPIC, topic)["max.message.bytes"] == "5000"
    api.produce(topic, [b"x"], partition=3)

    alter(partitions=9, set_configs={"max.message.bytes": "7000"}, validate_only=True)
    alter(partitions=4)
    assert describe(api, topic) == describe(api, topic) and len(describe(api, topic).partitions) == 4
    assert configs_of(api, "max.message.bytes", topic=topic)["max.message.bytes"].value == "5000"


def test_refused_changes_change_nothing(api, topic):
    """If a part of a change is refused, so is all of it."""
    api.create(topic, 3)
    alter = lambda **fields: api.topics.AlterTopic(pb.AlterTopicRequest(**{"topic": topic, **fields}))  # noqa: E731
    fewer = lambda: alter(partitions=2, set_configs={"retention.ms": "5000"})  # noqa: E731
    assert refusal(fewer) == (INVALID, "INVALID_PARTITIONS")
    bad = lambda: alter(partitions=5, set_configs={"no.such.config": "1"})  # noqa: E731
    assert refusal(bad) == (INVALID, "INVALID_CONFIG")
    assert refusal(lambda: alter(topic="no-such-topic", partitions=5)) == NO_SUCH_TOPIC
    found = describe(api, topic)
    assert len(found.partitions) == 3
    assert not [config for config in found.configs if config.source == pb.CONFIG_SOURCE_TOPIC]


def test_delete(broker, api, topic):
    """A deleted topic is gone for both protocols; one of the same name is another one."""
    first = api.create(topic)
    api.produce(topic, [b"x"])
    api.topics.DeleteTopic(pb.DeleteTopicRequest(topic=topic))
    assert topic not in listed(api)
    assert topic not in kafka.admin(broker).list_topics(timeout=kafka.TIMEOUT_S).topics
    for call in (
        lambda: api.topics.DeleteTopic(pb.DeleteTopicRequest(topic=topic)),
        lambda: describe(api, topic),
        lambda: api.read(topic),
        lambda: api.ends(topic),
    ):
        assert refusal(call) == NO_SUCH_TOPIC
    assert api.create(topic).topic_id != first.topic_id
    assert api.read(topic) == []


def test_delete_by_id(api, topic):
    """Only the topic of that id goes, and not one that has got its name since."""
    first = api.create(topic).topic_id
    delete = lambda **fields: api.topics.DeleteTopic(pb.DeleteTopicRequest(**fields))  # noqa: E731
    assert refusal(lambda: delete(topic="another", topic_id=first)) == NO_SUCH_TOPIC
    assert refusal(lambda: delete(topic_id="no id")) == INVALID_REQUEST
    delete(topic=topic, topic_id=first)
    second = api.create(topic).topic_id
    assert refusal(lambda: delete(topic=topic, topic_id=first)) == NO_SUCH_TOPIC
    assert listed(api)[topic].topic_id == second
    delete(topic_id=second)
    assert topic not in listed(api)


def test_delete_records(broker, api, topic):
    """Records before an offset, or all, are gone; an offset that is not there is refused."""
    api.create(topic)
    api.produce(topic, [b"%d" % number for number in range(COUNT)])
    delete = lambda before, partition=0: (  # noqa: E731
        api.topics.DeleteRecords(
            pb.DeleteRecordsRequest(topic=topic, partition=partition, before_offset=before)
        ).log_start_offset
    )
    assert delete(10) == 10
    assert describe(api, topic).partitions[0].log_start_offset == 10
    assert api.read(topic)[0].value == kafka.read_partition(broker, topic)[0].value() == b"10"
    assert delete(5) == 10
    assert refusal(lambda: delete(COUNT + 1)) == (grpc.StatusCode.OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE")
    assert refusal(lambda: delete(1, partition=7)) == NO_SUCH_TOPIC
    assert delete(-1) == COUNT
    assert api.read(topic) == []
    missing = pb.DeleteRecordsRequest(topic="no-such-topic", before_offset=1)
    assert refusal(lambda: api.topics.DeleteRecords(missing)) == NO_SUCH_TOPIC


def test_list_offsets(api, topic):
    """The ends, and the first record of a time, of some partitions or all."""
    api.create(topic, 2)
    timed = [pb.Record(value=b"x", timestamp_ms=BASE_MS + index * 1000) for index in range(10)]
    api.produce(topic, timed, partition=1)
    api.topics.DeleteRecords(pb.DeleteRecordsRequest(topic=topic, partition=1, before_offset=2))
    find = lambda **fields: [  # noqa: E731
        (each.partition, each.offset if each.HasField("offset") else None, each.timestamp_ms, each.error.reason)
        for each in api.topics.ListOffsets(pb.ListOffsetsRequest(topic=topic, **fields)).offsets
    ]
    assert find() == find(position=pb.POSITION_LATEST) == [(0, 0, 0, ""), (1, 10, 0, "")]
    assert find(position=pb.POSITION_EARLIEST) == [(0, 0, 0, ""), (1, 2, 0, "")]
    assert find(timestamp_ms=BASE_MS + 4500) == [(0, None, 0, ""), (1, 5, BASE_MS + 5000, "")]
    assert find(timestamp_ms=BASE_MS, partitions=[1]) == [(1, 2, BASE_MS + 2000, "")]
    assert find(timestamp_ms=BASE_MS + 3_000_000, partitions=[1]) == [(1, None, 0, "")]
    assert find(partitions=[1, 5]) == [(1, 10, 0, ""), (5, None, 0, "UNKNOWN_TOPIC_OR_PARTITION")]
    assert refusal(lambda: find(timestamp_ms=-5)) == INVALID_REQUEST


# Configs.


def test_describe_configs(broker, api, topic):
    """Both protocols show the same values; what is set says where, and names choose."""
    node = api.cluster.DescribeCluster(pb.DescribeClusterRequest()).broker
    of_broker = configs_of(api, broker=node)
    theirs = kafka_configs(broker, ConfigResource.Type.BROKER, str(node))
    assert {name: each.value if each.HasField("value") else None for name, each in of_broker.items()} == theirs
    assert of_broker["num.partitions"].source == pb.CONFIG_SOURCE_STATIC
    assert of_broker["num.partitions"].value == "6"
    assert of_broker["fjord.grpc.listen"].read_only and not of_broker["message.max.bytes"].read_only
    assert all(each.documentation for each in of_broker.values())
    api.create(topic)
    assert list(configs_of(api, "retention.ms", topic=topic)) == ["retention.ms"]


@pytest.fixture
def broker_resource(api):
    """The broker as a resource; what the test changes is set back."""
    resource = {"broker": api.cluster.DescribeCluster(pb.DescribeClusterRequest()).broker}
    yield resource
    for each in (resource, {"all_brokers": True}):
        alter_configs(api, each, reset=["message.max.bytes"])


def test_alter_and_reset_broker_configs(broker, api, broker_resource):
    """What is set for one broker goes before what is set for all; set back, the one before holds again."""
    node = broker_resource["broker"]
    name = "message.max.bytes"
    now = lambda: (configs_of(api, name, broker=node)[name].value, configs_of(api, name, broker=node)[name].source)  # noqa: E731
    default = now()
    assert default[1] == pb.CONFIG_SOURCE_DEFAULT
    alter_configs(api, {"all_brokers": True}, set={name: "2000000"})
    assert now() == ("2000000", pb.CONFIG_SOURCE_ALL_BROKERS)
    assert configs_of(api, all_brokers=True)[name].value == "2000000"
    alter_configs(api, broker_resource, set={name: "3000000"})
    assert now() == ("3000000", pb.CONFIG_SOURCE_BROKER)
    assert kafka_configs(broker, ConfigResource.Type.BROKER, str(node))[name] == "3000000"
    alter_configs(api, broker_resource, set={name: "4000000"}, validate_only=True)
    assert now() == ("3000000", pb.CONFIG_SOURCE_BROKER)
    alter_configs(api, broker_resource, reset=[name])
    assert now() == ("2000000", pb.CONFIG_SOURCE_ALL_BROKERS)
    alter_configs(api, {"all_brokers": True}, reset=[name])
    assert now() == default


def test_check_a_configuration_file(api):
    """What is wrong with it is told by name, all at once, and nothing changes."""
    check = lambda **configs: {  # noqa: E731
        problem.name: problem.reason
        for problem in api.configs.CheckConfigs(
            pb.CheckConfigsRequest(configs={name.replace("_", "."): value for name, value in configs.items()})
        ).problems
    }
    assert check(num_partitions="7", log_retention_ms="-1") == {}
    problems = check(num_partitions="none", num_partition="7", fjord_durability="maybe")
    assert set(problems) == {"num.partitions", "num.partition", "fjord.durability"}
    assert "num.partitions" in problems["num.partition"] and '("none")' in problems["num.partitions"]


def test_refused_configs(api, topic, broker_resource):
    """What cannot be changed while a broker runs, what does not exist, and what makes no sense."""
    api.create(topic)
    refused = lambda resource, **fields: refusal(lambda: alter_configs(api, resource, **fields))  # noqa: E731
    of_topic = {"topic": topic}
    assert refused(broker_resource, set={"fjord.grpc.listen": ":1"})[0] == INVALID
    assert refused(of_topic, set={"no.such.config": "1"}) == (INVALID, "INVALID_CONFIG")
    assert refused(of_topic, set={"retention.ms": "soon"}) == (INVALID, "INVALID_CONFIG")
    assert refused(of_topic, set={"retention.ms": "soon"}, validate_only=True) == (INVALID, "INVALID_CONFIG")
    assert refused(of_topic, set={"retention.ms": "5"}, reset=["retention.ms"])[0] == INVALID
    assert refused({"topic": "no-such-topic"}, set={"retention.ms": "5"}) == NO_SUCH_TOPIC
    assert refused({}, set={"retention.ms": "5"}) == INVALID_REQUEST
    assert refusal(lambda: configs_of(api)) == INVALID_REQUEST
    assert refusal(lambda: configs_of(api, topic="no-such-topic")) == NO_SUCH_TOPIC
    assert refusal(lambda: configs_of(api, broker=77))[0] == INVALID
    # Nothing of a change is done if a part of it is refused.
    assert refused(of_topic, set={"retention.ms": "5000", "no.such.config": "1"})[0] == INVALID
    assert configs_of(api, "retention.ms", topic=topic)["retention.ms"].source != pb.CONFIG_SOURCE_TOPIC


# Groups.


@pytest.fixture
def group(api, topic) -> str:
    """A group without members that has read 10 records of partition 1 of two."""
    name = f"readers-of-{topic}"
    api.create(topic, 2)
    timed = [pb.Record(value=b"%d" % index, timestamp_ms=BASE_MS + index * 1000) for index in range(COUNT)]
    api.produce(topic, timed, partition=1)
    to = pb.CommittedOffsets(offsets=[pb.CommittedOffset(topic=topic, partition=1, offset=10)])
    api.groups.ResetOffsets(pb.ResetOffsetsRequest(group=name, offsets=to))
    return name


def describe_group(api, group: str):
    return api.groups.DescribeGroup(pb.DescribeGroupRequest(group=group))


def kafka_committed(broker, group: str) -> dict[int, int]:
    """What a group has committed, as Kafka's admin client sees it."""
    client = kafka.admin(broker)
    answer = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(kafka.TIMEOUT_S)
    return {place.partition: place.offset for place in answer.topic_partitions}


def test_list_and_describe_groups(broker, api, topic, group, join):
    """A group with a member shows what it has and how far behind it is; Kafka's admin client sees the same."""
    member = join(group, topic, client_id="the-reader").joined(2)
    member.read(20)
    member.commit(pb.CommittedOffset(topic=topic, partition=1, offset=17, metadata="here"))
    found = describe_group(api, group)
    assert (found.group.group, found.group.state, found.group.protocol_type) == (group, "Stable", "consumer")
    assert found.assignor == "range"
    (only,) = found.members
    assert (only.member_id, only.client_id) == (member.assignments[0].member_id, "the-reader")
    assert only.host == "127.0.0.1"
    assert [(place.topic, place.partition) for place in only.partitions] == [(topic, 0), (topic, 1)]
    idle, read = found.partitions
    assert (idle.partition, idle.HasField("committed_offset"), idle.lag, idle.high_watermark) == (0, False, 0, 0)
    assert (read.topic, read.partition, read.committed_offset, read.metadata) == (topic, 1, 17, "here")
    assert (read.log_start_offset, read.high_watermark, read.lag) == (0, COUNT, COUNT - 17)
    assert read.member_id == idle.member_id == only.member_id

    client = kafka.admin(broker)
    theirs = client.describe_consumer_groups([group])[group].result(kafka.TIMEOUT_S)
    (their_member,) = theirs.members
    assert (theirs.state.name, theirs.partition_assignor) == ("STABLE", "range")
    assert (their_member.member_id, their_member.client_id) == (only.member_id, "the-reader")
    assert {(p.topic, p.partition) for p in their_member.assignment.topic_partitions} == {(topic, 0), (topic, 1)}
    assert kafka_committed(broker, group) == {1: 17}

    listed = lambda: {each.group: each for each in api.groups.ListGroups(pb.ListGroupsRequest()).groups}  # noqa: E731
    assert listed()[group] == found.group
    assert list(listed()) == sorted(listed())
    assert {each.group_id for each in client.list_consumer_groups().result(kafka.TIMEOUT_S).valid} == set(listed())
    member.leave()
    assert listed()[group].state == "Empty"
    after = describe_group(api, group)
    assert not after.members and [place.partition for place in after.partitions] == [1]
    assert after.partitions[0].lag == COUNT - 17


def test_a_group_of_a_kafka_client(broker, api, topic, group):
    """Its members and offsets are shown like those of gRPC clients."""
    client = kafka.consumer(broker, group=group, client_id="theirs", group_instance_id="static")
    client.subscribe([topic])
    assert kafka.read(client, 1)[0].offset() == 10
    client.commit(asynchronous=False)
    found = describe_group(api, group)
    (only,) = found.members
    assert (only.client_id, only.instance_id, len(only.partitions)) == ("theirs", "static", 2)
    assert {place.partition: place.lag for place in found.partitions} == {0: 0, 1: COUNT - 11}
    client.close()


def test_groups_that_are_not_there(api, topic):
    """Each call says so."""
    nowhere = (grpc.StatusCode.NOT_FOUND, "GROUP_ID_NOT_FOUND")
    name = f"no-group-of-{topic}"
    api.create(topic)
    assert refusal(lambda: describe_group(api, name)) == nowhere
    assert refusal(lambda: api.groups.DeleteGroup(pb.DeleteGroupRequest(group=name))) == nowhere
    delete = pb.DeleteOffsetsRequest(group=name, topics=[topic])
    assert refusal(lambda: api.groups.DeleteOffsets(delete)) == nowhere
    assert refusal(lambda: describe_group(api, ""))[0] in (INVALID, grpc.StatusCode.NOT_FOUND)


RESETS = {
    "earliest": ({"position": pb.POSITION_EARLIEST}, {0: 0, 1: 3}),
    "latest": ({"position": pb.POSITION_LATEST}, {0: 0, 1: COUNT}),
    "offset": ({"offset": 12}, {0: 0, 1: 12}),
    "offset before the first": ({"offset": 1}, {0: 0, 1: 3}),
    "offset behind the last": ({"offset": 1000}, {0: 0, 1: COUNT}),
    "time": ({"timestamp_ms": BASE_MS + 7500}, {0: 0, 1: 8}),
    "time to come": ({"timestamp_ms": BASE_MS + 3_000_000}, {0: 0, 1: COUNT}),
    "on": ({"shift": 5}, {0: 0, 1: 15}),
    "back": ({"shift": -4}, {0: 0, 1: 6}),
    "far back": ({"shift": -1000}, {0: 0, 1: 3}),
}


@pytest.mark.parametrize("how", RESETS)
def test_reset(broker, api, topic, group, join, how):
    """First a dry run, which changes nothing, then the same in earnest; a member goes on there."""
    to, wanted = RESETS[how]
    api.topics.DeleteRecords(pb.DeleteRecordsRequest(topic=topic, partition=1, before_offset=3))
    reset = lambda **fields: [  # noqa: E731
        (each.topic, each.partition, each.before if each.HasField("before") else None, each.after)
        for each in api.groups.ResetOffsets(pb.ResetOffsetsRequest(group=group, topics=[topic], **to, **fields)).offsets
    ]
    plan = [(topic, 0, None, wanted[0]), (topic, 1, 10, wanted[1])]
    assert reset(dry_run=True) == plan
    assert kafka_committed(broker, group) == {1: 10}
    assert reset() == plan
    assert kafka_committed(broker, group) == wanted
    offsets = {place.partition: place.offset for place in join(group, topic).joined(2).assignments[0].partitions}
    assert offsets == wanted


def test_reset_of_single_partitions(broker, api, topic, group):
    """Topics, partitions, offsets, or nothing at all say which partitions are set."""
    reset = lambda **fields: {  # noqa: E731
        each.partition: each.after for each in api.groups.ResetOffsets(pb.ResetOffsetsRequest(group=group, **fields)).offsets
    }
    assert reset(offset=11) == {1: 11}, "all that the group has offsets of"
    assert reset(offset=0, partitions=[pb.TopicPartition(topic=topic, partition=0)]) == {0: 0}
    each = lambda offset: pb.CommittedOffset(topic=topic, partition=1, offset=offset, metadata="why")  # noqa: E731
    assert reset(offsets=pb.CommittedOffsets(offsets=[each(4)])) == {1: 4}
    assert kafka_committed(broker, group) == {0: 0, 1: 4}
    assert {place.partition: place.metadata for place in describe_group(api, group).partitions} == {0: "", 1: "why"}


def test_reset_makes_a_group(api, topic, group):
    """A group that is not there comes to be with its offsets; a dry run makes none."""
    name = f"{group}-new"
    request = {"group": name, "topics": [topic], "position": pb.POSITION_LATEST}
    api.groups.ResetOffsets(pb.ResetOffsetsRequest(**request, dry_run=True))
    assert refusal(lambda: describe_group(api, name))[1] == "GROUP_ID_NOT_FOUND"
    api.groups.ResetOffsets(pb.ResetOffsetsRequest(**request))
    found = describe_group(api, name)
    assert found.group.state == "Empty"
    assert {place.partition: place.committed_offset for place in found.partitions} == {0: 0, 1: COUNT}


def test_refused_resets(api, topic, group):
    """What makes no sense is refused, and nothing is set."""
    refused = lambda **fields: refusal(  # noqa: E731
        lambda: api.groups.ResetOffsets(pb.ResetOffsetsRequest(**{"group": group, **fields}))
    )
    assert refused(topics=[topic]) == INVALID_REQUEST
    assert refused(topics=[topic], position=pb.POSITION_UNSPECIFIED) == INVALID_REQUEST
    assert refused(topics=["no-such-topic"], offset=1) == NO_SUCH_TOPIC
    assert refused(partitions=[pb.TopicPartition(topic=topic, partition=9)], offset=1) == NO_SUCH_TOPIC
    wrong = pb.CommittedOffsets(offsets=[pb.CommittedOffset(topic="no-such-topic", offset=1)])
    assert refused(offsets=wrong) == NO_SUCH_TOPIC
    assert refused(group="", topics=[topic], offset=1) == (INVALID, "INVALID_GROUP_ID")
    assert {place.partition: place.committed_offset for place in describe_group(api, group).partitions} == {1: 10}


def test_groups_with_members_are_left_alone(api, topic, group, join):
    """Neither reset nor deleted, nor are the offsets of topics that they read forgotten."""
    member = join(group, topic).joined(2)
    reset = pb.ResetOffsetsRequest(group=group, topics=[topic], offset=1)
    assert refusal(lambda: api.groups.ResetOffsets(reset)) == HAS_MEMBERS
    reset.dry_run = True
    assert refusal(lambda: api.groups.ResetOffsets(reset)) == HAS_MEMBERS
    assert refusal(lambda: api.groups.DeleteGroup(pb.DeleteGroupRequest(group=group))) == HAS_MEMBERS
    forget = pb.DeleteOffsetsRequest(group=group, topics=[topic])
    assert refusal(lambda: api.groups.DeleteOffsets(forget)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "GROUP_SUBSCRIBED_TO_TOPIC",
    )
    assert not member.ended and {p.partition: p.committed_offset for p in describe_group(api, group).partitions}[1] == 10


def test_delete_groups_and_offsets(broker, api, topic, group):
    """A group without members goes; so do single offsets of it."""
    gone = api.groups.DeleteOffsets(pb.DeleteOffsetsRequest(group=group, topics=[topic])).partitions
    assert [(place.topic, place.partition) for place in gone] == [(topic, 1)], "only what was there is gone"
    assert kafka_committed(broker, group) == {}
    assert refusal(lambda: api.groups.DeleteOffsets(pb.DeleteOffsetsRequest(group=group))) == INVALID_REQUEST
    request = pb.ResetOffsetsRequest(group=group, topics=[topic], offset=5)
    api.groups.ResetOffsets(request)
    api.groups.DeleteGroup(pb.DeleteGroupRequest(group=group))
    assert group not in {each.group for each in api.groups.ListGroups(pb.ListGroupsRequest()).groups}
    assert kafka_committed(broker, group) == {}


# The cluster.


def test_describe_cluster(broker, api, topic):
    """Both protocols tell of the same brokers; topics and bytes are counted."""
    before = api.cluster.DescribeCluster(pb.DescribeClusterRequest())
    api.create(topic, 3)
    api.produce(topic, [b"x" * 10_000] * 50, partition=0)
    found = api.cluster.DescribeCluster(pb.DescribeClusterRequest())
    client = kafka.admin(broker)
    theirs = client.describe_cluster().result(kafka.TIMEOUT_S)
    assert (found.cluster_id, found.controller) == (theirs.cluster_id, theirs.controller.id)
    (only,) = found.brokers
    assert [(only.broker, only.host, only.port)] == [(node.id, node.host, node.port) for node in theirs.nodes]
    assert found.broker == only.broker and found.version
    assert (found.topics - before.topics, found.partitions - before.partitions) == (1, 3)
    # Topics of other tests may be compacted or deleted meanwhile, so the total is no sum of before and after.
    assert only.size_bytes >= sum(part.size_bytes for part in describe(api, topic).partitions) >= 500_000
    assert only.disk_total_bytes > only.disk_free_bytes > 0


def outcomes(response) -> list[tuple[int, str]]:
    return [(each.partition, each.error.reason) for each in response.partitions]


def test_reassignments_and_elections_of_the_only_broker(api, topic):
    """What cannot be is refused by partition; what is as it should be stays."""
    api.create(topic, 3)
    (only,) = api.cluster.DescribeCluster(pb.DescribeClusterRequest()).brokers
    wanted = [(0, [only.broker + 7]), (1, []), (2, [only.broker]), (9, [only.broker])]
    reassignments = [pb.Reassignment(topic=topic, partition=part, replicas=to) for part, to in wanted]
    response = api.topics.ReassignPartitions(pb.ReassignPartitionsRequest(reassignments=reassignments))
    assert outcomes(response) == [
        (0, "INVALID_REPLICA_ASSIGNMENT"),
        (1, "NO_REASSIGNMENT_IN_PROGRESS"),
        (2, ""),
        (9, "UNKNOWN_TOPIC_OR_PARTITION"),
    ]
    listed = api.topics.ListReassignments(pb.ListReassignmentsRequest())
    assert not listed.reassignments
    one = pb.ElectLeadersRequest(partitions=[pb.TopicPartition(topic=topic, partition=1)])
    assert outcomes(api.topics.ElectLeaders(one)) == [(1, "ELECTION_NOT_NEEDED")]
    assert outcomes(api.topics.ElectLeaders(pb.ElectLeadersRequest())) == []
    unclean = pb.ElectLeadersRequest(election=pb.ELECTION_UNCLEAN)
    assert refusal(lambda: api.topics.ElectLeaders(unclean)) == INVALID_REQUEST


def test_plans_of_the_only_broker(api, topic):
    """There is nowhere to go, and a plan says so."""
    api.create(topic, 2)
    (only,) = api.cluster.DescribeCluster(pb.DescribeClusterRequest()).brokers
    plan = lambda **goal: api.cluster.PlanReassignments(pb.PlanReassignmentsRequest(**goal))  # noqa: E731
    assert not plan(balance=pb.BalanceGoal()).moves
    drained = plan(drain=pb.DrainGoal(brokers=[only.broker]))
    assert not drained.moves and drained.unfinished_partitions >= 2
    factor = lambda replicas: pb.ReplicationFactorGoal(topics=[topic], replication_factor=replicas)  # noqa: E731
    assert plan(replication_factor=factor(1)).unfinished_partitions == 0
    assert refusal(lambda: plan(replication_factor=factor(2))) == INVALID_REQUEST
    assert refusal(plan) == INVALID_REQUEST


def test_restarting_the_only_broker(api, topic):
    """No waiting would help, so nothing keeps it from being restarted."""
    api.create(topic, 2)
    (only,) = api.cluster.DescribeCluster(pb.DescribeClusterRequest()).brokers
    check = lambda *brokers: api.cluster.CheckRestart(pb.CheckRestartRequest(brokers=brokers))  # noqa: E731
    found = check(only.broker)
    assert not found.risks and found.risk_count == 0 and found.leaders >= 2
    assert refusal(check) == INVALID_REQUEST
    not_registered = (grpc.StatusCode.NOT_FOUND, "BROKER_ID_NOT_REGISTERED")
    assert refusal(lambda: check(only.broker + 7)) == not_registered


def test_the_quorum_of_the_only_broker(api):
    """It leads itself, and cannot be forgotten."""
    quorum = api.cluster.DescribeQuorum(pb.DescribeQuorumRequest())
    (voter,) = quorum.voters
    assert voter.broker == quorum.leader and not quorum.observers
    assert voter.log_end_offset >= quorum.high_watermark > 0
    unregister = pb.UnregisterBrokerRequest(broker=voter.broker)
    assert refusal(lambda: api.cluster.UnregisterBroker(unregister)) == INVALID_REQUEST
    unknown = pb.UnregisterBrokerRequest(broker=voter.broker + 7)
    not_registered = (grpc.StatusCode.NOT_FOUND, "BROKER_ID_NOT_REGISTERED")
    assert refusal(lambda: api.cluster.UnregisterBroker(unknown)) == not_registered


def test_deadlines_are_kept(api, topic):
    """A call that takes longer than the client waits ends with DEADLINE_EXCEEDED, and the connection goes on."""
    api.create(topic)
    with pytest.raises(grpc.RpcError) as late:
        list(api.fetcher.Fetch(pb.FetchRequest(partitions=[pb.FetchPartition(topic=topic)]), timeout=0.5))
    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert describe(api, topic).topic.topic == topic


def test_what_is_not_there_is_unimplemented(api):
    """A method that no service has."""
    call = api.channel.unary_unary("/fjord.v1.TopicService/NoSuchMethod")
    with pytest.raises(grpc.RpcError) as refused:
        call(b"")
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_retriable_is_told(api):
    """The details of an error say whether the same call may succeed later."""
    with pytest.raises(grpc.RpcError) as refused:
        describe(api, "no-such-topic")
    assert explained(refused.value) == NO_SUCH_TOPIC
