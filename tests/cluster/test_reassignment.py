"""Partitions that get other replicas, under load: nothing is lost, and what has moved is gone from where it was."""

import pytest

from harness.cluster import Cluster, Member, wait_for

from .load import Load, check

TOPIC = "moved"
PARTITIONS = 4
NO_REASSIGNMENT = 85
"""NO_REASSIGNMENT_IN_PROGRESS"""
PREFERRED = 0
DONE_OR_NOT_NEEDED = (0, 84)
"""NONE, ELECTION_NOT_NEEDED"""


@pytest.fixture
def cluster(tmp_path, request):
    """Four brokers that run, and a topic on the first three."""
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.add(4)
        cluster.start()
        cluster.wait_quorum_leader()
        wait_for("all are registered", lambda: cluster[1].brokers() == {1, 2, 3, 4})
        assert (
            cluster[1].ask("CreateTopics", 7, {"Topics": [assigned([1, 2, 3])], "timeoutMs": 10_000})["Topics"][0][
                "ErrorCode"
            ]
            == 0
        )
        yield cluster
        cluster.check_after(request.node)


def assigned(replicas: list[int]) -> dict:
    """The topic, each partition on these brokers, led by them in turn."""
    turned = lambda by: [replicas[(by + i) % len(replicas)] for i in range(len(replicas))]  # noqa: E731
    assignments = [{"PartitionIndex": index, "BrokerIds": turned(index)} for index in range(PARTITIONS)]
    return {"Name": TOPIC, "NumPartitions": -1, "ReplicationFactor": -1, "Assignments": assignments}


def reassign(member: Member, replicas: list[int] | None) -> list[int]:
    """Asks for these replicas of all partitions; None: for what is under way to be given up. The error codes."""
    partitions = [{"PartitionIndex": index, "Replicas": replicas} for index in range(PARTITIONS)]
    body = {"TimeoutMs": 10_000, "Topics": [{"Name": TOPIC, "Partitions": partitions}]}
    (answer,) = member.ask("AlterPartitionReassignments", 0, body)["Responses"]
    return [partition["ErrorCode"] for partition in answer["Partitions"]]


def under_way(member: Member) -> int:
    """How many partitions are on their way."""
    topics = member.ask("ListPartitionReassignments", 0, {"TimeoutMs": 10_000, "Topics": None})["Topics"]
    return sum(len(topic["Partitions"]) for topic in topics)


def wait_on(cluster: Cluster, brokers: set[int]) -> None:
    """Waits until exactly these have all partitions, in sync."""

    def there(topics) -> bool:
        partitions = topics[TOPIC].values()
        return all(set(each.replicas) == each.in_sync == brokers and each.leader in brokers for each in partitions)

    cluster.wait_agreed(f"all partitions are on {brokers}", there)


def has_data(member: Member) -> bool:
    """Whether the broker has any of the topic on its disk."""
    (directory,) = member.ask("DescribeLogDirs", 4, {"Topics": None})["Results"]
    return any(topic["Name"] == TOPIC for topic in directory["Topics"])


def test_partitions_move_under_load(cluster):
    wait_on(cluster, {1, 2, 3})
    with Load(cluster.bootstrap, TOPIC) as load:
        assert reassign(cluster[2], [2, 3, 4]) == [0] * PARTITIONS
        wait_on(cluster, {2, 3, 4})
        wait_for("nothing is on its way", lambda: under_way(cluster[3]) == 0)
        wait_for("broker 1 has nothing left", lambda: not has_data(cluster[1]))
        load.wait_for_more(500)
    check(cluster, load)


def test_the_replication_factor_goes_down_and_up(cluster):
    with Load(cluster.bootstrap, TOPIC) as load:
        assert reassign(cluster[1], [4]) == [0] * PARTITIONS
        wait_on(cluster, {4})
        load.wait_for_more(500)
        assert reassign(cluster[1], [4, 1, 2]) == [0] * PARTITIONS
        wait_on(cluster, {1, 2, 4})
    check(cluster, load)


def test_a_move_to_a_broker_that_is_away_is_given_up(cluster):
    wait_on(cluster, {1, 2, 3})
    assert reassign(cluster[1], None) == [NO_REASSIGNMENT] * PARTITIONS
    with Load(cluster.bootstrap, TOPIC) as load:
        cluster[4].kill()
        assert reassign(cluster[1], [2, 3, 4]) == [0] * PARTITIONS
        wait_for("all are on their way", lambda: under_way(cluster[2]) == PARTITIONS)
        load.wait_for_more(500)
        assert reassign(cluster[2], None) == [0] * PARTITIONS
        wait_on(cluster, {1, 2, 3})
    check(cluster, load)
    cluster.start(4)
    assert not has_data(cluster[4])


def test_preferred_leaders_are_elected_when_that_is_asked_for(cluster):
    wait_on(cluster, {1, 2, 3})
    cluster[1].stop()
    cluster.wait_agreed("others lead", lambda topics: all(each.leader != 1 for each in topics[TOPIC].values()))
    cluster.start(1)
    wait_on(cluster, {1, 2, 3})
    body = {"ElectionType": PREFERRED, "TopicPartitions": None, "TimeoutMs": 10_000}

    def elected() -> bool:
        answer = cluster[2].ask("ElectLeaders", 2, body)
        results = [each for topic in answer["ReplicaElectionResults"] for each in topic["PartitionResult"]]
        return all(each["ErrorCode"] in DONE_OR_NOT_NEEDED for each in results)

    wait_for("preferred leaders are elected", elected)
    cluster.wait_agreed("they lead", lambda topics: all(each.leader == each.replicas[0] for each in topics[TOPIC].values()))
