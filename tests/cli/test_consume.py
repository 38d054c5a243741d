"""`fjord consume` without a group: from where, up to where, and in which form."""

import json
import signal
import subprocess

import pytest

from cli.fjord import BINARY, FAILED, NOT_FOUND, TIMEOUT_S, USAGE, environment
from features import simple as kafka

HOUR_MS = 3_600_000
FIRST_MS = 1_357_034_400_000
"""2013-01-01T10:00:00Z."""


@pytest.fixture
def hours(fjord, topic) -> str:
    """A topic with one partition, whose ten records are an hour apart."""
    fjord.run("topic", "create", topic, "--partitions", 1, "--config", "retention.ms=-1")
    lines = [json.dumps({"value": str(number), "timestamp_ms": FIRST_MS + number * HOUR_MS}) for number in range(10)]
    fjord.run("produce", topic, "--format", "json", stdin="\n".join(lines).encode())
    return topic


PLACES = [
    ("beginning", range(10)),
    ("end", []),
    ("7", range(7, 10)),
    ("-3", range(7, 10)),
    ("-100", range(10)),
    (f"@{FIRST_MS + 4 * HOUR_MS}", range(4, 10)),
    (f"@{FIRST_MS + 4 * HOUR_MS + 1}", range(5, 10)),
    ("2013-01-01T14:00:00Z", range(4, 10)),
    ("2013-01-01T15:00:00+01:00", range(4, 10)),
    ("2013-01-01T18:00", range(8, 10)),
    ("2013-01-02", []),
    ("10m", []),
    ("99999d", range(10)),
]


@pytest.mark.parametrize(("place", "numbers"), PLACES)
def test_places(fjord, hours, place, numbers):
    """From each kind of place to where the topic ends."""
    read = fjord.run("consume", hours, "--from", place, "--until-end")
    assert read.text.split() == [str(number) for number in numbers]


def test_counts(fjord, hours):
    """It ends after so many, or earlier at the end if that is asked for too."""
    assert fjord.run("consume", hours, "--count", 3).text == "0\n1\n2\n"
    assert fjord.run("consume", hours, "--from", 8, "--count", 5, "--until-end").text == "8\n9\n"


def test_following(fjord, hours):
    """It goes on with what comes, until it is interrupted, which is no failure."""
    for how in (signal.SIGINT, signal.SIGTERM):
        reader = fjord.start("consume", hours, "--from", 9)
        reader.wait("the last record", lambda reader=reader: reader.stdout.startswith(b"9\n"))
        before = len(fjord.run("consume", hours, "--until-end").text.splitlines())
        fjord.run("produce", hours, f"new {how.name}")
        reader.wait("the new one", lambda reader=reader: reader.stdout.splitlines()[-1] == f"new {how.name}".encode())
        reader.signal(how)
        ended = reader.finish()
        assert (len(ended.text.splitlines()), ended.stderr) == (before - 9 + 1, "")


def test_only_what_comes(fjord, topic):
    """From the end there is nothing of what was before."""
    fjord.run("topic", "create", topic, "--partitions", 1)
    fjord.run("produce", topic, *["old"] * 5)
    reader = fjord.start("consume", topic, "--from", "end")

    def something() -> bytes:
        fjord.run("produce", topic, "new")
        return reader.stdout

    assert set(reader.wait("a record", something).splitlines()) == {b"new"}


def test_an_offset_that_is_not_there(fjord, hours):
    """It is said which; nothing is skipped silently."""
    error = fjord.refused("consume", hours, "--from", "11", "--until-end")
    assert error["reason"] == "OFFSET_OUT_OF_RANGE" and "11" in error["message"]
    assert fjord.run("consume", hours, "--from", "10", "--until-end").text == ""


def test_topics_and_partitions(fjord, topic):
    """Several topics, or only some partitions."""
    for name in ("a", "b"):
        fjord.run("topic", "create", f"{topic}-{name}", "--partitions", 3)
        for partition in range(3):
            fjord.run("produce", f"{topic}-{name}", f"{name}{partition}", "--partition", partition)
    both = [f"{topic}-a", f"{topic}-b"]
    assert sorted(fjord.run("consume", *both, "-e").text.split()) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert sorted(fjord.run("consume", *both, "-e", "--partition", "0,2").text.split()) == ["a0", "a2", "b0", "b2"]
    assert sorted(fjord.run("consume", *both, "-e", "-p", 1, "--from", "-1").text.split()) == ["a1", "b1"]
    error = fjord.refused("consume", both[0], "--partition", "0,3", code=USAGE)
    assert error["message"] == f"topic {both[0]} has no partition 3: it has 3, from 0"


@pytest.fixture
def odd(broker, fjord, topic) -> str:
    """A topic with records of every kind in one partition."""
    fjord.run("topic", "create", topic, "--partitions", 1, "--config", "retention.ms=-1")
    client = kafka.producer(broker)
    headers = [("h", b"1"), ("h", None), ("g", b"\xff")]
    client.produce(topic, b"v\tw", b"k", headers=headers, timestamp=FIRST_MS)
    client.produce(topic, None, b"", timestamp=FIRST_MS + 1)
    client.produce(topic, b"\xff\x00", None, timestamp=FIRST_MS + 2)
    client.produce(topic, b"", b"\xfe", timestamp=FIRST_MS + 3)
    assert client.flush(kafka.TIMEOUT_S) == 0
    return topic


FORMS = [
    ([], b"v\tw\n\n\xff\x00\n\n"),
    (["--format", "value", "--null", "NULL"], b"v\tw\nNULL\n\xff\x00\n\n"),
    (["--delimiter", r"\0", "--null", r"\x01"], b"v\tw\0\x01\0\xff\x00\0\0"),
    (["--format", "key-value"], b"k\tv\tw\n\t\n\t\xff\x00\n\xfe\t\n"),
    (["-F", "key-value", "-K", " => ", "--null", "-"], b"k => v\tw\n => -\n- => \xff\x00\n\xfe => \n"),
    (["--template", r"%o %K/%V %h\n"], b"0 1/3 h=1,h=,g=\xff\n1 0/-1 \n2 -1/2 \n3 1/0 \n"),
    (["-T", r"%p %T %D %%\x41\t%k=%v;", "--null", "~", "-n", "2"], None),
]


@pytest.mark.parametrize(("options", "printed"), FORMS)
def test_forms(fjord, odd, options, printed):
    """What of a record is printed, byte for byte."""
    if printed is None:
        times = [b"%d 2013-01-01T10:00:00.00%dZ" % (FIRST_MS + number, number) for number in (0, 1)]
        printed = b"0 %s %%A\tk=v\tw;0 %s %%A\t=~;" % tuple(times)
    assert fjord.run("consume", odd, "--until-end", *options).stdout == printed


def test_the_topic_in_a_template(fjord, odd):
    assert fjord.run("consume", odd, "-n", 1, "--template", "[%t]").text == f"[{odd}]"


def test_json(fjord, odd):
    """A record a line with the fields of the manual; bytes that are no text stand in base64."""
    read = fjord.rows("consume", odd, "--until-end")
    where = [{"topic": odd, "partition": 0, "offset": number, "timestamp_ms": FIRST_MS + number} for number in range(4)]
    headers = [{"key": "h", "value": "1"}, {"key": "h", "value": None}, {"key": "g", "value_base64": "/w=="}]
    assert read == [
        where[0] | {"key": "k", "value": "v\tw", "headers": headers},
        where[1] | {"key": "", "value": None, "headers": []},
        where[2] | {"key": None, "value_base64": "/wA=", "headers": []},
        where[3] | {"key_base64": "/g==", "value": "", "headers": []},
    ]
    assert fjord.run("consume", odd, "--until-end", "--format", "json").rows == read


def test_a_closed_pipe_is_no_failure(fjord, topic):
    """Whoever has read enough closes the pipe: it ends quietly, also if it would follow the topic."""
    fjord.run("topic", "create", topic, "--partitions", 1)
    fjord.run("produce", topic, stdin=b"".join(b"%d\n" % number for number in range(100_000)))
    for options in ("--until-end", "", "--output json"):
        command = f'"{BINARY}" -b {fjord.address} consume {topic} {options} | head -n 2 | wc -l; exit ${{PIPESTATUS[0]}}'
        ended = subprocess.run(["bash", "-c", command], capture_output=True, env=environment(), timeout=TIMEOUT_S)
        assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, b"2", b"")


def test_output_that_cannot_be_written(fjord, hours):
    """A full disk is a failure that is told."""
    command = f'"{BINARY}" -b {fjord.address} consume {hours} --until-end > /dev/full'
    ended = subprocess.run(["bash", "-c", command], capture_output=True, env=environment(), timeout=TIMEOUT_S)
    assert ended.returncode == FAILED
    assert ended.stderr.startswith(b"fjord: cannot write the output: ")


def test_a_topic_that_is_not_there(fjord, topic):
    """It is not made by being read."""
    error = fjord.refused("consume", topic, "--until-end", code=NOT_FOUND)
    assert topic in error["message"]
    assert topic not in {row["topic"] for row in fjord.json("topic", "list")}


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["t", "--from", "middle"], ["t", "--count", "0"], ["t", "--template", "%q"], ["t", "--delimiter", "\\"]),
        *(["--pattern", "x"], ["t", "--instance-id", "x"], ["t", "--group", "g", "--partition", "1"]),
        ["t", "--format", "json", "--template", "%v"],
    ],
)
def test_wrong_arguments(fjord, arguments):
    """They are refused before anything is sent."""
    assert fjord.refused("consume", *arguments, code=USAGE)["kind"] == "usage"
