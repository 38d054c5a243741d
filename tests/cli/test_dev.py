"""`fjord dev`: three brokers by one command, of which any one may be killed."""

import os
import signal
from itertools import product

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from cli.fjord import FAILED, USAGE, Fjord
from harness.broker import Broker
from harness.cluster import wait_for
from harness.paths import free_port

READY_S = 120


@pytest.fixture
def dev(tmp_path):
    """Starts `fjord dev` in a directory of the test's own, with ports of its own; whatever still runs is ended."""
    port = free_port(also=[above + each for above, each in product((0, 100, 200, 300), range(5))])
    started = []

    def start(*arguments, output: str = "json") -> Fjord:
        binary = Broker(tmp_path).binary
        fjord = Fjord(",".join(f"127.0.0.1:{port + 100 + each}" for each in range(3)))
        where = ["--directory", tmp_path / "dev", "--port", port, "--program", binary]
        started.append(fjord.start("dev", "--output", output, *where, *arguments))
        fjord.dev = started[-1]
        return fjord

    yield start
    for running in started:
        if running.process.poll() is None:
            running.signal(signal.SIGTERM)
        running.process.wait(READY_S)
        running.close()


def event(fjord: Fjord, name: str) -> dict:
    """Waits for an event of `fjord dev`."""
    found = lambda: next((row for row in fjord.dev.rows if row["event"] == name), None)  # noqa: E731
    return fjord.dev.wait(name, found, READY_S)


def wait_ready(fjord: Fjord) -> dict[int, int]:
    """Waits until it says that its brokers are ready; their processes."""
    return {broker["broker"]: broker["process"] for broker in event(fjord, "ready")["brokers"]}


def bootstrap(fjord: Fjord) -> str:
    """For Kafka clients."""
    return ",".join(broker["kafka"] for broker in event(fjord, "ready")["brokers"])


def test_three_brokers_keep_what_they_have(dev):
    fjord = dev()
    processes = wait_ready(fjord)
    assert sorted(processes) == [1, 2, 3]
    fjord.run("topic", "create", "tried", "--partitions", "3")
    producer = Producer({"bootstrap.servers": bootstrap(fjord)})
    for partition in range(3):
        producer.produce("tried", b"%d" % partition, partition=partition)
    assert producer.flush(30) == 0
    os.kill(processes[1], signal.SIGKILL)
    again = event(fjord, "started")
    assert again["broker"] == 1 and again["process"] != processes[1]
    admin = AdminClient({"bootstrap.servers": bootstrap(fjord)})

    def all_in_sync() -> bool:
        partitions = admin.list_topics("tried", 30).topics["tried"].partitions.values()
        return len(partitions) == 3 and all(len(partition.isrs) == 3 for partition in partitions)

    wait_for("all replicas are in sync again", all_in_sync)
    fjord.dev.signal(signal.SIGINT)
    fjord.dev.finish()
    for process in [*processes.values(), again["process"]]:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)

    second = dev()
    wait_ready(second)
    consumer = Consumer({"bootstrap.servers": bootstrap(second), "group.id": "tried"})
    consumer.assign([TopicPartition("tried", partition, 0) for partition in range(3)])
    assert sorted(message.value() for message in consumer.consume(3, 30)) == [b"0", b"1", b"2"]
    consumer.close()


def test_the_number_of_brokers_stays(dev):
    fjord = dev("--brokers", 1)
    wait_ready(fjord)
    fjord.dev.signal(signal.SIGTERM)
    fjord.dev.finish()
    refused = dev("--brokers", 3).dev.finish(USAGE)
    assert "--brokers 1" in refused.error["message"]


def test_a_broker_that_does_not_start_says_why(dev):
    refused = dev("--set", "no.such.config=1").dev.finish(FAILED)
    assert "no.such.config" in refused.error["message"]


def test_five_brokers_are_one_cluster(dev):
    fjord = dev("--brokers", 5)
    wait_ready(fjord)
    wait_for("all are registered", lambda: len(fjord.json("cluster", "describe")["brokers"]) == 5)


def test_people_are_told_how_to_go_on(dev):
    fjord = dev("--brokers", 1, output="text")
    told = lambda: fjord.dev.stdout.decode()  # noqa: E731
    fjord.dev.wait("it is ready", lambda: "bootstrap.servers=" in told(), READY_S)
    assert "broker 1: process" in told() and "FJORD_BROKER=" in told()
