"""Producing over gRPC: acknowledgements, streams, idempotence, and what is refused."""

import itertools
import queue
import threading

import grpc
import pytest

from features import simple as kafka
from grpc_api.api import TIMEOUT_S, check_sentence, refusal
from harness.protos import pb

IN_FLIGHT = 2000
LARGEST_BATCH = 1_048_588
"""The default of `message.max.bytes`."""


def values(api, topic: str, partitions: int = 1) -> list[bytes]:
    """The values of all records."""
    return [record.value for record in api.read(topic, partitions)]


def streamed(api, requests) -> dict[int, object]:
    """Sends requests, numbered from 0, in one stream; the answers by number, in the order in which they came."""
    numbered = (pb.ProduceStreamRequest(id=number, request=request) for number, request in enumerate(requests))
    return {answer.id: answer for answer in api.producer.ProduceStream(numbered)}


def request(topic: str, *contents: bytes, partition: int | None = 0, **fields):
    """A request with values."""
    return pb.ProduceRequest(topic=topic, partition=partition, records=[pb.Record(value=c) for c in contents], **fields)


def producer_ids(api) -> dict[str, int]:
    """A new producer id, as fields of a sequence."""
    given = api.producer.InitProducer(pb.InitProducerRequest())
    return {"producer_id": given.producer_id, "producer_epoch": given.producer_epoch}


# Acknowledgements.


@pytest.mark.parametrize("acks", [pb.ACKS_UNSPECIFIED, pb.ACKS_LEADER, pb.ACKS_ALL])
def test_acknowledged_records_are_there(broker, api, topic, acks):
    """The answer names the place, and the records are there, after a crash too."""
    api.create(topic)
    for turn in range(3):
        (part,) = api.produce(topic, [b"%d a" % turn, b"%d b" % turn], acks=acks).partitions
        assert (part.partition, part.base_offset, part.record_count) == (0, 2 * turn, 2)
    broker.kill()
    broker.start()
    assert values(api, topic) == [b"%d %s" % (turn, part) for turn in range(3) for part in (b"a", b"b")]


def test_acks_none(api, topic):
    """The answer is empty and comes at once; the records come to be there, and refusals are not told."""
    api.create(topic)
    assert not api.produce(topic, [b"x"], acks=pb.ACKS_NONE).partitions
    kafka.wait_until("the record is there", lambda: api.ends(topic) == {0: 1})
    assert not api.produce(topic, [b"x"], 77, acks=pb.ACKS_NONE).partitions
    assert not api.produce(topic, [b"x" * 2 * LARGEST_BATCH], acks=pb.ACKS_NONE).partitions
    answers = streamed(api, [request(topic, b"%d" % n, acks=pb.ACKS_NONE if n % 2 else pb.ACKS_ALL) for n in range(10)])
    assert list(answers) == [0, 2, 4, 6, 8]
    assert values(api, topic) == [b"x", *(b"%d" % n for n in range(10))]


# Streams.


def test_a_stream_keeps_its_order_with_many_in_flight(api, topic):
    """Thousands of requests are sent before any answer is read; they take effect, and are answered, in order."""
    api.create(topic, 3)
    answers = streamed(api, (request(topic, b"%d" % n, partition=n % 3) for n in range(IN_FLIGHT)))
    assert list(answers) == list(range(IN_FLIGHT))
    for number, answer in answers.items():
        (part,) = answer.response.partitions
        assert (part.partition, part.base_offset) == (number % 3, number // 3)
    read = api.read(topic, 3)
    for partition in range(3):
        found = [record.value for record in read if record.partition == partition]
        assert found == [b"%d" % n for n in range(partition, IN_FLIGHT, 3)]


def test_answers_come_while_the_stream_is_open(api, topic):
    """A producer that sends one by one gets each answer without ending its side."""
    api.create(topic)
    requests: queue.SimpleQueue = queue.SimpleQueue()
    answers = api.producer.ProduceStream(iter(requests.get, None))
    for number in range(20):
        requests.put(pb.ProduceStreamRequest(id=number + 100, request=request(topic, b"%d" % number)))
        answer = next(answers)
        assert (answer.id, answer.response.partitions[0].base_offset) == (number + 100, number)
    requests.put(None)
    assert list(answers) == []


def test_refusals_do_not_end_a_stream(strict, topic):
    """Each refused request is answered with its reason at its place; what comes after goes on."""
    strict.create(topic)
    ids = producer_ids(strict)
    strict.producer.Produce(request(topic, b"first", sequence=pb.Sequence(**ids, first=0)))
    answers = streamed(
        strict,
        [
            request(topic, b"0"),
            request("no-such-topic", b"x"),
            request(topic, b"x", partition=5),
            request(topic),
            request(topic, b"x" * 2 * LARGEST_BATCH),
            request(topic, b"x", partition=None, sequence=pb.Sequence(producer_id=1)),
            request(topic, b"x", sequence=pb.Sequence(**ids, first=7)),
            request("bad name!", b"x"),
            request(topic, b"1"),
        ],
    )
    assert list(answers) == list(range(9))
    reasons = [answer.error.reason for answer in answers.values()]
    unknown = "UNKNOWN_TOPIC_OR_PARTITION"
    assert reasons[:5] == ["", unknown, unknown, "INVALID_REQUEST", "MESSAGE_TOO_LARGE"]
    assert reasons[5:] == ["INVALID_REQUEST", "OUT_OF_ORDER_SEQUENCE_NUMBER", "INVALID_TOPIC_EXCEPTION", ""]
    for answer in answers.values():
        if answer.HasField("error"):
            check_sentence(answer.error.message)
    assert values(strict, topic) == [b"first", b"0", b"1"]


def test_a_message_without_a_request(api, topic):
    """It is answered with an error, and the stream goes on."""
    api.create(topic)
    sent = [pb.ProduceStreamRequest(id=1), pb.ProduceStreamRequest(id=2, request=request(topic, b"x"))]
    first, second = api.producer.ProduceStream(iter(sent))
    assert (first.id, first.error.reason) == (1, "INVALID_REQUEST")
    assert (second.id, second.response.partitions[0].base_offset) == (2, 0)


def test_many_producers_at_once(api, topic):
    """Streams side by side do not mix up their order."""
    api.create(topic)
    problems: list[BaseException] = []

    def produce(name: int) -> None:
        try:
            answers = streamed(api, (request(topic, b"%d %d" % (name, n)) for n in range(200)))
            offsets = [answer.response.partitions[0].base_offset for answer in answers.values()]
            assert len(offsets) == 200 and offsets == sorted(offsets)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=produce, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert not problems, problems
    found = [tuple(map(int, value.split())) for value in values(api, topic)]
    for name in range(8):
        assert [n for producer, n in found if producer == name] == list(range(200))


# Effectively once.


def test_a_repeated_sequence_is_stored_once(broker, api, topic):
    """It is answered with the first offsets, also after a restart of the broker; the next one follows."""
    api.create(topic, 2)
    ids = producer_ids(api)

    def send(first: int, *contents: bytes, partition: int = 0) -> int:
        response = api.producer.Produce(
            request(topic, *contents, partition=partition, sequence=pb.Sequence(**ids, first=first))
        )
        return response.partitions[0].base_offset

    assert send(0, b"a", b"b", b"c") == 0
    assert send(3, b"d") == 3
    assert (send(0, b"a", b"b", b"c"), send(3, b"d")) == (0, 3)
    assert send(0, b"other", partition=1) == 0, "sequences count by partition"
    broker.restart()
    assert (send(3, b"d"), send(4, b"e")) == (3, 4)
    assert values(api, topic) == [b"a", b"b", b"c", b"d", b"e"]
    assert api.ends(topic) == {0: 5, 1: 1}


def test_a_producer_id_is_given_out_once(broker, api):
    """Two are never the same, with a restart and a crash between them; each begins with the first epoch."""
    given = [producer_ids(api) for _ in range(3)]
    for again in (broker.restart, broker.kill):
        again()
        if broker.process is None:
            broker.start()
        given += [producer_ids(api) for _ in range(3)]
    assert len({ids["producer_id"] for ids in given}) == len(given)
    assert all(ids["producer_id"] >= 0 and ids["producer_epoch"] == 0 for ids in given)


def test_a_gap_in_the_sequence_is_refused(api, topic):
    """What other producers send does not fill it."""
    api.create(topic)
    ids, others = producer_ids(api), producer_ids(api)
    assert ids["producer_id"] != others["producer_id"]
    send = lambda given, first: api.producer.Produce(  # noqa: E731
        request(topic, b"%d" % first, sequence=pb.Sequence(**given, first=first))
    )
    out_of_order = (grpc.StatusCode.FAILED_PRECONDITION, "OUT_OF_ORDER_SEQUENCE_NUMBER")
    send(ids, 0)
    assert refusal(lambda: send(ids, 2)) == out_of_order
    send(others, 0)
    assert refusal(lambda: send(others, 3)) == out_of_order
    send(ids, 1)
    assert values(api, topic) == [b"0", b"0", b"1"]


def test_an_old_epoch_is_refused(api, topic):
    """A producer id is used with the epoch that came with it, or a later one."""
    api.create(topic)
    ids = producer_ids(api)
    newer = {**ids, "producer_epoch": ids["producer_epoch"] + 1}
    send = lambda given: api.producer.Produce(request(topic, b"x", sequence=pb.Sequence(**given, first=0)))  # noqa: E731
    send(newer)
    assert refusal(lambda: send(ids)) == (grpc.StatusCode.FAILED_PRECONDITION, "INVALID_PRODUCER_EPOCH")


def test_an_idempotent_stream_is_repeated_after_a_break(broker, api, topic):
    """A producer that sends everything again after a crash of the broker stores everything once, in order."""
    api.create(topic)
    ids = producer_ids(api)
    requests = [request(topic, b"%d" % n, sequence=pb.Sequence(**ids, first=n)) for n in range(300)]
    answered = itertools.count()
    with pytest.raises(grpc.RpcError):
        numbered = (pb.ProduceStreamRequest(id=number, request=each) for number, each in enumerate(requests))
        held = itertools.chain(numbered, iter(threading.Event().wait, True))
        for _ in api.producer.ProduceStream(held):
            if next(answered) == 50:
                broker.kill()
    broker.start()
    # Only the last five batches of a producer are known, so it goes on at the first one that is not there.
    there = api.ends(topic)[0]
    assert 50 < there <= 300
    again = streamed(api, requests[max(0, there - 5) :])
    assert all(answer.HasField("response") for answer in again.values()), again
    assert values(api, topic) == [b"%d" % n for n in range(300)]


# What is refused.


def test_an_unknown_topic(strict):
    """Where topics are not made by themselves, the call fails and says what to do."""
    assert refusal(lambda: strict.produce("no-such-topic", [b"x"])) == (
        grpc.StatusCode.NOT_FOUND,
        "UNKNOWN_TOPIC_OR_PARTITION",
    )
    assert not strict.topics.ListTopics(pb.ListTopicsRequest()).topics or "no-such-topic" not in {
        each.topic for each in strict.topics.ListTopics(pb.ListTopicsRequest()).topics
    }


def test_a_topic_is_made_if_that_is_allowed(api, topic):
    """With auto.create.topics.enable the first record makes the topic."""
    assert api.produce(topic, [b"x"]).partitions[0].base_offset == 0
    assert api.topics.DescribeTopic(pb.DescribeTopicRequest(topic=topic)).topic.partitions == 6


def test_a_partition_that_is_not_there(api, topic):
    """The call fails, for negative numbers too."""
    api.create(topic, 2)
    for partition in (2, -1, 2**31 - 1):
        assert refusal(lambda: api.produce(topic, [b"x"], partition)) == (
            grpc.StatusCode.NOT_FOUND,
            "UNKNOWN_TOPIC_OR_PARTITION",
        )


def test_records_that_are_too_large(api, topic):
    """One beyond max.message.bytes is refused; the largest one that fits is taken, and is read again."""
    api.create(topic, 1, max_message_bytes="100000")
    too_large = (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_TOO_LARGE")
    assert refusal(lambda: api.produce(topic, [b"x" * 100_000])) == too_large
    assert refusal(lambda: api.produce(topic, [b"x" * 10_000] * 11)) == too_large
    api.produce(topic, [b"x" * 99_900])
    # What counts is the size after compression.
    api.produce(topic, [b"x" * 200_000], compression=pb.COMPRESSION_ZSTD)
    assert [len(value) for value in values(api, topic)] == [99_900, 200_000]


def test_a_message_beyond_the_limit_of_the_listener(api, topic):
    """A gRPC message that is larger than the broker takes is refused, and the connection goes on."""
    api.create(topic)
    too_large = (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_TOO_LARGE")
    assert refusal(lambda: api.produce(topic, [b"x" * (1 << 20)] * 20)) == too_large
    records = [pb.Record(value=b"x" * (1 << 20))] * 20
    message = pb.ProduceStreamRequest(request=pb.ProduceRequest(topic=topic, records=records))
    assert refusal(lambda: api.producer.ProduceStream(iter([message]))) == too_large
    api.produce(topic, [b"x"])


def test_some_partitions_may_fail(api, topic):
    """If some partitions took their records, the call is a success, and the others say why they did not."""
    api.create(topic, 3, max_message_bytes="10000")
    keys = {api.produce(topic, [pb.Record(key=b"%d" % n)]).partitions[0].partition: b"%d" % n for n in range(50)}
    ends = api.ends(topic)
    records = [pb.Record(key=keys[partition], value=b"x" * size) for partition, size in ((0, 1), (1, 20_000), (2, 1))]
    parts = {part.partition: part for part in api.produce(topic, [*records, records[0]]).partitions}
    assert parts[1].error.reason == "MESSAGE_TOO_LARGE" and parts[1].base_offset == -1
    check_sentence(parts[1].error.message)
    assert [list(parts[partition].records) for partition in range(3)] == [[0, 3], [1], [2]]
    assert not parts[0].HasField("error") and not parts[2].HasField("error")
    assert api.ends(topic) == {0: ends[0] + 2, 1: ends[1], 2: ends[2] + 1}

    only_large = [pb.Record(key=keys[partition], value=b"x" * 20_000) for partition in range(3)]
    assert refusal(lambda: api.produce(topic, only_large)) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_TOO_LARGE")


@pytest.mark.parametrize(
    "fields",
    [
        {"records": []},
        {"partition": None, "sequence": pb.Sequence(producer_id=1, first=0)},
        {"sequence": pb.Sequence(producer_id=1, producer_epoch=1 << 20)},
        {"sequence": pb.Sequence(producer_id=-5)},
        {"sequence": pb.Sequence(producer_id=1, first=-1)},
        {"acks": 77},
        {"compression": 77},
    ],
    ids=["no records", "no partition", "epoch", "producer id", "sequence", "acks", "compression"],
)
def test_bad_input(api, topic, fields):
    """What makes no sense is refused, with a sentence and a reason; nothing is stored."""
    api.create(topic)
    asked = pb.ProduceRequest(**{"topic": topic, "partition": 0, "records": [pb.Record(value=b"x")], **fields})
    code, reason = refusal(lambda: api.producer.Produce(asked))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and reason in ("INVALID_REQUEST", "INVALID_RECORD")
    assert api.ends(topic) == {0: 0}


@pytest.mark.parametrize("name", ["", "bad name!", ".", "..", "x" * 250])
def test_bad_topic_names(api, name):
    """A name that no topic can have is told apart from one that no topic has."""
    assert refusal(lambda: api.produce(name, [b"x"])) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TOPIC_EXCEPTION")


def test_a_null_key_in_a_compacted_topic(api, topic):
    """A record without a key cannot be compacted; it is refused, and one without a value is not."""
    api.create(topic, 1, cleanup_policy="compact")
    assert refusal(lambda: api.produce(topic, [pb.Record(value=b"x")])) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_RECORD",
    )
    api.produce(topic, [pb.Record(key=b"k")])
