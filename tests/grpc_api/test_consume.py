"""Members of consumer groups that speak gRPC: alone, with others, and together with Kafka's clients."""

import threading
import time

import grpc
import pytest

from features import simple as kafka
from grpc_api.api import explained, records_of
from grpc_api.member import Member
from harness.connection import Connection
from harness.protos import pb

COUNT = 100
PARTITIONS = 6


def numbers(first: int, count: int) -> list[bytes]:
    """Running numbers as values."""
    return [b"%d" % number for number in range(first, first + count)]


def spread(api, topic: str, first: int, count: int, partitions: int = PARTITIONS) -> None:
    """Produces running numbers, in turn to all partitions."""
    values = numbers(first, count)
    for partition in range(partitions):
        api.produce(topic, values[partition::partitions], partition)


@pytest.fixture
def filled(api, topic) -> str:
    """A topic of one partition with the numbers from 0."""
    api.create(topic)
    api.produce(topic, numbers(0, COUNT))
    return topic


@pytest.fixture
def wide(api, topic) -> str:
    """A topic of several partitions with the numbers from 0 in turn."""
    api.create(topic, PARTITIONS)
    spread(api, topic, 0, COUNT)
    return topic


class KafkaMember:
    """A member that speaks Kafka's protocol, polled by a thread of its own; commits what it read when it loses it."""

    def __init__(self, broker, group: str, topic: str, **config):
        self.values: list[bytes] = []
        self.partitions: set[int] = set()
        self._client = kafka.consumer(broker, group=group, **config)
        self._client.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def _assigned(self, _, partitions) -> None:
        self.partitions = {place.partition for place in partitions}

    def _revoked(self, client, partitions) -> None:
        self.partitions = set()
        if self.values:
            client.commit(asynchronous=False)

    def _poll(self) -> None:
        while not self._stop.is_set():
            message = self._client.poll(0.1)
            if message is not None and not message.error():
                self.values.append(message.value())
        self._client.close()

    def leave(self) -> None:
        """Commits what was read, and leaves."""
        self._stop.set()
        self._thread.join(kafka.TIMEOUT_S)


@pytest.fixture
def join_kafka(broker):
    """Makes members that speak Kafka's protocol, and ends them after the test."""
    members: list[KafkaMember] = []

    def make(group: str, topic: str, **config) -> KafkaMember:
        members.append(KafkaMember(broker, group, topic, **config))
        return members[-1]

    yield make
    for member in members:
        member.leave()


def committed(api, group: str) -> dict[int, int]:
    """What the group has committed, by partition."""
    found = api.groups.DescribeGroup(pb.DescribeGroupRequest(group=group)).partitions
    return {each.partition: each.committed_offset for each in found if each.HasField("committed_offset")}


def state(api, group: str) -> str:
    """The state of a group."""
    return api.groups.DescribeGroup(pb.DescribeGroupRequest(group=group)).group.state


# One member.


def test_a_member_reads_commits_and_goes_on_behind_that(api, filled, group, join):
    """Records arrive in order; whoever comes after gets exactly those behind the commit."""
    member = join(group, filled).joined(1)
    (place,) = member.assignments[0].partitions
    assert (place.topic, place.partition, place.offset) == (filled, 0, 0)
    assert member.assignments[0].member_id and member.assignments[0].generation >= 1
    assert member.read(COUNT) == numbers(0, COUNT)
    answer = member.commit(pb.CommittedOffset(topic=filled, partition=0, offset=42, metadata="säge ✓"))
    assert not answer.failures and not answer.HasField("error")
    member.leave()
    assert state(api, group) == "Empty"

    again = join(group, filled).joined(1)
    assert again.assignments[0].partitions[0].offset == 42
    assert again.read(COUNT - 42) == numbers(42, COUNT - 42)
    again.commit_all()
    again.leave()
    api.produce(filled, [b"more"])
    third = join(group, filled)
    assert third.read(1) == [b"more"]


def test_records_tell_where_they_are(api, filled, group, join):
    """Each message of records says where reading goes on and where the partition ends."""
    member = join(group, filled)
    member.read(COUNT)
    for batch in member.batches:
        assert batch.next_offset == batch.records[-1].offset + 1
        assert (batch.high_watermark, batch.log_start_offset, batch.HasField("error")) == (COUNT, 0, False)


def test_without_a_commit_everything_comes_again(filled, group, join):
    """A member that leaves without a commit leaves nothing behind."""
    first = join(group, filled)
    first.read(COUNT)
    first.leave()
    assert join(group, filled).read(COUNT) == numbers(0, COUNT)


@pytest.mark.parametrize("start", [pb.POSITION_UNSPECIFIED, pb.POSITION_LATEST])
def test_without_a_start_a_new_group_begins_at_the_end(api, filled, group, join, start):
    """Only what comes after is read."""
    member = join(group, filled, start=start).joined(1)
    assert member.assignments[0].partitions[0].offset == COUNT
    api.produce(filled, [b"new"])
    assert member.read(1) == [b"new"]


def test_a_commit_that_is_gone_leads_to_the_start(api, filled, group, join):
    """A group whose committed offset was deleted goes on where the member says that reading begins."""
    first = join(group, filled)
    first.read(COUNT)
    first.commit(pb.CommittedOffset(topic=filled, partition=0, offset=10))
    first.leave()
    api.topics.DeleteRecords(pb.DeleteRecordsRequest(topic=filled, partition=0, before_offset=50))
    assert join(group, filled).read(50) == numbers(50, 50)


def test_refused_commits_say_why(filled, group, join):
    """An offset of a partition that is not there is refused by itself; the others are noted."""
    member = join(group, filled).joined(1)
    wrong = pb.CommittedOffset(topic="no-such-topic", partition=0, offset=1)
    answer = member.commit(pb.CommittedOffset(topic=filled, partition=0, offset=3), wrong)
    (failure,) = answer.failures
    assert (failure.topic, failure.partition) == ("no-such-topic", 0)
    assert failure.error.reason == "UNKNOWN_TOPIC_OR_PARTITION" and failure.error.message
    too_long = pb.CommittedOffset(topic=filled, partition=0, offset=4, metadata="x" * 5000)
    (failure,) = member.commit(too_long).failures
    assert failure.error.reason == "OFFSET_METADATA_TOO_LARGE"
    assert committed(member.api, group) == {0: 3}


def test_pause_and_resume(api, wide, group, join):
    """A paused partition stays with the member and is silent; resumed, it goes on where it was."""
    member = join(group, wide)
    member.read(COUNT)
    part = pb.TopicPartition(topic=wide, partition=2)
    (place,) = member.pause(part).partitions
    assert (place.topic, place.partition, place.offset) == (wide, 2, len(numbers(0, COUNT)[2::PARTITIONS]))
    spread(api, wide, COUNT, COUNT)
    in_others = {value for place in (0, 1, 3, 4, 5) for value in numbers(COUNT, COUNT)[place::PARTITIONS]}
    paused = numbers(COUNT, COUNT)[2::PARTITIONS]
    member.wait("the other partitions go on", lambda: in_others <= set(member.values))
    member.stays("a paused partition goes on", lambda: set(paused) & set(member.values), 1)
    assert list(member.resume(part, pb.TopicPartition(topic="no-such-topic")).partitions) == [place]
    member.wait("the paused partition goes on", lambda: set(paused) <= set(member.values))
    assert sorted(member.values, key=int) == numbers(0, 2 * COUNT)
    assert len(member.partitions) == PARTITIONS

    assert len(member.pause().partitions) == PARTITIONS
    spread(api, wide, 2 * COUNT, COUNT)
    member.stays("a paused member goes on", lambda: len(member.values) > 2 * COUNT, 1)
    member.resume()
    assert sorted(member.read(3 * COUNT), key=int) == numbers(0, 3 * COUNT)


def test_seek(api, filled, group, join):
    """Reading goes on at an offset, a time or an end, and what is committed then is behind that."""
    base = int(time.time() * 1000) - 3_600_000
    timed = [pb.Record(value=b"at %d" % index, timestamp_ms=base + index * 1000) for index in range(10)]
    api.produce(filled, timed)
    total = COUNT + len(timed)
    member = join(group, filled)
    member.read(total)
    place = {"topic": filled, "partition": 0}
    assert member.seek(**place, offset=90).partitions[0].offset == 90
    assert member.read(total + 20)[total:] == numbers(90, 10) + [record.value for record in timed]
    assert member.seek(**place, timestamp_ms=base + 6500).partitions[0].offset == 0
    # The first hundred are younger, but the search is by place in the log: it finds the first that is not older.
    found = member.read(total + 21)[total + 20]
    assert found == b"0", "the first record that is not older is the first of all"
    member.read(total + 20 + total)
    seen = len(member.values)
    member.send(seek=pb.Seek(**place, position=pb.POSITION_EARLIEST))
    assert member.read(seen + total)[seen:] == numbers(0, COUNT) + [record.value for record in timed]
    member.pause()
    api.produce(filled, [b"skipped"])
    assert member.seek(**place, position=pb.POSITION_LATEST).partitions[0].offset == total + 1
    member.resume()
    # What is committed is where the seek went, and not only where records were.
    member.commit_all()
    api.produce(filled, [b"last"])
    assert member.read(seen + total + 1)[-1] == b"last"
    assert b"skipped" not in member.values
    assert committed(api, group) == {0: total + 1}


@pytest.fixture
def batches(api, topic) -> str:
    """A topic of one partition with the numbers from 0 in batches of ten, which come one in each response."""
    api.create(topic)
    for first in range(0, COUNT, 10):
        api.produce(topic, numbers(first, 10))
    return topic


def test_a_commit_through_a_response_notes_what_came_up_to_it(batches, group, join):
    """What was sent later is not noted, though it is here; and no commit goes back behind an earlier one."""
    member = join(group, batches, max_bytes=1)
    member.read(COUNT)
    first = next(response.sequence for response in member.responses if response.HasField("records"))
    for index in (0, 3, 7):
        member.commit_all(through=first + index)
        assert committed(member.api, group) == {0: (index + 1) * 10}
    member.commit_all(through=first)
    assert committed(member.api, group) == {0: 80}
    member.leave()
    assert join(group, batches).read(20) == numbers(80, 20)


def test_a_commit_through_the_assignment_notes_where_reading_begins(api, filled, group, join):
    """A group that begins at the end misses nothing that comes before its first commit of a record."""
    member = join(group, filled, start=pb.POSITION_LATEST).joined(1)
    member.commit_all(through=1)
    member.leave()
    api.produce(filled, [b"meanwhile"])
    assert join(group, filled, start=pb.POSITION_LATEST).read(1) == [b"meanwhile"]


def test_commits_that_make_no_sense_note_nothing(filled, group, join):
    """Without offsets and response, with both, or through a response that has not come; the stream goes on."""
    member = join(group, filled)
    member.read(COUNT)
    place = pb.CommittedOffset(topic=filled, partition=0, offset=1)
    for answer in (member.commit(), member.commit(place, through=1), member.commit(through=1_000_000)):
        assert answer.error.reason == "INVALID_REQUEST" and not answer.error.retriable
    assert committed(member.api, group) == {}
    member.commit_all()
    assert committed(member.api, group) == {0: COUNT}


def test_nothing_is_committed_through_a_response_of_an_earlier_assignment(wide, group, join):
    """The partitions of that time are given back: others may have gone on."""
    first = join(group, wide).joined(PARTITIONS)
    first.read(COUNT)
    before = len(first.responses)
    second = join(group, wide).joined(PARTITIONS // 2)
    first.wait("the first has its part", lambda: len(first.partitions) == PARTITIONS // 2)
    assert first.commit(through=before).error.reason == "REBALANCE_IN_PROGRESS"
    assert committed(second.api, group) == {}


def test_what_was_read_before_a_seek_comes_before_its_answer(batches, group, join):
    """Behind the answer there are only records from the new place on; before it, none of them."""
    member = join(group, batches, max_bytes=1)
    for turn in range(1, 6):
        member.wait("records come", lambda turn=turn: len(member.records) >= turn * 30)
        member.seek(topic=batches, partition=0, offset=0)
    is_last = lambda response: response.records.next_offset == COUNT  # noqa: E731
    member.wait("all is read once more", lambda: is_last(member.responses[-1]))
    expected = 0
    for response in member.responses:
        match response.WhichOneof("event"):
            case "positioned":
                (place,) = response.positioned.partitions
                assert place.offset == 0
                expected = 0
            case "records":
                assert response.records.records[0].offset == expected
                expected = response.records.next_offset
    assert expected == COUNT


def test_a_seek_of_a_partition_that_the_member_does_not_have(filled, group, join):
    """It is answered, with no partition: it may just have gone to another member."""
    member = join(group, filled).joined(1)
    answer = member.seek(topic=filled, partition=7, offset=0)
    assert not answer.partitions and not answer.HasField("error")


def test_credit(filled, group, join):
    """Never more records come than were allowed; what was not allowed comes later, and none is lost."""
    member = join(group, filled, credit_records=7).joined(1)
    member.read(7)
    member.stays("more came than was allowed", lambda: len(member.records) > 7, 1)
    member.commit_all()
    assert committed(member.api, group) == {0: 7}
    for allowed in range(8, 30, 5):
        member.send(credit=pb.Credit(records=5))
        member.read(allowed + 4)
        member.stays("more came than was allowed", lambda allowed=allowed: len(member.records) > allowed + 4, 0.2)
    member.send(credit=pb.Credit(records=1000))
    assert member.read(COUNT) == numbers(0, COUNT)


def test_no_credit_at_all(filled, group, join):
    """A member that allows nothing gets its partitions, and no record until it allows one."""
    member = join(group, filled, credit_records=0).joined(1)
    member.stays("a record came", lambda: member.records, 1)
    member.send(credit=pb.Credit(records=1))
    assert member.read(1) == [b"0"]


def test_responses_are_bounded(api, topic, group, join):
    """`max_bytes` bounds a message of records, batch by batch."""
    api.create(topic)
    for number in range(20):
        api.produce(topic, [b"%02d" % number * 5000])
    member = join(group, topic, max_bytes=25_000)
    member.read(20)
    assert max(batch.ByteSize() for batch in member.batches) < 40_000
    assert len(member.batches) > 5


def test_one_large_partition_does_not_keep_the_others_waiting(api, topic, group, join):
    """With little room in a message, all partitions get their turn."""
    api.create(topic, 2)
    for _ in range(50):
        api.produce(topic, [b"x" * 10_000], partition=0)
    api.produce(topic, [b"other"], partition=1)
    member = join(group, topic, max_bytes=10_000)
    member.read(51)
    assert member.values.index(b"other") < 10, "partition 1 waits until partition 0 has been read"


# Several members.


def test_two_members_share_the_partitions(api, wide, group, join):
    """Who is there gives back, commits, releases, and gets its part; every record is read once."""
    first = join(group, wide, commits=True).joined(PARTITIONS)
    first.read(COUNT)
    second = join(group, wide, commits=True).joined(PARTITIONS // 2)
    first.wait("the first has its part", lambda: len(first.partitions) == PARTITIONS // 2)
    (revoked,) = first.revocations
    assert not revoked.lost and len(revoked.partitions) == PARTITIONS
    assert first.partitions | second.partitions == {(wide, number) for number in range(PARTITIONS)}
    assert first.assignments[-1].generation == second.assignments[-1].generation > first.assignments[0].generation
    spread(api, wide, COUNT, COUNT)
    first.wait("all records came", lambda: len(first.records) + len(second.records) >= 2 * COUNT)
    assert sorted(first.values + second.values, key=int) == numbers(0, 2 * COUNT)

    first.commit_all()
    first.leave()
    second.wait("the second has all", lambda: len(second.partitions) == PARTITIONS)
    spread(api, wide, 2 * COUNT, COUNT)
    second.wait("all records came", lambda: len(first.records) + len(second.records) >= 3 * COUNT)
    assert sorted(first.values + second.values, key=int) == numbers(0, 3 * COUNT)


def test_what_is_revoked_can_be_committed_until_it_is_released(api, wide, group, join):
    """The others wait for a member that takes its time before it releases, and go on behind what it commits."""
    first = join(group, wide, releases=False).joined(PARTITIONS)
    first.read(COUNT)
    second = join(group, wide)
    first.wait("the partitions are revoked", lambda: first.revocations)
    second.stays("partitions are there before they are released", lambda: second.assignments, 1)
    first.commit_all()
    first.send(release=pb.Release())
    first.wait("the first has its part", lambda: len(first.assignments) == 2)
    second.joined(PARTITIONS // 2)
    assert {place.offset for place in second.assignments[0].partitions} <= {COUNT // PARTITIONS, COUNT // PARTITIONS + 1}
    assert not second.records
    assert len(first.records) == COUNT


def test_who_does_not_release_is_not_waited_for_for_ever(wide, group, join):
    """Half the rebalance timeout after `revoked`, the group goes on."""
    first = join(group, wide, releases=False, rebalance_timeout_ms=4_000).joined(PARTITIONS)
    started = time.monotonic()
    second = join(group, wide, rebalance_timeout_ms=4_000).joined(PARTITIONS // 2)
    assert time.monotonic() - started > 1.5, "the second did not wait at all"
    first.wait("the first has its part", lambda: len(first.assignments) == 2)
    assert len(second.partitions) == PARTITIONS // 2


def test_a_member_that_vanishes_is_replaced_after_its_session_timeout(broker, api, wide, group, join):
    """Its connection is closed without `leave`: its partitions go to the others, not before the timeout is over."""
    first = join(group, wide, session_timeout_ms=6_000)
    first.read(COUNT)
    first.commit_all()
    left = time.monotonic()
    first.vanish()
    second = join(group, wide).joined(PARTITIONS)
    waited = time.monotonic() - left
    assert 4 < waited < 45, f"the partitions were free after {waited:.1f} s"
    spread(api, wide, COUNT, 10)
    assert sorted(second.read(10), key=int) == numbers(COUNT, 10)


def test_a_member_that_is_removed_hears_of_it_and_joins_again(broker, api, filled, group, join):
    """An administrator of Kafka's removes it: its partitions are lost, nothing can be committed, and it starts anew."""
    member = join(group, filled, releases=False).joined(1)
    member.read(COUNT)
    member.commit(pb.CommittedOffset(topic=filled, partition=0, offset=30))
    first = member.assignments[0].member_id
    with Connection(broker.bootstrap) as connection:
        answer = connection.ask("LeaveGroup", 5, {"GroupId": group, "Members": [{"MemberId": first}]})
    assert answer["ErrorCode"] == answer["Members"][0]["ErrorCode"] == 0
    member.wait("the partitions are revoked", lambda: member.revocations)
    assert member.revocations[0].lost
    member.wait("the member has joined again", lambda: len(member.assignments) == 2)
    assert member.assignments[1].member_id != first
    assert member.assignments[1].partitions[0].offset == 30
    assert member.read(2 * COUNT - 30)[COUNT:] == numbers(30, COUNT - 30)


def test_a_static_member_keeps_its_partitions(api, wide, group, join):
    """One that comes back under its instance id within the session timeout gets them again without a rebalance."""
    static = join(group, wide, instance_id="one", session_timeout_ms=30_000).joined(PARTITIONS)
    other = join(group, wide, instance_id="two", session_timeout_ms=30_000).joined(PARTITIONS // 2)
    static.wait("the group is shared", lambda: len(static.partitions) == PARTITIONS // 2)
    mine, rebalances = static.partitions, len(other.assignments)
    static.vanish()
    started = time.monotonic()
    again = join(group, wide, instance_id="one", session_timeout_ms=30_000).joined(PARTITIONS // 2)
    assert time.monotonic() - started < 25, "the static member had to wait for its own session timeout"
    assert again.partitions == mine
    assert len(other.assignments) == rebalances and not other.revocations
    members = api.groups.DescribeGroup(pb.DescribeGroupRequest(group=group)).members
    assert sorted(member.instance_id for member in members) == ["one", "two"]


def test_the_second_of_two_static_members_with_one_name_fences_the_first(wide, group, join):
    """The first one's stream ends with an error that says so."""
    first = join(group, wide, instance_id="one").joined(PARTITIONS)
    second = join(group, wide, instance_id="one").joined(PARTITIONS)
    assert explained(first.end()) == (grpc.StatusCode.FAILED_PRECONDITION, "FENCED_INSTANCE_ID")
    assert len(second.partitions) == PARTITIONS


# What is read, and when it changes.


def test_a_pattern_takes_in_new_topics(api, topic, group, join):
    """Topics whose whole name matches are read, those that come later too; others are not."""
    api.create(f"{topic}-a")
    api.create(f"x-{topic}-a")
    for name in (f"{topic}-a", f"x-{topic}-a"):
        api.produce(name, [name.encode()])
    member = join(group, pattern=f"{topic}-[a-z]")
    assert member.read(1) == [f"{topic}-a".encode()]
    api.create(f"{topic}-b")
    api.produce(f"{topic}-b", [f"{topic}-b".encode()])
    # What was not committed before the rebalance comes again.
    member.wait("the new topic is read", lambda: f"{topic}-b".encode() in member.values)
    assert {name for name, _ in member.records} == {f"{topic}-a", f"{topic}-b"}


def test_new_topics_and_partitions(api, topic, group, join):
    """A topic that comes to be after the subscription is read, and so are partitions that it gets."""
    member = join(group, topic, commits=True)
    member.wait("the member has joined", lambda: member.assignments)
    assert not member.assignments[0].partitions
    api.create(topic)
    api.produce(topic, numbers(0, 10))
    assert member.read(10) == numbers(0, 10)
    api.topics.AlterTopic(pb.AlterTopicRequest(topic=topic, partitions=3))
    member.wait("the member has the new partitions", lambda: len(member.partitions) == 3)
    api.produce(topic, numbers(10, 10), partition=2)
    assert member.read(20) == numbers(0, 20)


def test_a_broker_restart_in_between(broker, api, filled, group, join):
    """A stop ends the stream with UNAVAILABLE; a member that subscribes again goes on behind the commit."""
    first = join(group, filled)
    first.read(COUNT)
    first.commit(pb.CommittedOffset(topic=filled, partition=0, offset=60))
    broker.restart()
    assert first.end().code() == grpc.StatusCode.UNAVAILABLE
    second = join(group, filled)
    assert second.read(40) == numbers(60, 40)
    second.commit_all()
    second.leave()
    api.produce(filled, [b"more"])
    assert join(group, filled).read(1) == [b"more"]


def test_bad_commands_end_the_stream(broker, filled, group, join):
    """Each with a code, a reason and a sentence."""
    invalid = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert explained(join(group).end()) == invalid
    assert explained(join(group, pattern="(").end()) == invalid
    assert explained(join("", filled).end()) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_GROUP_ID")
    too_short = join(group, filled, session_timeout_ms=1).end()
    assert explained(too_short) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_SESSION_TIMEOUT")
    commands = [{"subscribe": pb.Subscribe(group=group, topics=[filled])}, {}, {"seek": pb.Seek(topic=filled)}]
    for index, command in enumerate(commands):
        member = join(f"{group}-{index}", filled).joined()
        member.send(**command)
        assert explained(member.end()) == invalid, command


def test_whose_stream_the_broker_ends_is_gone(filled, group, join):
    """A member whose stream ended with an error has left: the next one need not wait for its session timeout."""
    member = join(group, filled, session_timeout_ms=30_000).joined(1)
    member.send(seek=pb.Seek(topic=filled))
    assert member.end().code() == grpc.StatusCode.INVALID_ARGUMENT
    started = time.monotonic()
    join(group, filled).joined(1)
    assert time.monotonic() - started < 20, "the group waited for a member that the broker itself has sent away"


def test_the_first_command_must_be_subscribe(api):
    """Anything else is refused."""
    with pytest.raises(grpc.RpcError) as refused:
        list(api.consumer.Consume(iter([pb.ConsumeRequest(leave=pb.Leave())])))
    assert explained(refused.value) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


# Together with Kafka's clients.


def test_a_group_moves_from_kafka_to_grpc_and_back(broker, api, wide, group, join):
    """No committed record comes again, and none is lost, whichever protocol the next member speaks."""
    read: list[bytes] = []
    produced = COUNT
    for turn in range(4):
        if turn % 2 == 0:
            client = kafka.consumer(broker, group=group)
            client.subscribe([wide])
            part = [message.value() for message in kafka.read(client, 40)]
            client.commit(asynchronous=False)
            client.close()
        else:
            member = join(group, wide, credit_records=40)
            part = member.read(40)
            member.stays("more came than was allowed", lambda m=member: len(m.values) > 40, 0.1)
            member.commit_all()
            member.leave()
        assert not set(part) & set(read), "a committed record came again"
        read += part
        spread(api, wide, produced, 30)
        produced += 30
    last = join(group, wide)
    read += last.read(produced - len(read))
    last.commit_all()
    assert sorted(read, key=int) == numbers(0, produced)
    assert committed(api, group) == api.ends(wide)


def test_kafka_and_grpc_members_in_one_group(api, wide, group, join, join_kafka):
    """Both at once share the partitions, whoever came first and leads; every record is read once."""
    theirs = join_kafka(group, wide)
    kafka.wait_until("the Kafka member has read all", lambda: len(theirs.values) >= COUNT)
    ours = join(group, wide, commits=True).joined(PARTITIONS // 2)
    kafka.wait_until("the Kafka member has its part", lambda: len(theirs.partitions) == PARTITIONS // 2)
    spread(api, wide, COUNT, COUNT)
    ours.wait("all records came", lambda: len(ours.values) + len(theirs.values) >= 2 * COUNT)
    assert sorted(ours.values + theirs.values, key=int) == numbers(0, 2 * COUNT)
    assert {number for _, number in ours.partitions} | theirs.partitions == set(range(PARTITIONS))
    description = api.groups.DescribeGroup(pb.DescribeGroupRequest(group=group))
    assert sorted(len(member.partitions) for member in description.members) == [PARTITIONS // 2] * 2

    theirs.leave()
    ours.wait("the gRPC member has all", lambda: len(ours.partitions) == PARTITIONS)
    spread(api, wide, 2 * COUNT, COUNT)
    ours.wait("all records came", lambda: len(ours.values) + len(theirs.values) >= 3 * COUNT)
    assert sorted(ours.values + theirs.values, key=int) == numbers(0, 3 * COUNT)

    # Now the gRPC member leads, and a Kafka client joins.
    later = join_kafka(group, wide)
    kafka.wait_until("the other Kafka member has its part", lambda: len(later.partitions) == PARTITIONS // 2)
    spread(api, wide, 3 * COUNT, COUNT)
    values = lambda: ours.values + theirs.values + later.values  # noqa: E731
    ours.wait("all records came", lambda: len(values()) >= 4 * COUNT)
    assert sorted(values(), key=int) == numbers(0, 4 * COUNT)


def test_a_cooperative_kafka_member_does_not_fit(broker, filled, group, join):
    """A group whose members only know the cooperative protocol refuses a gRPC member with a reason."""
    theirs = kafka.consumer(broker, group=group, partition_assignment_strategy="cooperative-sticky")
    theirs.subscribe([filled])
    kafka.read(theirs, 1)
    code, reason = explained(join(group, filled).end())
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "INCONSISTENT_GROUP_PROTOCOL")
    theirs.close()


def test_nothing_is_repeated_or_lost_while_members_come_and_go(api, wide, group, join):
    """With a commit before each release, every record is read once while the group changes all the time."""
    members: list[Member] = []
    everyone: list[Member] = []
    produced = COUNT
    for turn in range(8):
        spread(api, wide, produced, COUNT)
        produced += COUNT
        if turn % 3 == 2:
            gone = members.pop(0)
            # The partitions are silent before the last commit, so that it covers all that came.
            gone.pause()
            gone.commit_all()
            gone.leave()
        else:
            members.append(join(group, wide, commits=True))
            everyone.append(members[-1])
            members[-1].joined()
    values = lambda: [value for member in everyone for value in member.values]  # noqa: E731
    kafka.wait_until("all records came", lambda: len(values()) >= produced)
    assert sorted(values(), key=int) == numbers(0, produced)
    ends = records_of(api.fetch(pb.FetchPartition(topic=wide, partition=0), until_end=True))
    assert ends[-1].offset == api.ends(wide)[0] - 1
