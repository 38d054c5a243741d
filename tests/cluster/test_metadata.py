"""The metadata of several brokers: any of them takes a change, all of them have it, whoever dies."""

import shutil
import signal
import time
import uuid

from confluent_kafka.admin import AdminClient, NewTopic

from harness.cluster import Cluster, Member, wait_for

EXISTS = 36
"""TOPIC_ALREADY_EXISTS"""
UNKNOWN = 3
"""UNKNOWN_TOPIC_OR_PARTITION"""
INVALID_REQUEST = 42
NOT_FOUND, DUPLICATE, NOT_REGISTERED = 127, 126, 102
"""VOTER_NOT_FOUND, DUPLICATE_VOTER, BROKER_ID_NOT_REGISTERED"""
FAILOVER_S = 5.0
"""How long a dead broker may keep the others from their work; a bound for a debug build on a busy machine."""


def create(member: Member, topic: str, replicas: int = 3) -> None:
    """Creates a topic, with as many tries as a client would make while leaders change."""
    wait_for(f"{topic} is created", lambda: member.create_topic(topic, replicas=replicas) in (0, EXISTS), 20)


def delete(member: Member, topic: str) -> None:
    """Deletes a topic, with as many tries."""

    def deleted() -> bool:
        answer = member.ask("DeleteTopics", 4, {"TopicNames": [topic], "TimeoutMs": 10_000})
        return answer["Responses"][0]["ErrorCode"] in (0, UNKNOWN)

    wait_for(f"{topic} is deleted", deleted, 20)


def in_sync_everywhere(topic: str, brokers: set[int]):
    """Whether all partitions of a topic have these in-sync replicas, and one of them as leader."""

    def check(topics) -> bool:
        partitions = topics.get(topic, {}).values()
        return len(partitions) > 0 and all(each.in_sync == brokers and each.leader in brokers for each in partitions)

    return check


def test_a_topic_created_anywhere_is_seen_everywhere(cluster):
    for member in cluster.running:
        assert member.brokers() == {1, 2, 3}
        assert member.cluster_id() == "tests"
        assert member.create_topic(f"by-{member.id}") == 0
        # Whoever created it sees it at once.
        assert f"by-{member.id}" in member.topics()
    for name in ["by-1", "by-2", "by-3"]:
        cluster.wait_agreed(f"{name} everywhere", in_sync_everywhere(name, {1, 2, 3}))
        assert {cluster[member.id].create_topic(name) for member in cluster.running} == {EXISTS}


def test_a_stock_client_creates_and_deletes(cluster):
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([NewTopic("stock", num_partitions=6, replication_factor=3)])["stock"].result(30)
    cluster.wait_agreed("stock is there", lambda topics: len(topics.get("stock", {})) == 6)
    seen = admin.list_topics(timeout=30)
    assert set(seen.brokers) == {1, 2, 3}
    leaders = {each.leader for each in seen.topics["stock"].partitions.values()}
    assert leaders == {1, 2, 3}, "leaders are spread"
    admin.delete_topics(["stock"])["stock"].result(30)
    cluster.wait_agreed("stock is gone", lambda topics: "stock" not in topics)


def test_many_changes_at_once_are_all_made(cluster):
    topics = [NewTopic(f"many-{number}", num_partitions=2, replication_factor=3) for number in range(60)]
    futures = []
    for number, topic in enumerate(topics):
        admin = AdminClient({"bootstrap.servers": cluster[number % 3 + 1].bootstrap})
        futures.append((admin, admin.create_topics([topic])[topic.topic]))
    for _admin, future in futures:
        future.result(60)
    names = {topic.topic for topic in topics}
    cluster.wait_agreed("all are there", lambda seen: names <= set(seen))


def test_the_leader_of_the_quorum_is_killed(cluster):
    create(cluster[1], "before")
    for turn in range(3):
        leader = cluster.quorum_leader()
        others = {member.id for member in cluster.running if member is not leader}
        leader.kill()
        killed = time.monotonic()
        survivor = cluster[min(others)]
        create(survivor, f"after-{turn}", replicas=2)
        created_s = time.monotonic() - killed
        assert created_s < FAILOVER_S, "a topic can be created again"
        cluster.wait_agreed("the dead broker leads nothing", in_sync_everywhere("before", others))
        fenced_s = time.monotonic() - killed
        assert fenced_s < FAILOVER_S, "the dead broker is fenced"
        print(f"broker {leader.id} killed: created after {created_s:.2f} s, fenced after {fenced_s:.2f} s")
        cluster.start(leader.id)
        cluster.wait_agreed("the killed broker agrees", lambda topics: len(topics) > 1)
        # It comes back into the in-sync replicas by replication, which is tested elsewhere.
        create(cluster[leader.id], f"again-{turn}")
        cluster.wait_agreed("it takes part", in_sync_everywhere(f"again-{turn}", {1, 2, 3}))
        # So that the next one does not leave a partition without anyone.
        delete(survivor, "before")
        create(survivor, "before")


def test_a_killed_broker_is_fenced_at_once_and_a_silent_one_after_its_session(cluster):
    create(cluster[1], "t")
    leader = cluster.quorum_leader()
    victim = next(member for member in cluster.running if member is not leader)
    others = {member.id for member in cluster.running if member is not victim}
    started = time.monotonic()
    victim.kill()
    cluster.wait_agreed("fenced", in_sync_everywhere("t", others))
    assert time.monotonic() - started < FAILOVER_S
    cluster.start(victim.id)
    create(leader, "u")
    cluster.wait_agreed("it takes part", in_sync_everywhere("u", {1, 2, 3}))

    victim.process.send_signal(signal.SIGSTOP)
    try:
        wait_for("the silent broker is fenced", lambda: in_sync_everywhere("u", others)(leader.topics()))
    finally:
        victim.process.send_signal(signal.SIGCONT)
    create(leader, "v")
    wait_for("the silent broker is unfenced", lambda: leader.create_topic(f"w-{time.monotonic_ns()}") == 0)
    cluster.wait_agreed("all agree again", lambda topics: "v" in topics)


def test_a_broker_that_stops_hands_over_first(cluster):
    create(cluster[1], "t")
    for stopping in [cluster.quorum_leader(), *cluster.running[:1]]:
        if stopping.process is None:
            continue
        others = {member.id for member in cluster.running if member is not stopping}
        watcher = cluster[min(others)]
        stopping.stop()
        text = stopping.log_text()
        assert "handed over" in text and "have not taken over" not in text, stopping.log_tail()
        # Nothing was to be waited for: the others had it all before the process ended.
        topics = watcher.topics()
        assert all(each.leader in others for each in topics["t"].values()), topics
        cluster.start(stopping.id)
        delete(watcher, "t")
        create(watcher, "t")
        cluster.wait_agreed("it takes part again", in_sync_everywhere("t", {1, 2, 3}))


def test_everything_is_kept_when_all_stop_or_die(cluster):
    for name in ["a", "b"]:
        create(cluster[2], name)
    cluster.wait_agreed("both are there", lambda topics: {"a", "b"} <= set(topics))
    cluster.stop()
    cluster.start()
    cluster.wait_agreed("after a stop", lambda topics: set(topics) == {"a", "b"})
    create(cluster[3], "c")
    cluster.kill()
    cluster.start()
    cluster.wait_agreed("after a loss of power", lambda topics: set(topics) == {"a", "b", "c"})
    assert cluster[1].cluster_id() == "tests"


def test_a_broker_with_an_empty_disk_joins(cluster):
    create(cluster[1], "t")
    joined = cluster.add(4)
    cluster.start(4)
    assert joined.brokers() == {1, 2, 3, 4}
    create(joined, "on-four", replicas=3)
    cluster.wait_agreed("it agrees", lambda topics: {"t", "on-four"} <= set(topics))
    joined.restart()
    cluster.wait_agreed("it comes back", lambda topics: {"t", "on-four"} <= set(topics))


def test_a_voter_that_lost_its_disk_is_taken_in_again(cluster):
    create(cluster[1], "t")
    lost = cluster[2]
    lost.kill()
    shutil.rmtree(lost.data)
    cluster.start(2)
    create(lost, "u")
    cluster.wait_agreed("it agrees", lambda topics: {"t", "u"} <= set(topics))
    # It has a vote again: with it and one other there is a majority.
    other = cluster.quorum_leader()
    other = other if other is not lost else cluster[1]
    other.kill()
    create(lost, "v", replicas=2)
    cluster.wait_agreed("they agree", lambda topics: "v" in topics)


def refused(member: Member) -> str:
    """Starts a broker that must refuse to, and returns what it said."""
    member.process = member.spawn()
    code = member.process.wait(60)
    member.process = None
    assert code not in (0, 101), member.log_tail()
    return member.log_text()


def test_a_broker_of_another_cluster_is_refused_by_name(cluster):
    foreign = cluster.add(4, {"fjord.cluster.id": "elsewhere"})
    text = refused(foreign)
    assert "belongs to cluster tests" in text and "cluster elsewhere" in text, text
    create(cluster[1], "t")
    assert 4 not in cluster[1].brokers()
    # A broker of this cluster is no broker of another one either.
    cluster[3].stop()
    cluster[3].settings["fjord.cluster.id"] = "elsewhere"
    text = refused(cluster[3])
    assert "belongs to cluster tests" in text and "cluster elsewhere" in text, text


def test_a_directory_is_one_brokers_and_an_id_is_one_process(cluster, tmp_path):
    create(cluster[1], "t")
    cluster[3].stop()
    # Another broker's directory.
    foreign = cluster.add(4)
    shutil.copytree(cluster[3].data, foreign.data)
    text = refused(foreign)
    assert "belongs to node 3" in text and "started as node 4" in text, text
    # Nor is it that of the only broker of a cluster.
    alone = Member(tmp_path / "alone", 3, cluster[3].peer_port, {})
    shutil.copytree(cluster[3].data, alone.data)
    assert "belongs to a broker of several" in refused(alone)
    cluster.start(3)
    # A second process under the id of one that runs.
    second = cluster.add(5)
    second.settings["node.id"] = "3"
    text = refused(second)
    assert "Another broker is registered with that broker id 3" in text, text
    cluster[3].check_log()


def test_the_only_brokers_directory_is_refused_in_a_cluster(stopped):
    first = stopped[1]
    alone = Member(first.directory, 1, first.peer_port, {})
    with alone:
        assert alone.create_topic("t", replicas=1) == 0
    assert "only broker of a cluster" in refused(first)


def test_a_cluster_waits_for_all_its_voters_before_it_is_founded(stopped):
    for broker_id in (1, 2):
        stopped[broker_id].process = stopped[broker_id].spawn()
    wait_for("the founder waits", lambda: "waiting for the other brokers" in stopped[1].log_text())
    assert stopped[1].led_in_term() == 0 and not stopped[2].is_ready()
    # It can be stopped while it waits.
    stopped[2].stop()
    stopped.start()
    assert stopped[1].brokers() == {1, 2, 3}
    stopped.stop()


def test_a_broker_without_a_cluster_id_is_refused_by_name(stopped):
    del stopped[1].settings["fjord.cluster.id"]
    assert "fjord.cluster.id is not set" in refused(stopped[1])


def voters(cluster: Cluster) -> set[int]:
    """Who votes, on which all running brokers must agree."""
    seen = []
    for member in cluster.running:
        topic = {"TopicName": "__cluster_metadata", "Partitions": [{"PartitionIndex": 0}]}
        (answer,) = member.ask("DescribeQuorum", 2, {"Topics": [topic]})["Topics"][0]["Partitions"]
        assert answer["ErrorCode"] == 0
        seen.append({voter["ReplicaId"] for voter in answer["CurrentVoters"]})
    assert all(each == seen[0] for each in seen), seen
    return seen[0]


def change_voter(member: Member, what: str, broker_id: int) -> int:
    """Asks for a vote to be given or taken away."""
    body = {"ClusterId": None, "TimeoutMs": 30_000, "VoterId": broker_id, "VoterDirectoryId": uuid.UUID(int=0)}
    if what == "Add":
        body |= {"Listeners": [], "AckWhenCommitted": True}
    return member.ask(f"{what}RaftVoter", 1 if what == "Add" else 0, body)["ErrorCode"]


def test_voters_are_added_and_removed_while_it_runs(cluster):
    cluster.add(4)
    cluster.start(4)
    first = cluster.running[0]
    wait_for("broker 4 is registered", lambda: first.brokers() == {1, 2, 3, 4})
    assert change_voter(first, "Remove", 4) == NOT_FOUND
    assert change_voter(first, "Add", 3) == DUPLICATE
    assert change_voter(first, "Add", 9) == NOT_REGISTERED
    # Any broker takes it.
    assert change_voter(cluster[4], "Add", 4) == 0
    wait_for("all know four voters", lambda: voters(cluster) == {1, 2, 3, 4})
    # Also the leader's vote.
    leader = cluster.wait_quorum_leader()
    assert change_voter(cluster[4], "Remove", leader.id) == 0
    left = {1, 2, 3, 4} - {leader.id}
    wait_for("all know three voters", lambda: voters(cluster) == left)
    # It follows on, and the others do without it.
    create(leader, "made-without-a-vote")
    leader.kill()
    create(cluster[4], "made-by-the-others")
    cluster.start(leader.id)
    wait_for("it has followed", lambda: "made-by-the-others" in leader.topics())


def test_a_voter_that_is_lost_for_ever_is_replaced_and_forgotten(cluster):
    cluster.add(4)
    cluster.start(4)
    lost = cluster.quorum_leader()
    others = {1, 2, 3, 4} - {lost.id}
    wait_for("broker 4 is registered", lambda: cluster[4].brokers() == {1, 2, 3, 4})
    lost.kill()
    wait_for("another one leads", lambda: cluster.quorum_leader() is not lost)

    def unregister() -> int:
        return cluster[4].ask("UnregisterBroker", 0, {"BrokerId": lost.id})["ErrorCode"]

    wait_for("it is refused while it has a vote", lambda: unregister() == INVALID_REQUEST)
    wait_for("broker 4 votes", lambda: change_voter(cluster[4], "Add", 4) in (0, DUPLICATE))
    wait_for("the lost one does not", lambda: change_voter(cluster[4], "Remove", lost.id) in (0, NOT_FOUND))
    wait_for("three voters", lambda: voters(cluster) == others)
    wait_for("it is forgotten", lambda: unregister() == 0)
    wait_for("by all", lambda: all(lost.id not in member.brokers() for member in cluster.running))
