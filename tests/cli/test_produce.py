"""`fjord produce`: where records come from, what is sent, and what is told when something is wrong."""

import json
import time

import pytest

from cli.fjord import FAILED, NOT_FOUND, OK, USAGE
from features import simple as kafka
from grpc_api.api import of_kafka

PARTITION = {"partition", "records", "first_offset", "last_offset"}


def read(broker, topic: str, partition: int = 0) -> list[tuple[bytes | None, bytes | None]]:
    """Keys and values, as a Kafka client reads them."""
    return [(message.key(), message.value()) for message in kafka.read_partition(broker, topic, partition)]


def values(broker, topic: str, partition: int = 0) -> list[bytes | None]:
    return [value for _, value in read(broker, topic, partition)]


@pytest.fixture
def one(fjord, topic) -> str:
    """A topic of one partition, in which old records stay."""
    fjord.run("topic", "create", topic, "--partitions", 1, "--config", "retention.ms=-1")
    return topic


def test_arguments(broker, fjord, one):
    """Each is a record; they may have a key, or contain it."""
    assert fjord.run("produce", one, "a", "b", "--key", "k").text == f"2 records to {one}, partition 0, offsets 0 to 1\n"
    assert fjord.run("produce", one, "k2=c", "d", "--key-separator", "=").text.startswith("2 records")
    assert fjord.run("produce", one, "").text == f"1 record to {one}, partition 0, offset 4\n"
    assert fjord.run("produce", one, "e", "--quiet").text == ""
    assert read(broker, one) == [(b"k", b"a"), (b"k", b"b"), (b"k2", b"c"), (None, b"d"), (None, b""), (None, b"e")]


def test_standard_input(broker, fjord, one):
    """A record a line; the last one need not end, and an empty line is an empty value. Bytes stay as they are."""
    fjord.run("produce", one, stdin=b"a\n\nb\xff\x00\r\nc")
    fjord.run("produce", one, "--delimiter", r"\0", stdin=b"d\0e\nf\0")
    fjord.run("produce", one, "--file", "-", stdin=b"g\n")
    assert values(broker, one) == [b"a", b"", b"b\xff\x00\r", b"c", b"d", b"e\nf", b"g"]
    told = fjord.json("produce", one, stdin=b"")
    assert told == {"topic": one, "records": 0, "partitions": []}


def test_files(broker, fjord, one, tmp_path):
    """Several, one after the other, with keys and values that are not there."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"k1\tv1\nno key\n\tempty key\n")
    second.write_bytes(b"k2\t\nk3\tNULL\nNULL\tv\n")
    fjord.run("produce", one, "-f", first, "-f", second, "--key-separator", r"\t", "--null", "NULL")
    assert read(broker, one) == [
        *[(b"k1", b"v1"), (None, b"no key"), (b"", b"empty key")],
        *[(b"k2", b""), (b"k3", None), (None, b"v")],
    ]


def test_what_all_records_have(broker, fjord, one):
    """Headers in their order, a time, and a key for those that have none."""
    options = ["--header", "a=1", "-H", "a=2", "-H", "b=", "--timestamp", "2013-01-01T10:00:00Z", "--key", "usual"]
    fjord.run("produce", one, "own:x", "y", "--key-separator", ":", *options)
    first, second = (of_kafka(message) for message in kafka.read_partition(broker, one))
    assert (first.key, second.key) == (b"own", b"usual")
    assert first.headers == second.headers == (("a", b"1"), ("a", b"2"), ("b", b""))
    assert first.timestamp == second.timestamp == 1_357_034_400_000


def test_partitions(broker, fjord, topic):
    """A partition that is named, and else the key decides, as with Kafka's clients; the JSON says what went where."""
    fjord.run("topic", "create", topic, "--partitions", 3)
    told = fjord.json("produce", topic, "a", "b", "--partition", 2)
    assert set(told) == {"topic", "records", "partitions"}
    assert told["partitions"] == [{"partition": 2, "records": 2, "first_offset": 0, "last_offset": 1}]
    keys = [b"key-%d" % number for number in range(50)]
    told = fjord.json("produce", topic, "--key-separator", ":", stdin=b"".join(key + b":x\n" for key in keys))
    assert told["records"] == 50 and all(set(each) == PARTITION for each in told["partitions"])
    client = kafka.producer(broker, partitioner="murmur2_random")
    for key in keys:
        client.produce(topic, b"y", key)
    assert client.flush(kafka.TIMEOUT_S) == 0
    for partition in range(3):
        found = read(broker, topic, partition)
        by_fjord, by_kafka = ({key for key, value in found if value == of} for of in (b"x", b"y"))
        assert by_fjord == by_kafka != set()


def test_json_lines(broker, fjord, topic):
    """Everything that a record has, and everything may be missing; blank lines are nothing."""
    fjord.run("topic", "create", topic, "--partitions", 2, "--config", "retention.ms=-1")
    lines = [
        {"key": "k", "value": "v", "partition": 1, "timestamp_ms": 1_500_000_000_000, "topic": "other", "offset": 99},
        {"value": "größe", "headers": [{"key": "h", "value": "1"}, {"key": "h", "value": None}, {"key": "h", "value": ""}]},
        {"key": None, "value": None, "timestamp": "2013-01-01T10:00:00Z"},
        {"key": "", "value": "", "timestamp": 5},
        {"key_base64": "/wA=", "value_base64": "", "headers": [{"key": "b", "value_base64": "/w=="}]},
        {},
    ]
    text = "\n\n".join([*map(json.dumps, lines), '{"value": {"from": "EWR",  "n": 1.50}, "key": 7}'])
    told = fjord.json("produce", topic, "--format", "json", "--partition", 0, stdin=text.encode())
    assert [(each["partition"], each["records"]) for each in told["partitions"]] == [(0, 6), (1, 1)]
    (first,) = (of_kafka(message) for message in kafka.read_partition(broker, topic, 1))
    assert (first.key, first.value, first.timestamp, first.headers) == (b"k", b"v", 1_500_000_000_000, ())
    rest = [of_kafka(message) for message in kafka.read_partition(broker, topic, 0)]
    assert [(record.key, record.value) for record in rest] == [
        *[(None, "größe".encode()), (None, None), (b"", b""), (b"\xff\x00", b""), (None, None)],
        (b"7", b'{"from": "EWR",  "n": 1.50}'),
    ]
    assert rest[0].headers == (("h", b"1"), ("h", None), ("h", b""))
    assert rest[3].headers == (("b", b"\xff"),)
    assert [rest[1].timestamp, rest[2].timestamp] == [1_357_034_400_000, 5]


def test_partitions_of_json_lines_can_be_left_aside(broker, fjord, one):
    """A record from partition 7 goes where there is only one."""
    line = b'{"value":"v","partition":7}\n'
    error = fjord.refused("produce", one, "-F", "json", code=USAGE, stdin=line)
    assert error["message"] == f"topic {one} has no partition 7"
    fjord.run("produce", one, "-F", "json", "--repartition", stdin=line)
    assert values(broker, one) == [b"v"]


WRONG = [b"{bad", b'{"value":"x","vaule":1}', b"[]", b'{"value_base64":"!"}', b'{"timestamp":"soon"}', b'{"value":"\xff"}']


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_line_loses_nothing(broker, fjord, one, tmp_path, wrong):
    """It is named with its file; what was before is written, and told; what comes after is not sent."""
    path = tmp_path / "records.jsonl"
    good = [b'{"value":"%d"}' % number for number in range(2500)]
    path.write_bytes(b"\n".join([*good, wrong, b'{"value":"after"}\n']))
    ended = fjord.run("produce", one, "--format", "json", "--file", path, "--output", "json", code=USAGE)
    assert ended.error["kind"] == "usage"
    assert ended.error["message"].startswith(f"{path}, line 2501: "), ended.error
    assert ended.json["partitions"] == [{"partition": 0, "records": 2500, "first_offset": 0, "last_offset": 2499}]
    assert values(broker, one) == [b"%d" % number for number in range(2500)]
    ended = fjord.run("produce", one, "-F", "json", stdin=b'{"value":"x"}\n' + wrong, code=USAGE)
    assert ended.stderr.startswith("fjord: standard input, line 2: ")
    assert ended.text == f"1 record to {one}, partition 0, offset 2500\n"


def test_a_wrong_argument_loses_nothing(broker, fjord, one):
    """As with files: those before it are written."""
    good = ['{"value":"a"}', '{"value":"b"}']
    ended = fjord.run("produce", one, "-F", "json", *good, "nonsense", good[0], code=USAGE)
    assert ended.stderr.startswith("fjord: record 3: ")
    assert ended.text == f"2 records to {one}, partition 0, offsets 0 to 1\n"
    assert values(broker, one) == [b"a", b"b"]


def test_a_file_that_is_not_there_loses_nothing(broker, fjord, one, tmp_path):
    """What the file before it had is written and told."""
    path = tmp_path / "first"
    path.write_bytes(b"a\nb\n")
    missing = tmp_path / "missing"
    ended = fjord.run("produce", one, "-f", path, "-f", missing, "-f", path, "--output", "json", code=FAILED)
    assert ended.error["kind"] == "io" and str(missing) in ended.error["message"]
    assert ended.json["records"] == 2
    assert values(broker, one) == [b"a", b"b"]


def test_a_refused_record_loses_nothing(broker, fjord, topic):
    """Those before it are written, and told; those after it in the input are not counted if they are not there."""
    fjord.run("topic", "create", topic, "--partitions", 1, "--config", "max.message.bytes=1000")
    arguments = ["a", "b", "x" * 2000, "c"]
    ended = fjord.run("produce", topic, *arguments, "--batch-bytes", 1, "--output", "json", code=FAILED)
    assert ended.error["reason"] == "MESSAGE_TOO_LARGE" and "max.message.bytes" in ended.error["message"]
    found = values(broker, topic)
    assert found[:2] == [b"a", b"b"]
    assert ended.json["records"] == len(found)


@pytest.mark.parametrize("options", [[], ["--idempotent", "false"], ["--compression", "zstd"]])
def test_batches_fit_the_topic(broker, fjord, topic, options):
    """Whatever it takes, a record that fits goes; the topic may take less while records are sent."""
    fjord.run("topic", "create", topic, "--partitions", 3, "--config", "retention.ms=-1")
    lines = [b"%d:%d:%s" % (n % 50, n, bytes([97 + n % 26]) * (n * 7919 % 5000)) for n in range(2000)]
    fjord.run("topic", "alter", topic, "--set", "max.message.bytes=10000")
    producing = fjord.start("produce", topic, "--key-separator", ":", *options, "--output", "json")
    producing.write(b"".join(line + b"\n" for line in lines[:1000]))
    fjord.run("topic", "alter", topic, "--set", "max.message.bytes=6000")
    producing.write(b"".join(line + b"\n" for line in lines[1000:]))
    producing.end_input()
    assert producing.finish().json["records"] == len(lines)
    found = [line for partition in range(3) for line in read(broker, topic, partition)]
    expected = [tuple(line.split(b":", 1)) for line in lines]
    assert sorted(found) == sorted(expected)
    if "--idempotent" not in options:
        by_key = lambda rows: sorted(rows, key=lambda row: int(row[0]))  # noqa: E731
        assert by_key(found) == by_key(expected)


def test_a_wrong_partition_loses_nothing(broker, fjord, one):
    """A partition that is not there is found when its record is sent; those before it are written."""
    lines = b'{"value":"a"}\n{"value":"b","partition":3}\n'
    ended = fjord.run("produce", one, "-F", "json", stdin=lines, code=USAGE)
    assert ended.stderr == f"fjord: topic {one} has no partition 3\n"
    assert ended.text == f"1 record to {one}, partition 0, offset 0\n"
    assert values(broker, one) == [b"a"]


def test_a_rate_is_kept(fjord, one):
    """Twenty records at a hundred a second take no less than it says."""
    before = time.monotonic()
    fjord.run("produce", one, *map(str, range(20)), "--rate", 100)
    assert time.monotonic() - before >= 19 / 100


def test_input_that_comes_slowly_is_not_held_back(fjord, one):
    """What somebody types is there although the input is still open."""
    typing = fjord.start("produce", one)
    for number in range(3):
        typing.write(b"%d\n" % number)
        assert fjord.run("consume", one, "--from", number, "--count", 1).text == f"{number}\n"
    typing.end_input()
    assert typing.finish().text == f"3 records to {one}, partition 0, offsets 0 to 2\n"


@pytest.mark.parametrize("acks", ["none", "leader", "all"])
@pytest.mark.parametrize("idempotent", [True, False])
def test_guarantees(broker, fjord, one, acks, idempotent):
    """Every one of them writes; which go together is checked; without acks no offset is known."""
    options = ["--acks", acks, "--idempotent", str(idempotent).lower()]
    allowed = acks == "all" or not idempotent
    told = fjord.run("produce", one, "a", "b", *options, "--output", "json", code=OK if allowed else USAGE)
    if not allowed:
        assert told.error["kind"] == "usage"
        return
    first, last = (None, None) if acks == "none" else (0, 1)
    assert told.json["partitions"] == [{"partition": 0, "records": 2, "first_offset": first, "last_offset": last}]
    assert fjord.run("consume", one, "--count", 2).text == "a\nb\n"


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_many_records(broker, fjord, one, codec):
    """A hundred thousand of them in a file, in every compression, in order."""
    lines = [b"%d,%d" % (number, number * 7919 % 1000) for number in range(100_000)]
    told = fjord.json("produce", one, "--compression", codec, stdin=b"\n".join(lines))
    assert told["partitions"] == [{"partition": 0, "records": 100_000, "first_offset": 0, "last_offset": 99_999}]
    assert values(broker, one) == lines


def test_a_topic_that_is_not_there(broker, fjord, strict, topic):
    """It is made as the broker's configs say, or it is said that it is not there."""
    fjord.run("produce", topic, "x")
    assert len(kafka.admin(broker).list_topics(topic, kafka.TIMEOUT_S).topics[topic].partitions) == 6
    error = strict.refused("produce", topic, "x", code=NOT_FOUND)
    assert error["reason"] == "UNKNOWN_TOPIC_OR_PARTITION" and topic in error["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--rate", "0"], ["--header", "x"], ["--timestamp", "soon"], ["--delimiter", "ab"], ["--key-separator", r"\q"]),
        *(["--partition", "x"], ["--acks", "some"], ["--file", "x", "value"], ["--compression", "rar"], ["--linger", "5"]),
    ],
)
def test_wrong_arguments(fjord, topic, arguments):
    """They are refused before anything is sent, with the argument that is wrong."""
    error = fjord.refused("produce", topic, *arguments, code=USAGE)
    assert error["kind"] == "usage" and arguments[0] in error["message"]
