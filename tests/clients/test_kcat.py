"""kcat from Debian (and with it Debian's librdkafka): the tool with which most people look at a broker.

What all clients must do, in kcat's ways: it creates topics by asking for them, has headers for a
whole run, commits by itself, and tells that its records are acknowledged by ending well.
"""

import itertools
import subprocess
import sys
import threading
import time

import pytest

from clients import catalog
from clients.group import Group, check_delivered_once
from clients.test_clients import CODEC_SEEDS, PARTITIONS, check_codec, check_everything_once, consume, values
from harness.paths import TESTS
from harness.programs import Client
from harness.records import Record, check_round_trip, numbered_records, sample_records
from harness.wire import stored_batches

TIMEOUT_S = 60
MEMBER = Client("kcat", (sys.executable, str(TESTS / "clients/python/kcat_client.py")))
KEY_DELIMITER, MESSAGE_DELIMITER = b"\x1f\x01\x02\x1f", b"\x1e\x03\x05\x1e"
PRODUCE = ["-P", "-X", "enable.idempotence=true", "-X", "reconnect.backoff.max.ms=500",
           "-K", KEY_DELIMITER, "-D", MESSAGE_DELIMITER]  # fmt: skip


def kcat(broker, *arguments, **options) -> bytes:
    """Runs kcat to its end and returns its output."""
    command = ["kcat", "-b", broker.bootstrap, *arguments]
    run = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, **options)
    assert run.returncode == 0, f"{command} ended with {run.returncode}: {run.stderr.decode(errors='replace')}"
    return run.stdout


def wait_created(broker, topic: str) -> None:
    """Asks for a topic until the broker has created it with its num.partitions."""
    deadline = time.monotonic() + TIMEOUT_S
    while (listing := kcat(broker, "-L", "-t", topic).decode()).count("leader 1,") < PARTITIONS:
        # A broker may tell that the topic is unknown while it creates it.
        assert time.monotonic() < deadline, f"{topic} was not created: {listing}"
    assert f'topic "{topic}" with {PARTITIONS} partitions' in listing


def line(record: Record) -> bytes:
    return (record.key or b"") + KEY_DELIMITER + (record.value or b"") + MESSAGE_DELIMITER


@pytest.mark.parametrize("codec", CODEC_SEEDS)
def test_round_trip(codec, broker, topic, tmp_path):
    """kcat writes keys, values and headers with every codec; kcat and another client read the same back."""
    wait_created(broker, topic)

    def run_of(record: Record):
        """Records of one run share partition and headers, and whether empty means null (option -Z)."""
        return (record.partition, repr(record.headers), None in (record.key, record.value))

    def kcat_can_say(record: Record) -> bool:
        nulls, empties = [[part == empty for part in (record.key, record.value)] for empty in (None, b"")]
        named = all(name and b"\x00" not in (value or b"") for name, value in record.headers)
        return named and not (any(nulls) and any(empties))

    samples = sample_records(CODEC_SEEDS[codec], 2, 80)
    sent = sorted(filter(kcat_can_say, samples), key=run_of)
    for (partition, _, nulls), records in itertools.groupby(sent, run_of):
        records = list(records)
        headers = [b"%b=%b" % (name.encode(), value) if value is not None else name for name, value in records[0].headers]
        options = ["-t", topic, "-p", str(partition), "-z", codec] + ["-Z"] * nulls
        options += [option for header in headers for option in ("-H", header)]
        kcat(broker, *PRODUCE, *options, input=b"".join(map(line, records)))

    offsets = {0: itertools.count(), 1: itertools.count()}
    places = {index: (record.partition, next(offsets[record.partition])) for index, record in enumerate(sent)}
    received = consume(catalog.REFERENCE, broker, topic, len(sent), tmp_path)
    check_round_trip(sent, places, received, timestamps=False)
    by_kcat = read_with_kcat(broker, topic)
    assert sorted(by_kcat) == sorted((r.partition, r.offset, r.timestamp, r.key, r.value) for r in received)
    for partition in (0, 1):
        check_codec(stored_batches(broker.bootstrap, topic, partition), codec)


def read_with_kcat(broker, topic: str) -> list[tuple]:
    """Reads a topic to its end with kcat: each message is a line of numbers, then key and value."""
    output = kcat(broker, "-C", "-q", "-e", "-t", topic, "-o", "beginning", "-f", "%p %o %T %K %S\n%k%s")
    found, at = [], 0
    while at < len(output):
        numbers, at = output[at : output.index(b"\n", at)], output.index(b"\n", at) + 1
        partition, offset, timestamp, *sizes = map(int, numbers.split())
        parts = []
        for size in sizes:
            parts.append(None if size < 0 else output[at : at + size])
            at += max(size, 0)
        found.append((partition, offset, timestamp, *parts))
    return found


class Producer:
    """A living kcat that produces what it is given; it reads its input in blocks, so the last is sent at the end."""

    def __init__(self, broker, topic: str):
        command = ["kcat", "-E", "-b", broker.bootstrap, *PRODUCE, "-t", topic]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)

    def produce(self, records: list[Record]) -> None:
        self.process.stdin.write(b"".join(map(line, records)))
        self.process.stdin.flush()

    def finish(self) -> None:
        """Ends the input; kcat ends well only when everything was acknowledged."""
        errors = self.process.communicate(timeout=TIMEOUT_S)[1].decode(errors="replace")
        assert self.process.returncode == 0, f"kcat ended with {self.process.returncode}: {errors}"
        assert "Delivery failed" not in errors, errors


def test_group_goes_on_after_a_rebalance_and_a_restart(broker, topic, tmp_path):
    """Three kcats share a topic; one leaves, one joins; the broker restarts; nothing is lost or repeated."""
    wait_created(broker, topic)
    group = Group(MEMBER, broker.bootstrap, topic, PARTITIONS, tmp_path)
    sent = []

    def next_records(count: int) -> list[Record]:
        records = numbered_records(len(sent), count)
        sent.extend(records)
        return records

    def produce(count: int) -> list[Record]:
        records = next_records(count)
        kcat(broker, *PRODUCE, "-t", topic, input=b"".join(map(line, records)))
        return records

    try:
        group.join(3)
        group.wait_balanced()
        before = produce(600)
        group.wait_values(values(before))
        group.commit_all()

        # A kcat that is told to stop drops the message that it just took, and commits it all the same;
        # so the member leaves while nothing flows, and the records come while the group rebalances.
        group.leave(1)
        group.join()
        during = produce(600)
        group.wait_balanced()
        group.wait_values(values(during))
        group.commit_all()

        producer = Producer(broker, topic)
        restart = threading.Thread(target=broker.restart)
        restart.start()
        while restart.is_alive():
            records = next_records(20)
            producer.produce(records)
            during += records
            restart.join(0.1)
        assert broker.process is not None, "the broker did not come back"
        producer.finish()
        group.wait_values(values(during))
        group.wait_balanced()
        group.commit_all()

        after = produce(300)
        group.wait_values(values(after))
        group.commit_all()
        check_delivered_once(group.records(), values(before) | values(after))
        received = consume(catalog.REFERENCE, broker, topic, len(sent), tmp_path)
        check_everything_once(sent, {}, received)
        while group.members:
            group.leave(0)
    finally:
        group.close()
