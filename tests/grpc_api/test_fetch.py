"""Fetching over gRPC: where it begins and ends, what comes later, and clients that do not read."""

import threading
import time

import grpc
import pytest

from features import simple as kafka
from grpc_api.api import TIMEOUT_S, Api, check_sentence, records_of, refusal
from harness.protos import pb

COUNT = 100
BASE_MS = int(time.time() * 1000) - 3_600_000
NO_SUCH_TOPIC = (grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC_OR_PARTITION")
OUT_OF_RANGE = (grpc.StatusCode.OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE")
INVALID_REQUEST = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")

BIG_BYTES = 200 << 20
BIG_RECORD = 100_000
BIG_REQUEST = 40
MAY_GROW_MIB = 100
"""How much memory eight streams may cost that nobody reads: windows and two responses each; all of it is 1,600 MiB."""


def numbers(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last)]


@pytest.fixture
def filled(api, topic) -> str:
    """A topic of one partition with the numbers from 0, a second apart, ten in each batch."""
    api.create(topic)
    for first in range(0, COUNT, 10):
        batch = [pb.Record(value=b"%d" % n, timestamp_ms=BASE_MS + n * 1000) for n in range(first, first + 10)]
        api.produce(topic, batch, partition=0)
    return topic


def read_from(api, topic: str, **start) -> list[bytes]:
    """The values from a place to the end."""
    stream = api.fetch(pb.FetchPartition(topic=topic, **start), until_end=True)
    return [record.value for record in records_of(stream)]


class Tail:
    """Reads a stream in a thread of its own."""

    def __init__(self, stream):
        self.stream, self.values, self.responses, self.error = stream, [], 0, None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for response in self.stream:
                self.responses += 1
                self.values += [record.value for record in records_of([response])]
        except grpc.RpcError as error:
            self.error = error

    def wait(self, count: int) -> list[bytes]:
        kafka.wait_until(f"{count} records came", lambda: len(self.values) >= count)
        return self.values


# Where it begins and ends.


@pytest.mark.parametrize(
    ("start", "first"),
    [
        ({}, 0),
        ({"position": pb.POSITION_UNSPECIFIED}, 0),
        ({"position": pb.POSITION_EARLIEST}, 0),
        ({"position": pb.POSITION_LATEST}, COUNT),
        ({"offset": 0}, 0),
        ({"offset": 37}, 37),
        ({"offset": COUNT}, COUNT),
        ({"timestamp_ms": 0}, 0),
        ({"timestamp_ms": BASE_MS + 41_500}, 42),
        ({"timestamp_ms": BASE_MS + 42_000}, 42),
        ({"timestamp_ms": BASE_MS + 3_000_000}, COUNT),
    ],
    ids=str,
)
def test_every_start(api, filled, start, first):
    """Reading begins there, in the middle of a batch too, and ends where the partition ended."""
    assert read_from(api, filled, **start) == numbers(first, COUNT)


def test_the_earliest_record_may_not_be_the_first(api, filled):
    """What was deleted is not read; reading begins behind it."""
    api.topics.DeleteRecords(pb.DeleteRecordsRequest(topic=filled, partition=0, before_offset=25))
    assert read_from(api, filled) == read_from(api, filled, offset=25) == numbers(25, COUNT)
    assert refusal(lambda: read_from(api, filled, offset=24)) == OUT_OF_RANGE


def test_places_are_told(api, filled):
    """Each answer says where reading goes on, and where the partition begins and ends."""
    parts = [
        part for each in api.fetch(pb.FetchPartition(topic=filled), until_end=True, max_bytes=1) for part in each.partitions
    ]
    assert len(parts) == COUNT // 10, "one batch at a time"
    for index, part in enumerate(parts):
        assert (part.topic, part.partition) == (filled, 0)
        assert (part.next_offset, part.high_watermark, part.log_start_offset) == (index * 10 + 10, COUNT, 0)
        assert [record.offset for record in part.records] == list(range(index * 10, index * 10 + 10))


def test_until_end_does_not_read_what_comes_later(api, filled):
    """The end is where the partition ended when it was asked for."""
    stream = api.fetch(pb.FetchPartition(topic=filled), until_end=True, max_bytes=1)
    first = next(stream)
    api.produce(filled, numbers(COUNT, 2 * COUNT), partition=0)
    offsets = [record.offset for record in records_of([first, *stream])]
    assert offsets == list(range(COUNT))


def test_an_empty_topic_ends_at_once(api, topic):
    """There is nothing to wait for."""
    api.create(topic, 3)
    assert api.read(topic, 3) == []


def test_several_partitions(api, topic, filled):
    """Partitions of several topics come in one stream, each in its order and from its own start."""
    other = f"{topic}-other"
    api.create(other, 3)
    for partition in range(3):
        api.produce(other, numbers(0, COUNT), partition)
    asked = [pb.FetchPartition(topic=other, partition=partition, offset=10 * partition) for partition in range(3)]
    asked.insert(1, pb.FetchPartition(topic=filled, offset=99))
    found: dict[tuple[str, int], list[bytes]] = {}
    for response in api.fetch(*asked, until_end=True, max_bytes=100):
        for part in response.partitions:
            found.setdefault((part.topic, part.partition), []).extend(record.value for record in part.records)
    wanted = {(other, partition): numbers(10 * partition, COUNT) for partition in range(3)}
    assert found == wanted | {(filled, 0): [b"99"]}


def test_one_large_partition_does_not_keep_the_others_waiting(api, topic):
    """With little room in a response, all partitions get their turn."""
    api.create(topic, 2)
    for _ in range(50):
        api.produce(topic, [b"x" * 10_000], partition=0)
    api.produce(topic, [b"other"], partition=1)
    asked = [pb.FetchPartition(topic=topic, partition=partition) for partition in range(2)]
    for count, response in enumerate(api.fetch(*asked, max_bytes=10_000)):
        if any(part.partition == 1 for part in response.partitions):
            break
        assert count < 10, "partition 1 waits until partition 0 has been read"


# What comes later.


def test_records_that_come_later_arrive(broker, api, topic):
    """A stream goes on with what both protocols produce, and says that it lives in between."""
    api.create(topic, 2)
    asked = [pb.FetchPartition(topic=topic, partition=n, position=pb.POSITION_LATEST) for n in range(2)]
    api.produce(topic, [b"before"], partition=0)
    tail = Tail(api.fetch(*asked, max_wait_ms=100))
    kafka.wait_until("the stream lives", lambda: tail.responses >= 2)
    for turn in range(5):
        api.produce(topic, [b"grpc %d" % turn], partition=turn % 2)
        assert tail.wait(2 * turn + 1)[-1] == b"grpc %d" % turn
        kafka.produce(broker, topic, [b"kafka %d" % turn], partition=turn % 2)
        assert tail.wait(2 * turn + 2)[-1] == b"kafka %d" % turn
    assert b"before" not in tail.values and tail.error is None


def test_a_record_arrives_soon(api, topic):
    """A waiting stream gets a record when it is there, not when `max_wait_ms` are over."""
    api.create(topic)
    tail = Tail(api.fetch(pb.FetchPartition(topic=topic), max_wait_ms=240_000))
    for count in range(1, 21):
        api.produce(topic, [b"x"], partition=0)
        tail.wait(count)


def test_min_bytes(api, topic):
    """A response waits for so many bytes, or for `max_wait_ms`."""
    api.create(topic)
    tail = Tail(api.fetch(pb.FetchPartition(topic=topic), min_bytes=50_000, max_wait_ms=240_000))
    api.produce(topic, [b"x" * 1000], partition=0)
    time.sleep(0.5)
    assert not tail.values
    api.produce(topic, [b"x" * 60_000], partition=0)
    tail.wait(2)


def test_a_topic_that_is_deleted_under_a_reader(api, filled):
    """The partition says so, with the reason; then the stream ends, since there is nothing more to read."""
    stream = api.fetch(pb.FetchPartition(topic=filled, position=pb.POSITION_LATEST), max_wait_ms=100)
    next(stream)
    api.topics.DeleteTopic(pb.DeleteTopicRequest(topic=filled))
    errors = [part.error for response in stream for part in response.partitions]
    assert [error.reason for error in errors] == ["UNKNOWN_TOPIC_OR_PARTITION"]
    check_sentence(errors[0].message)


def test_a_stop_of_the_broker_ends_the_stream(broker, api, filled):
    """With UNAVAILABLE and at once, so that a client that can goes to another broker; the stop does not wait."""
    tail = Tail(api.fetch(pb.FetchPartition(topic=filled)))
    tail.wait(COUNT)
    broker.restart()
    kafka.wait_until("the stream ended", lambda: tail.error)
    assert tail.error.code() == grpc.StatusCode.UNAVAILABLE
    assert read_from(api, filled) == numbers(0, COUNT)


# What is refused.


def test_offsets_that_are_not_there(api, filled):
    """Beyond the end, before the start, and negative ones."""
    wrong = []
    for offset in (COUNT + 1, -1, 2**63 - 1):
        for until_end in (True, False):
            try:
                found = refusal(lambda: api.fetch(pb.FetchPartition(topic=filled, offset=offset), until_end=until_end))
            except AssertionError as not_refused:
                found = str(not_refused)
            if found not in (OUT_OF_RANGE, INVALID_REQUEST):
                wrong.append((offset, until_end, found))
    assert not wrong, wrong


def test_one_bad_partition_does_not_end_the_others(api, filled):
    """It is told once, with its reason; the others are read."""
    asked = [
        pb.FetchPartition(topic=filled),
        pb.FetchPartition(topic=filled, partition=8),
        pb.FetchPartition(topic="no-such-topic"),
        pb.FetchPartition(topic=filled, partition=9, offset=4),
    ]
    errors, values = {}, []
    for response in api.fetch(*asked, until_end=True):
        for part in response.partitions:
            if part.HasField("error"):
                assert (part.topic, part.partition) not in errors
                errors[part.topic, part.partition] = part.error.reason
                check_sentence(part.error.message)
            values += [record.value for record in part.records]
    assert values == numbers(0, COUNT)
    assert errors == dict.fromkeys([(filled, 8), ("no-such-topic", 0), (filled, 9)], "UNKNOWN_TOPIC_OR_PARTITION")


def test_bad_requests(strict, topic):
    """Each with its reason; a topic is not made by reading it."""
    strict.create(topic)
    assert refusal(lambda: strict.fetch()) == INVALID_REQUEST
    assert refusal(lambda: strict.fetch(pb.FetchPartition(topic="no-such-topic"))) == NO_SUCH_TOPIC
    assert refusal(lambda: strict.fetch(pb.FetchPartition(topic=topic, partition=-1))) == NO_SUCH_TOPIC
    assert refusal(lambda: strict.fetch(pb.FetchPartition(topic=topic, timestamp_ms=-1))) == INVALID_REQUEST
    assert [each.topic for each in strict.topics.ListTopics(pb.ListTopicsRequest()).topics].count("no-such-topic") == 0


def test_an_unknown_topic_with_an_offset(strict):
    """How the start is named makes no difference to what is refused."""
    assert refusal(lambda: strict.fetch(pb.FetchPartition(topic="no-such-topic", offset=5))) == NO_SUCH_TOPIC


def test_a_partition_that_is_named_twice(api, filled):
    """It is refused: one stream has one place in a partition."""
    twice = [pb.FetchPartition(topic=filled), pb.FetchPartition(topic=filled, offset=50)]
    assert refusal(lambda: api.fetch(*twice, until_end=True)) == INVALID_REQUEST


# Clients that do not read.


def subscribe(group: str, topic: str):
    """The first command of a member."""
    return pb.ConsumeRequest(subscribe=pb.Subscribe(group=group, topics=[topic], start=pb.POSITION_EARLIEST))


@pytest.fixture
def big(api, topic) -> str:
    """A topic with 200 MB that do not compress away."""
    api.create(topic)
    value = bytes(range(256)) * (BIG_RECORD // 256)
    per_request = pb.ProduceRequest(topic=topic, partition=0, records=[pb.Record(value=value)] * (BIG_REQUEST // 4))
    count = BIG_BYTES // (len(value) * len(per_request.records))
    requests = (pb.ProduceStreamRequest(id=number, request=per_request) for number in range(count))
    assert all(answer.HasField("response") for answer in api.producer.ProduceStream(requests))
    yield topic
    api.topics.DeleteTopic(pb.DeleteTopicRequest(topic=topic))


def test_clients_that_do_not_read_cost_no_memory(broker, api, big, topic):
    """The broker stops reading for them, others go on, and whoever reads again gets all of it."""
    other = f"{topic}-other"
    api.create(other)
    total = api.ends(big)[0]
    list(api.fetch(pb.FetchPartition(topic=big), until_end=True))
    before = broker.memory_mib()
    # A small window of their own, so that little is under way to them.
    window = [("grpc.http2.lookahead_bytes", 65_536), ("grpc.http2.bdp_probe", 0)]
    readers = [Api(broker, window) for _ in range(4)]
    streams = [reader.fetch(pb.FetchPartition(topic=big), until_end=True) for reader in readers]
    heads = [next(stream) for stream in streams]
    # Members of groups are held back in the same way.
    members = [reader.consumer.Consume(iter([subscribe(f"{topic}-{n}", big)])) for n, reader in enumerate(readers)]
    for member in members:
        assert next(member).WhichOneof("event") == "assigned"
        assert next(member).WhichOneof("event") == "records"
    most = broker.memory_mib()
    for turn in range(50):
        api.produce(other, [b"%d" % turn], partition=0)
        most = max(most, broker.memory_mib())
        time.sleep(0.02)
    assert [record.value for record in api.read(other)] == numbers(0, 50)
    assert most - before < MAY_GROW_MIB, f"memory grew from {before:.0f} to {most:.0f} MiB"
    rest = [record.offset for record in records_of([heads[0], *streams[0]])]
    assert rest == list(range(total))
    for reader in readers:
        reader.channel.close()


def test_streams_that_are_left_are_forgotten(broker, api, filled):
    """Hundreds of streams that clients cancel or drop cost nothing afterwards."""
    for _ in range(5):
        with Api(broker) as reader:
            streams = [reader.fetch(pb.FetchPartition(topic=filled)) for _ in range(50)]
            for stream in streams:
                assert records_of([next(stream)])
            for stream in streams[::2]:
                stream.cancel()
    assert read_from(api, filled) == numbers(0, COUNT)
    with Api(broker) as reader:
        streams = [reader.fetch(pb.FetchPartition(topic=filled)) for _ in range(200)]
        found = [len(records_of([next(stream)])) for stream in streams]
        assert found == [COUNT] * 200, f"within {TIMEOUT_S} s"
