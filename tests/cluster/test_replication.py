"""Records on several brokers: what was acknowledged is there, once and in order, whoever dies."""

import shutil

import pytest

from harness.cluster import Cluster, wait_for

from .load import Load, check

TOPIC = "replicated"
PARTITIONS = 6


@pytest.fixture
def cluster(cluster):
    """Three brokers that run, and a topic on all of them."""
    wait_for("the topic", lambda: cluster.running[0].create_topic(TOPIC, PARTITIONS) == 0)
    return cluster


def wait_in_sync(cluster: Cluster, brokers: set[int]) -> None:
    """Waits until these are in sync for all partitions."""

    def in_sync(topics) -> bool:
        partitions = topics[TOPIC].values()
        return all(each.in_sync == brokers and each.leader in brokers for each in partitions)

    cluster.wait_agreed(f"{brokers} are in sync", in_sync)


@pytest.mark.parametrize("is_quorum_leader", [False, True], ids=["follower of the quorum", "leader of the quorum"])
def test_a_killed_broker_costs_no_record(cluster, is_quorum_leader):
    with Load(cluster.bootstrap, TOPIC) as load:
        leader = cluster.quorum_leader()
        victim = leader if is_quorum_leader else next(each for each in cluster.running if each is not leader)
        victim.kill()
        wait_in_sync(cluster, {1, 2, 3} - {victim.id})
        load.wait_for_more(2000)
        cluster.start(victim.id)
        wait_in_sync(cluster, {1, 2, 3})
        load.wait_for_more(500)
    check(cluster, load)


def test_all_brokers_restart_one_after_the_other(cluster):
    with Load(cluster.bootstrap, TOPIC) as load:
        for member in list(cluster.running):
            member.stop()
            wait_in_sync(cluster, {1, 2, 3} - {member.id})
            load.wait_for_more(500)
            cluster.start(member.id)
            wait_in_sync(cluster, {1, 2, 3})
    check(cluster, load)


def test_all_brokers_stop_at_once(cluster):
    """Nobody waits for others to take over who are stopping too."""
    with Load(cluster.bootstrap, TOPIC) as load:
        load.wait_for_more(500)
        members = cluster.stop_at_once()
        for member in members:
            assert "have not taken over" not in member.log_text()
            assert "without having handed over" not in member.log_text()
        cluster.start()
        wait_in_sync(cluster, {1, 2, 3})
        load.wait_for_more(500)
    check(cluster, load)


def test_all_brokers_are_killed_at_once(cluster):
    with Load(cluster.bootstrap, TOPIC) as load:
        cluster.kill()
        cluster.start()
        wait_in_sync(cluster, {1, 2, 3})
        load.wait_for_more(500)
    check(cluster, load)


def test_a_lost_disk_is_filled_again(cluster):
    with Load(cluster.bootstrap, TOPIC) as load:
        leader = cluster.quorum_leader()
        victim = next(each for each in cluster.running if each is not leader)
        victim.kill()
        wait_in_sync(cluster, {1, 2, 3} - {victim.id})
        shutil.rmtree(victim.data)
        load.wait_for_more(1000)
        cluster.start(victim.id)
        wait_in_sync(cluster, {1, 2, 3})
        # The others can go now: all is there without them.
        load.wait_for_more(500)
    check(cluster, load)
