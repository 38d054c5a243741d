"""`fjord bench`: each kind, as a table with a histogram and as JSON; what it makes is gone afterwards."""

import signal

import pytest

from cli.fjord import FAILED, NOT_FOUND, USAGE
from features import simple as kafka

MEASURED = {
    *("title", "records", "bytes", "seconds", "records_per_second", "mib_per_second"),
    *("latency_of", "latency_ms", "histogram"),
}
PERCENTILES = ["min", "p50", "p90", "p95", "p99", "p99.9", "p99.99", "max"]
BENCH_TOPIC = "fjord-bench-"

KINDS = {
    "produce": ["produce", "--count", 3000, "--record-size", 100],
    "produce with a rate": ["produce", "--count", 50, "--rate", 1000, "--producers", 3, "--linger", "0ms"],
    "produce for a while": ["produce", "--duration", "200ms", "--record-size", 16],
    "end to end": ["end-to-end", "--count", 200, "--rate", 2000, "--record-size", 100],
    "consume": ["consume", "{topic}"],
    "consume with connections": ["consume", "{topic}", "--connections", 2, "--max-bytes", 1000],
}
COUNTS = {"produce": 3000, "produce with a rate": 50, "end to end": 200, "consume": 500, "consume with connections": 500}


def bench_topics(fjord) -> set[str]:
    return {row["topic"] for row in fjord.json("topic", "list") if row["topic"].startswith(BENCH_TOPIC)}


@pytest.fixture
def filled(fjord, topic) -> str:
    """A topic with 500 records of 100 bytes in three partitions."""
    fjord.run("topic", "create", topic, "--partitions", 3)
    lines = b"".join(b"%d:%096d\n" % (number, number) for number in range(100, 600))
    fjord.run("produce", topic, "--key-separator", ":", stdin=lines)
    return topic


@pytest.mark.parametrize("kind", KINDS)
def test_json(fjord, filled, kind):
    """It has the fields of the manual, and they agree with each other."""
    measured = fjord.json("bench", *(str(each).format(topic=filled) for each in KINDS[kind]))
    assert set(measured) == MEASURED
    if kind in COUNTS:
        assert measured["records"] == COUNTS[kind]
    size = {"produce with a rate": 1024, "produce for a while": 16}.get(kind, 99 if "consume" in kind else 100)
    assert measured["bytes"] == measured["records"] * size > 0
    latency = measured["latency_ms"]
    assert set(latency) == {*PERCENTILES, "mean"}
    ordered = [latency[name] for name in PERCENTILES]
    assert ordered == sorted(ordered) and latency["min"] <= latency["mean"] <= latency["max"]
    assert all(set(each) == {"up_to_ms", "count"} for each in measured["histogram"])
    counted = sum(each["count"] for each in measured["histogram"])
    assert 0 < counted <= measured["records"] if "consume" in kind else counted == measured["records"]
    assert measured["histogram"][-1]["up_to_ms"] * 1.001 >= latency["max"]
    # Consuming so little may take less than can be measured.
    if measured["seconds"] > 0:
        assert measured["records_per_second"] == pytest.approx(measured["records"] / measured["seconds"])
        assert measured["mib_per_second"] == pytest.approx(measured["bytes"] / measured["seconds"] / 2**20)
    assert bench_topics(fjord) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_text(fjord, filled, kind):
    """A table of percentiles and a histogram whose shares are all of it."""
    text = fjord.run("bench", *(str(each).format(topic=filled) for each in KINDS[kind])).text
    lines = [line.split() for line in text.splitlines()]
    assert ["LATENCY", "MS"] in lines
    for name in PERCENTILES:
        (value,) = [line[1] for line in lines if line[:1] == [name]]
        assert float(value.replace(",", "")) > 0
    first = lines.index(["UP", "TO", "MS", "COUNT", "SHARE"])
    shares = [float(line[2]) for line in lines[first + 1 :]]
    assert sum(shares) == pytest.approx(100, abs=0.1)
    assert "█" in text and "records/s" in text


def test_a_topic_that_is_named_is_kept(fjord, topic):
    """It is made if it is not there, and holds what was sent."""
    load = ["--topic", topic, "--partitions", 2, "--count", 100]
    assert fjord.json("bench", "produce", *load)["records"] == 100
    assert fjord.json("bench", "end-to-end", *load, "--rate", 5000)["records"] == 100
    (described,) = fjord.json("topic", "describe", topic)
    assert [described["partition_count"], sum(each["high_watermark"] for each in described["partitions"])] == [2, 200]


def test_a_rate_is_kept(fjord):
    """As many records as are due in that time, no more."""
    measured = fjord.json("bench", "produce", "--count", 100, "--rate", 500)
    assert measured["seconds"] >= 99 / 500


def test_an_interrupted_measurement_leaves_nothing(fjord):
    """It says so, and its topic is gone."""
    for kind in ("produce", "end-to-end"):
        running = fjord.start("bench", kind, "--duration", "1h", "--rate", 100)
        (topic,) = running.wait("its topic", lambda: bench_topics(fjord))
        kafka.wait_until("there are records", lambda topic=topic: fjord.run("consume", topic, "--count", 1).stdout)
        running.signal(signal.SIGINT)
        ended = running.finish(FAILED)
        assert (ended.text, ended.stderr) == ("", "fjord: interrupted before there was a result\n")
        assert bench_topics(fjord) == set()


def test_what_cannot_be_measured(fjord, topic):
    """A topic that is not there, and arguments that make no sense."""
    assert fjord.refused("bench", "consume", topic, code=NOT_FOUND)["reason"] == "UNKNOWN_TOPIC_OR_PARTITION"
    for arguments in (["produce", "--count", "0"], ["produce", "--rate", "x"], ["end-to-end", "--record-size", "3"]):
        assert fjord.refused("bench", *arguments, code=USAGE)["kind"] == "usage"
    refused = ["produce", "--count", "5", "--batch-bytes", "1", "--topic", topic, "--record-size", "2000000"]
    assert fjord.refused("bench", *refused)["reason"] == "MESSAGE_TOO_LARGE"
