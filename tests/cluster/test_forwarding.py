"""gRPC calls through any broker, wherever they belong: to leaders, coordinators, brokers, and past those that die."""

import itertools
import queue
import signal
import threading
import time

import grpc
import pytest

from grpc_api.api import TIMEOUT_S, Api, explained, of_proto, refusal
from grpc_api.member import Member
from harness.cluster import Cluster, wait_for
from harness.protos import pb

PARTITIONS = 6
GROUPS = [f"group-{number}" for number in range(12)]
# More than a broker that is killed takes to be replaced, and less than a call has.
PAUSE_S = 20.0


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Three brokers that run on, whatever a test does."""
    with Cluster(tmp_path_factory.mktemp("shared")) as cluster:
        cluster.start()
        cluster.wait_quorum_leader()
        yield cluster


def make(cluster: Cluster, name: str, replicas: int = 3, partitions: int = PARTITIONS) -> None:
    """A topic on which all brokers agree, with leaders among all of them."""
    wait_for("the topic", lambda: cluster.running[0].create_topic(name, partitions, replicas) in (0, 36))
    everywhere = {member.id for member in cluster.running}

    def led(topics) -> bool:
        partitions = topics.get(name, {}).values()
        in_sync = all(len(each.in_sync) == len(each.replicas) for each in partitions)
        return in_sync and (len(partitions) < len(everywhere) or {each.leader for each in partitions} == everywhere)

    cluster.wait_agreed(f"{name} is led by {everywhere}", led)


def leader_of(cluster: Cluster, topic: str, partition: int = 0):
    """The broker that leads a partition."""
    return cluster[cluster.agreed()[topic][partition].leader]


def another(cluster: Cluster, *members):
    """A broker that runs, and is none of these."""
    return next(each for each in cluster.running if each not in members)


def request(topic: str, number: int, ids: dict | None = None, partition: int = 0):
    """A request with one numbered record, with a sequence if there are ids."""
    sequence = pb.Sequence(**ids, first=number) if ids else None
    records = [pb.Record(value=b"%d" % number)]
    return pb.ProduceRequest(topic=topic, partition=partition, records=records, sequence=sequence)


def producer_ids(api: Api) -> dict[str, int]:
    """A new producer id, as fields of a sequence."""
    given = api.producer.InitProducer(pb.InitProducerRequest())
    return {"producer_id": given.producer_id, "producer_epoch": given.producer_epoch}


class Stream:
    """A stream of produce requests, with some under way at a time."""

    def __init__(self, api: Api, topic: str, ids: dict | None, under_way: int = 5, partition: int = 0):
        self.api, self.topic, self.ids, self.partition = api, topic, ids, partition
        self.room = threading.Semaphore(under_way)
        self.halt = threading.Event()
        self.sent = 0
        self.offsets: list[int] = []
        self.errors: list = []
        self.failed: BaseException | None = None
        self.longest_gap_s = 0.0
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def _requests(self):
        while not self.halt.is_set():
            self.room.acquire()
            number, self.sent = self.sent, self.sent + 1
            asked = request(self.topic, number, self.ids, self.partition)
            yield pb.ProduceStreamRequest(id=number, request=asked)

    def _listen(self) -> None:
        last = time.monotonic()
        try:
            for expected, answer in enumerate(self.api.producer.ProduceStream(self._requests(), timeout=4 * TIMEOUT_S)):
                assert answer.id == expected
                now = time.monotonic()
                self.longest_gap_s, last = max(self.longest_gap_s, now - last), now
                if answer.HasField("error"):
                    self.errors.append(answer.error)
                else:
                    self.offsets.append(answer.response.partitions[0].base_offset)
                self.room.release()
        except BaseException as failed:
            self.failed = failed
            self.room.release()

    def wait_for_more(self, count: int) -> None:
        """Waits until so many more are acknowledged."""
        goal = len(self.offsets) + count

        def reached() -> bool:
            if self.failed is not None:
                raise RuntimeError(f"the stream has ended: {self.failed!r}")
            return len(self.offsets) >= goal

        wait_for(f"{count} more answers, after {len(self.offsets)} and {self.errors[:3]}", reached)

    def end(self) -> list[int]:
        """Ends the stream, and returns the offsets of what was acknowledged."""
        self.halt.set()
        self.thread.join(TIMEOUT_S)
        assert self.failed is None, self.failed
        return self.offsets


# What any broker says and does.


def test_records_go_to_their_leaders_and_come_from_them(shared, apis):
    """Whoever is asked: keyed records of one request are shared out to all leaders, and all of them are read."""
    make(shared, "records", replicas=1)
    for member in shared.running:
        api = apis(member)
        records = [pb.Record(key=b"%d" % n, value=b"%d from %d" % (n, member.id)) for n in range(60)]
        produced = api.produce("records", records).partitions
        assert sorted(part.partition for part in produced) == list(range(PARTITIONS))
        places = sorted(place for part in produced for place in part.records)
        assert places == list(range(60)), "every record has its place"
    values = {b"%d from %d" % (n, member.id) for n in range(60) for member in shared.running}
    for member in shared.running:
        api = apis(member)
        found = api.read("records", PARTITIONS)
        assert len(found) == len(values) and {record.value for record in found} == values
        assert sum(api.ends("records").values()) == len(values)


def test_a_stream_keeps_its_order_through_a_broker_that_does_not_lead(shared, apis):
    """With sequences, none of which may be out of order, and without."""
    make(shared, "order")
    leader = leader_of(shared, "order")
    api = apis(another(shared, leader))
    ids = producer_ids(api)
    for sequences in (ids, None):
        stream = Stream(api, "order", sequences, under_way=50)
        stream.wait_for_more(1000)
        offsets = stream.end()
        assert stream.errors == []
        assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))
    (again,) = api.producer.Produce(request("order", stream.sent - 1)).partitions
    assert again.base_offset == api.ends("order")[0] - 1


def test_a_repeated_batch_is_known_at_its_leader(shared, apis):
    make(shared, "repeated")
    member = another(shared, leader_of(shared, "repeated"))
    api = apis(member)
    ids = producer_ids(api)
    first, again = (api.producer.Produce(request("repeated", 0, ids)).partitions[0].base_offset for _ in range(2))
    assert first == again
    gap = refusal(lambda: api.producer.Produce(request("repeated", 7, ids)))
    assert gap == (grpc.StatusCode.FAILED_PRECONDITION, "OUT_OF_ORDER_SEQUENCE_NUMBER")


def test_a_fetch_waits_for_whichever_leader_has_something_first(shared, apis):
    """A long wait at the leaders that have nothing does not hold a record back, wherever it is."""
    make(shared, "waits")
    for member, partition in itertools.product(shared.running, range(PARTITIONS)):
        api = apis(member)
        begun = api.ends("waits")
        asked = [pb.FetchPartition(topic="waits", partition=n, offset=begun[n]) for n in range(PARTITIONS)]
        responses = api.fetch(*asked, max_wait_ms=30_000)
        found: queue.SimpleQueue = queue.SimpleQueue()
        reader = threading.Thread(target=lambda responses=responses, found=found: found.put(next(responses)), daemon=True)
        reader.start()
        produced = time.monotonic()
        api.produce("waits", [b"here"], partition=partition)
        parts = found.get(timeout=10).partitions
        assert [(part.partition, len(part.records)) for part in parts] == [(partition, 1)]
        assert time.monotonic() - produced < 5
        responses.cancel()


def test_a_wait_for_nothing_is_as_long_as_was_asked_for(shared, apis):
    make(shared, "nothing")
    api = apis(shared.running[0])
    asked = [pb.FetchPartition(topic="nothing", partition=n) for n in range(PARTITIONS)]
    began = time.monotonic()
    next(api.fetch(*asked, max_wait_ms=1_000))
    assert 0.9 < time.monotonic() - began < 3


def test_records_are_deleted_and_topics_described_through_any_broker(shared, apis):
    make(shared, "described")
    for turn, member in enumerate(shared.running):
        api = apis(member)
        for partition in range(PARTITIONS):
            api.produce("described", [b"x" * 100] * 10, partition=partition)
            asked = pb.DeleteRecordsRequest(topic="described", partition=partition, before_offset=10 * turn + 3)
            assert api.topics.DeleteRecords(asked).log_start_offset == 10 * turn + 3
        described = api.topics.DescribeTopic(pb.DescribeTopicRequest(topic="described")).partitions
        assert {(each.log_start_offset, each.high_watermark) for each in described} == {(10 * turn + 3, 10 * turn + 10)}
        assert all(each.size_bytes > 0 for each in described)


def test_configs_of_a_broker_are_read_and_set_through_any_other(shared, apis):
    for asked, member in itertools.product(shared.running, shared.running):
        api = apis(asked)
        resource = pb.ConfigResource(broker=member.id)
        value = f"{10_000_000 + 10 * asked.id + member.id}"
        api.configs.AlterConfigs(pb.AlterConfigsRequest(resource=resource, set={"message.max.bytes": value}))

        def described(resource=resource, api=api) -> dict[str, str]:
            answer = api.configs.DescribeConfigs(pb.DescribeConfigsRequest(resource=resource))
            return {config.name: config.value for config in answer.configs}

        assert described()["node.id"] == str(member.id)
        assert described()["message.max.bytes"] == value
    nobody = pb.DescribeConfigsRequest(resource=pb.ConfigResource(broker=77))
    assert refusal(lambda: api.configs.DescribeConfigs(nobody))[0] == grpc.StatusCode.NOT_FOUND


def test_the_cluster_and_its_quorum_are_described_alike_by_all(shared, apis):
    make(shared, "sizes", replicas=1)
    apis(shared.running[0]).produce("sizes", [pb.Record(key=b"%d" % n, value=b"x" * 1000) for n in range(60)])
    leader = shared.wait_quorum_leader()
    for member in shared.running:
        api = apis(member)
        cluster = api.cluster.DescribeCluster(pb.DescribeClusterRequest())
        assert {each.broker for each in cluster.brokers} == {1, 2, 3}
        assert all(each.size_bytes > 10_000 and each.disk_total_bytes > each.disk_free_bytes > 0 for each in cluster.brokers)
        quorum = api.cluster.DescribeQuorum(pb.DescribeQuorumRequest())
        assert quorum.leader == leader.id
        assert {each.broker for each in quorum.voters if each.log_end_offset > 0} == {1, 2, 3}


def test_groups_are_served_through_any_broker(shared, apis):
    """Their offsets are set, described, listed, deleted; none is coordinated by the broker that is asked alone."""
    make(shared, "offsets")
    connections = [apis(member) for member in shared.running]
    connections[0].produce("offsets", [b"x"] * 10, partition=0)
    for group, api in zip(GROUPS, itertools.cycle(connections), strict=False):
        reset = pb.ResetOffsetsRequest(group=group, topics=["offsets"], position=pb.POSITION_LATEST)
        offsets = api.groups.ResetOffsets(reset).offsets
        assert len(offsets) == PARTITIONS and not any(each.HasField("error") for each in offsets)
    for api in connections:
        listed = {each.group for each in api.groups.ListGroups(pb.ListGroupsRequest()).groups}
        assert listed >= set(GROUPS)
        for group in GROUPS:
            partitions = api.groups.DescribeGroup(pb.DescribeGroupRequest(group=group)).partitions
            assert {each.partition: each.committed_offset for each in partitions}[0] == 10
    for group, api in zip(GROUPS, itertools.cycle(reversed(connections)), strict=False):
        deleted = api.groups.DeleteOffsets(pb.DeleteOffsetsRequest(group=group, topics=["offsets"])).partitions
        assert len(deleted) == PARTITIONS
        unknown = refusal(lambda api=api: api.groups.DescribeGroup(pb.DescribeGroupRequest(group="no-such-group")))
        assert unknown == (grpc.StatusCode.NOT_FOUND, "GROUP_ID_NOT_FOUND")
    for group, api in zip(GROUPS, connections * len(GROUPS), strict=False):
        api.groups.ResetOffsets(pb.ResetOffsetsRequest(group=group, topics=["offsets"], offset=5))
        api.groups.DeleteGroup(pb.DeleteGroupRequest(group=group))
    for api in connections:
        assert not {each.group for each in api.groups.ListGroups(pb.ListGroupsRequest()).groups} & set(GROUPS)


def test_members_on_three_brokers_share_the_partitions(shared, apis):
    """One group, one member on each broker: every record comes to one of them, and commits are the group's."""
    make(shared, "shares")
    members = [Member(broker, "sharers", "shares") for broker in shared.running]
    try:
        each = PARTITIONS // len(members)
        for member in members:
            member.joined(each)
        assert len(set.union(*(member.partitions for member in members))) == PARTITIONS
        values = [b"%d" % n for n in range(300)]
        apis(shared.running[0]).produce("shares", [pb.Record(key=value, value=value) for value in values])
        members[0].wait("all records", lambda: sum(len(member.records) for member in members) >= len(values))
        assert sorted(value for member in members for value in member.values) == sorted(values)
        for member in members:
            member.commit_all()
        for member in shared.running:
            described = apis(member).groups.DescribeGroup(pb.DescribeGroupRequest(group="sharers"))
            assert len(described.members) == len(members)
            assert sum(each.committed_offset for each in described.partitions) == len(values)
            assert {each.host for each in described.members} == {"127.0.0.1"}
        members[0].leave()
        members[1].wait("the rest has all", lambda: len(members[1].partitions | members[2].partitions) == PARTITIONS)
    finally:
        for member in members:
            member.vanish()


# Brokers that die.


def numbers(api: Api, topic: str) -> list[int]:
    """The numbers that are stored, in their order."""
    return [int(record.value) for record in api.read(topic)]


@pytest.mark.parametrize("how", ["killed", "stopped", "frozen"])
def test_a_leader_that_goes_is_a_pause_for_an_idempotent_stream(cluster, apis, how):
    """Nothing is lost, nothing is there twice, and the order is kept; the producer sees no error."""
    make(cluster, "paused", partitions=1)
    leader = leader_of(cluster, "paused")
    api = apis(another(cluster, leader))
    stream = Stream(api, "paused", producer_ids(api), under_way=20)
    stream.wait_for_more(300)
    match how:
        case "killed":
            leader.kill()
        case "stopped":
            leader.stop()
        case "frozen":
            leader.process.send_signal(signal.SIGSTOP)
    stream.wait_for_more(300)
    if how == "frozen":
        leader.process.send_signal(signal.SIGCONT)
    else:
        cluster.start(leader.id)
    stream.wait_for_more(300)
    offsets = stream.end()
    assert stream.errors == []
    assert offsets == list(range(len(offsets))), "each record has the offset of its number"
    assert numbers(api, "paused") == list(range(len(offsets)))
    assert stream.longest_gap_s < PAUSE_S


def test_leaders_that_go_one_after_the_other_are_pauses_for_streams_to_all_partitions(cluster, apis):
    make(cluster, "rolling", partitions=3)
    api = apis(cluster[1])
    streams = [Stream(api, "rolling", producer_ids(api), partition=partition) for partition in range(3)]
    for victim in (2, 3):
        for stream in streams:
            stream.wait_for_more(100)
        cluster[victim].kill()
        for stream in streams:
            stream.wait_for_more(100)
        cluster.start(victim)
        in_sync = lambda topics: all(len(each.in_sync) == 3 for each in topics["rolling"].values())  # noqa: E731
        cluster.wait_agreed("all are in sync again", in_sync)
    for partition, stream in enumerate(streams):
        offsets = stream.end()
        assert stream.errors == []
        found = api.fetch(pb.FetchPartition(topic="rolling", partition=partition), until_end=True)
        values = [int(record.value) for response in found for part in response.partitions for record in part.records]
        assert offsets == values == list(range(len(offsets)))


def test_without_sequences_a_lost_leader_is_an_error_that_may_be_tried_again(cluster, apis):
    """What was acknowledged is there, whatever else is; and what was refused says that it may be."""
    make(cluster, "unsure", partitions=1)
    leader = leader_of(cluster, "unsure")
    api = apis(another(cluster, leader))
    stream = Stream(api, "unsure", None)
    stream.wait_for_more(200)
    leader.kill()
    stream.wait_for_more(200)
    stream.end()
    assert all(error.retriable for error in stream.errors), stream.errors
    stored = numbers(api, "unsure")
    assert len(stream.offsets) <= len(stored) <= stream.sent
    assert all(offset < len(stored) for offset in stream.offsets)


def test_a_leader_that_dies_is_a_pause_for_readers(cluster, apis):
    """A fetch and a member of a group go on behind it, each with every record once; so does the coordinator."""
    make(cluster, "read", partitions=3)
    through = cluster[1]
    api = apis(through)
    seen: dict[int, list[int]] = {partition: [] for partition in range(3)}
    problems: list[object] = []
    asked = [pb.FetchPartition(topic="read", partition=partition) for partition in range(3)]
    responses = api.fetch(*asked, max_wait_ms=200)

    def read() -> None:
        try:
            for response in responses:
                for part in response.partitions:
                    if part.HasField("error"):
                        problems.append(part.error)
                    seen[part.partition] += [of_proto(part.partition, record).offset for record in part.records]
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.CANCELLED:
                problems.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    member = Member(through, "readers", "read")
    streams = [Stream(api, "read", producer_ids(api), partition=partition) for partition in range(3)]
    try:
        member.joined(3)
        for victim in (2, 3):
            for stream in streams:
                stream.wait_for_more(50)
            cluster[victim].kill()
            for stream in streams:
                stream.wait_for_more(50)
            member.commit_all()
            cluster.start(victim)
            in_sync = lambda topics: all(len(each.in_sync) == 3 for each in topics["read"].values())  # noqa: E731
            cluster.wait_agreed("all are in sync again", in_sync)
        counts = [len(stream.end()) for stream in streams]
        wait_for("the fetch has all", lambda: bool(problems) or [len(seen[n]) for n in range(3)] == counts)
        assert problems == []
        assert [stream.errors for stream in streams] == [[], [], []]
        for n in range(3):
            assert seen[n] == list(range(counts[n])), f"partition {n}"
        member.read(sum(counts))
        assert len(member.assignments) == 1, "the group went on"
        for n in range(3):
            assert [record.offset for _, record in member.records if record.partition == n] == list(range(counts[n]))
        member.commit_all()
        described = api.groups.DescribeGroup(pb.DescribeGroupRequest(group="readers"))
        assert sum(each.committed_offset for each in described.partitions) == sum(counts)
    finally:
        responses.cancel()
        reader.join(TIMEOUT_S)
        member.vanish()
        for stream in streams:
            stream.halt.set()


def test_what_only_a_dead_broker_knows_is_unavailable(cluster, apis):
    make(cluster, "dead", replicas=1, partitions=3)
    victim = another(cluster, cluster.wait_quorum_leader())
    partition = next(n for n, each in cluster.agreed()["dead"].items() if each.leader == victim.id)
    api = apis(another(cluster, victim))
    victim.kill()
    configs = pb.DescribeConfigsRequest(resource=pb.ConfigResource(broker=victim.id))
    assert refusal(lambda: api.configs.DescribeConfigs(configs))[0] == grpc.StatusCode.UNAVAILABLE
    with pytest.raises(grpc.RpcError) as failed:
        api.produce("dead", [b"x"], partition=partition, timeout_ms=1_000)
    assert explained(failed.value)[0] == grpc.StatusCode.UNAVAILABLE
    described = {each.partition: each for each in api.topics.DescribeTopic(pb.DescribeTopicRequest(topic="dead")).partitions}
    others = [each.high_watermark for n, each in described.items() if n != partition]
    assert others == [0, 0]
    cluster.start(victim.id)
    wait_for("it leads again", lambda: cluster.agreed()["dead"][partition].leader == victim.id)
    api.produce("dead", [b"x"], partition=partition)
