"""A leader that hears none of the others, who may have replaced it: clients learn that they should look around."""

import signal
from contextlib import contextmanager

import pytest

from harness.batches import batch
from harness.cluster import Cluster, Member, Partition, wait_for

TOPIC = "alone"
NOT_LEADER_OR_FOLLOWER = 6
NEVER_MS = 600_000
"""Longer than a test runs: nobody waits for that in vain."""


@pytest.fixture
def cluster(cluster):
    """Three brokers that run, and a topic with one partition on all of them."""
    wait_for("the topic", lambda: cluster.running[0].create_topic(TOPIC, 1) == 0)
    return cluster


@contextmanager
def paused(*members: Member):
    """These brokers stand still: connections stay, and nobody answers."""
    for member in members:
        member.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for member in members:
            member.process.send_signal(signal.SIGCONT)


def partition(cluster: Cluster) -> Partition:
    """The partition, when all replicas are in sync and all brokers know it."""
    cluster.wait_agreed("all are in sync", lambda topics: topics[TOPIC][0].in_sync == {1, 2, 3})
    return cluster.agreed()[TOPIC][0]


def produce(member: Member, value: bytes) -> int:
    """Produces one record with acks=all, and returns the error code, however long that takes."""
    data = {"Index": 0, "Records": batch([value])}
    body = {"Acks": -1, "TimeoutMs": NEVER_MS, "TopicData": [{"Name": TOPIC, "PartitionData": [data]}]}
    answer = member.ask("Produce", 9, body)
    return answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"]


def fetch(member: Member, offset: int) -> tuple[int, bytes]:
    """Waits a moment for records from `offset` on; returns the error code, and record batches."""
    wanted = {"Partition": 0, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20}
    topic = {"Topic": TOPIC, "Partitions": [wanted]}
    body = {"ReplicaId": -1, "MaxWaitMs": 10, "MinBytes": 1, "MaxBytes": 1 << 20, "Topics": [topic]}
    found = member.ask("Fetch", 4, body)["Responses"][0]["Partitions"][0]
    return found["ErrorCode"], found["Records"] or b""


def test_producers_and_consumers_of_a_lonely_leader_are_sent_away(cluster):
    leader = cluster[partition(cluster).leader]
    assert produce(leader, b"first") == 0
    wait_for("the record", lambda: b"first" in fetch(leader, 0)[1])
    assert fetch(leader, 1) == (0, b""), "with the others there is just nothing new"
    others = [member for member in cluster.running if member is not leader]
    with paused(*others):
        assert produce(leader, b"second") == NOT_LEADER_OR_FOLLOWER
        wait_for("whoever waits for records is sent away", lambda: fetch(leader, 1)[0] == NOT_LEADER_OR_FOLLOWER)
        code, records = fetch(leader, 0)
        assert code == 0 and b"first" in records, "what is there can be read"
    wait_for("producers are taken again", lambda: produce(cluster[partition(cluster).leader], b"third") == 0)
