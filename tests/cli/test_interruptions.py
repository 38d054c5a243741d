"""Brokers that are killed and started again, and connections that break: nothing is lost, and nothing comes twice."""

import signal
import threading
from collections import Counter

import pytest

from cli.fjord import CONNECT, Fjord
from cli.proxy import Proxy
from features import simple as kafka

PATIENT = ["--timeout", "5m"]
STATIC = ["--group", "{group}", "--instance-id", "{group}-member"]
"""A member that is known again at once; the partitions of another one are free only after its session's timeout."""
SMALL_BATCHES = ["--batch-bytes", 2000, "--linger", "0ms"]
KILLS = 3


def named(options: list[str], group: str) -> list[str]:
    return [option.format(group=group) for option in options]


def end(fjord, topic: str) -> int:
    """The offset behind the last record of a topic's only partition."""
    (described,) = fjord.json("topic", "describe", topic)
    return described["partitions"][0]["high_watermark"]


def values(broker, topic: str) -> list[bytes]:
    return [message.value() for message in kafka.read_partition(broker, topic)]


@pytest.fixture
def at_own(own_broker):
    """The command line at a broker of the test's own."""
    fjord = Fjord(own_broker.grpc)
    yield fjord
    fjord.close()


def test_producing_goes_on_after_kills(own_broker, at_own, topic):
    """SIGKILL under load, three times: every record is there once, in order, and is told as delivered."""
    at_own.run("topic", "create", topic, "--partitions", 1)
    producing = at_own.start("produce", topic, *PATIENT, *SMALL_BATCHES, "--output", "json")
    enough, written = threading.Event(), []

    def write() -> None:
        while not enough.is_set():
            first = len(written)
            chunk = [b"%d" % number for number in range(first, first + 100)]
            producing.write(b"\n".join(chunk) + b"\n")
            written.extend(chunk)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(KILLS):
            reached = end(at_own, topic) + 2000
            kafka.wait_until("records come", lambda reached=reached: end(at_own, topic) >= reached)
            own_broker.kill()
            own_broker.start()
    finally:
        enough.set()
        writer.join()
    producing.end_input()
    told = producing.finish().json
    assert told["records"] == len(written)
    assert values(own_broker, topic) == written
    assert told["partitions"][0]["last_offset"] == len(written) - 1


def test_following_goes_on_after_a_kill(own_broker, at_own, topic):
    """A reader without a group gets every record once, in order."""
    at_own.run("topic", "create", topic, "--partitions", 1)
    reader = at_own.start("consume", topic, *PATIENT)
    sent: list[bytes] = []
    for round_number in range(KILLS):
        lines = [b"%d-%d" % (round_number, number) for number in range(500)]
        at_own.run("produce", topic, stdin=b"\n".join(lines))
        sent += lines
        reader.wait("the records", lambda: len(reader.stdout.splitlines()) >= len(sent))
        own_broker.kill()
        own_broker.start()
    reader.signal(signal.SIGINT)
    assert reader.finish().stdout.splitlines() == sent


def test_a_member_goes_on_after_a_kill(own_broker, at_own, topic, group):
    """A member of a group joins again and gets every record; only what it had not committed may come twice."""
    at_own.run("topic", "create", topic, "--partitions", 1)
    member = at_own.start("consume", topic, *named(STATIC, group), *PATIENT)
    sent: set[bytes] = set()
    for round_number in range(KILLS):
        lines = [b"%d-%d" % (round_number, number) for number in range(500)]
        at_own.run("produce", topic, stdin=b"\n".join(lines))
        sent |= set(lines)
        member.wait("the records", lambda: sent <= set(member.stdout.splitlines()))
        own_broker.kill()
        own_broker.start()
    lines = [b"last-%d" % number for number in range(500)]
    at_own.run("produce", topic, stdin=b"\n".join(lines))
    member.wait("the last records", lambda: set(lines) <= set(member.stdout.splitlines()))
    member.signal(signal.SIGINT)
    assert set(member.finish().stdout.splitlines()) == sent | set(lines)
    (described,) = at_own.json("group", "describe", group)
    assert (described["state"], described["lag"], described["members"]) == ("Empty", 0, [])


def test_a_clean_restart_is_not_noticed(own_broker, at_own, topic, group):
    """Readers of both kinds and a producer go on after the broker is stopped and started."""
    at_own.run("topic", "create", topic, "--partitions", 1)
    producing = at_own.start("produce", topic, *PATIENT)
    readers = [at_own.start("consume", topic, *options, *PATIENT) for options in ([], named(STATIC, group))]
    for number in range(2):
        line = b"%d\n" % number
        producing.write(line)
        for reader in readers:
            reader.wait("the record", lambda reader=reader, line=line: reader.stdout.endswith(line))
        if number == 0:
            own_broker.restart()
    producing.end_input()
    assert producing.finish().text.startswith("2 records")
    for reader in readers:
        reader.signal(signal.SIGINT)
        assert set(reader.finish().stdout.split()) == {b"0", b"1"}


LINES = [b"%d" % number for number in range(20_000)]


@pytest.mark.parametrize("deaf_after", [[20_000], [20_000, 50_000, 3_000, 80_000], [50_000] * 3])
def test_lost_acknowledgements_repeat_nothing(broker, fjord, topic, deaf_after):
    """The broker has taken batches, but the producer does not hear of it: it sends them again, and they are there once."""
    fjord.run("topic", "create", topic, "--partitions", 1)
    with Proxy(broker.grpc, deaf_after=deaf_after) as proxy:
        told = Fjord(proxy.address).json("produce", topic, *SMALL_BATCHES, stdin=b"\n".join(LINES))
        assert proxy.accepted == len(deaf_after) + 1
    assert told["records"] == len(LINES)
    assert values(broker, topic) == LINES


def test_at_least_once_loses_nothing(broker, fjord, topic):
    """Without numbers on batches those that are sent again are there twice, but none is missing."""
    fjord.run("topic", "create", topic, "--partitions", 1)
    options = [*SMALL_BATCHES, "--idempotent", "false"]
    with Proxy(broker.grpc, deaf_after=[20_000, 50_000]) as proxy:
        Fjord(proxy.address).run("produce", topic, *options, stdin=b"\n".join(LINES))
        assert proxy.accepted == 3
    found = Counter(values(broker, topic))
    assert set(found) == set(LINES)
    assert found.total() > len(LINES)


@pytest.mark.parametrize("options", [[], STATIC], ids=["alone", "group"])
def test_broken_connections_of_readers(broker, fjord, topic, group, options):
    """A reader gets every record once although its connections break; a member of a group may get some again."""
    fjord.run("topic", "create", topic, "--partitions", 1)
    # Several times what comes in one message, so that some of it is there when a connection breaks.
    lines = [line.rjust(300, b".") for line in LINES]
    fjord.run("produce", topic, stdin=b"\n".join(lines))
    options = named(options, group)
    with Proxy(broker.grpc, cut_after=[2_500_000, 1_500_000]) as proxy:
        read = Fjord(proxy.address).run("consume", topic, "--until-end", *options).stdout.splitlines()
        assert proxy.accepted == 3
    assert set(read) == set(lines)
    assert options or read == lines


def test_reading_calls_are_made_again(broker, fjord, topic):
    """Answers are lost in the middle of many descriptions: nobody notices."""
    fjord.run("topic", "create", topic, "--partitions", 3)
    with Proxy(broker.grpc, deaf_after=[3_000, 5_000]) as proxy:
        described = Fjord(proxy.address).json("topic", "describe", *[topic] * 500)
        assert proxy.accepted == 3
    assert len(described) == 500 and all(each == described[0] for each in described)


def test_changing_calls_are_not_made_again(broker, fjord, topic):
    """Nobody knows what became of a change whose answer is lost: that is said, and what was done before is told."""
    names = [f"{topic}-{number}" for number in range(30)]
    for name in names:
        fjord.run("topic", "create", name, "--partitions", 1)
    with Proxy(broker.grpc, deaf_after=[1_000]) as proxy:
        ended = Fjord(proxy.address).run("topic", "delete", *names, "--output", "json", code=CONNECT)
        assert ended.error["kind"] == "disconnected" and proxy.accepted == 1
    told = [row["topic"] for row in ended.rows]
    there = {row["topic"] for row in fjord.json("topic", "list")}
    left = [name for name in names if name in there]
    assert told and left
    assert [*told, names[len(told)], *left] == names
