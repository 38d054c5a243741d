"""What whoever operates a cluster asks of it: how it grows from one broker, may be restarted, and loses a broker."""

import shutil

import pytest

from grpc_api.api import Api
from harness.cluster import Cluster, Pending, wait_for
from harness.protos import pb

TOPIC = "operated"
BOOTSTRAP = "controller.quorum.bootstrap.servers"


@pytest.fixture
def cluster(tmp_path, request):
    """A cluster that broker 0 has founded alone, and that brokers 1 and 2 have joined, all of them voters."""
    with Cluster(tmp_path / "cluster", count=1, first=0) as cluster:
        cluster.start()
        cluster.add(1)
        cluster.add(2)
        cluster.start()
        with Api(cluster[0]) as api:
            for broker in (1, 2):
                api.cluster.AddVoter(pb.AddVoterRequest(broker=broker))
        yield cluster
        cluster.check_after(request.node)


def create(api: Api, cluster: Cluster, **configs: str) -> None:
    """The topic, on all brokers and in sync."""
    request = pb.CreateTopicRequest(topic=TOPIC, partitions=6, replication_factor=3, configs=configs)
    api.topics.CreateTopic(request)
    cluster.wait_agreed("all in sync", lambda topics: all(len(p.in_sync) == 3 for p in topics[TOPIC].values()))


def brokers(api: Api) -> dict[int, object]:
    """The brokers as one of them tells, by id."""
    return {each.broker: each for each in api.cluster.DescribeCluster(pb.DescribeClusterRequest()).brokers}


def risks(api: Api, *ids: int, lost: bool = False) -> list[tuple]:
    """What would be at risk without these brokers, or if they came back with empty disks."""
    found = api.cluster.CheckRestart(pb.CheckRestartRequest(brokers=ids, max_risks=1000, lost=lost))
    assert found.risk_count == len(found.risks)
    return [(each.kind, each.partition, sorted(each.left), each.needed) for each in found.risks]


def forget_founding(cluster: Cluster) -> None:
    """From the next start on, brokers know only whom to join: none of them ever founds a cluster."""
    for member in cluster.members.values():
        member.settings.pop("controller.quorum.voters", None)
        others = (each.peer for each in cluster.members.values() if each is not member)
        peers = {"fjord.peer.listen": member.peer, "fjord.peer.advertised": member.peer}
        member.settings.update({BOOTSTRAP: ",".join(others), **peers})


def test_a_cluster_of_one_grows_and_never_founds_again(cluster, apis):
    """It goes on with brokers that know no voters; one that has lost its disk joins as another one, without a vote."""
    create(apis(cluster[0]), cluster)
    cluster.stop()
    forget_founding(cluster)
    cluster.start()
    before = brokers(apis(cluster[1]))
    cluster[0].stop()
    shutil.rmtree(cluster[0].data)
    cluster.start(0)
    api = apis(cluster[1])
    cluster.wait_agreed("all in sync", lambda topics: all(len(p.in_sync) == 3 for p in topics[TOPIC].values()))
    after = brokers(api)
    assert [each for each in before if before[each].directory_id != after[each].directory_id] == [0]
    quorum = api.cluster.DescribeQuorum(pb.DescribeQuorumRequest())
    assert {each.broker for each in quorum.voters} == {1, 2}
    assert cluster[0].cluster_id() == cluster[1].cluster_id()
    api.cluster.AddVoter(pb.AddVoterRequest(broker=0))
    quorum = api.cluster.DescribeQuorum(pb.DescribeQuorumRequest())
    assert {each.broker for each in quorum.voters} == {0, 1, 2}


def test_brokers_that_lost_all_disks_do_not_found(cluster, tmp_path):
    """Without a voter to join, a broker with an empty disk waits; it makes no second cluster."""
    cluster.stop()
    forget_founding(cluster)
    shutil.rmtree(cluster[0].data)
    cluster[0].process = cluster[0].spawn()
    waiting = "waiting for the other brokers of the cluster"
    wait_for("the broker waits", lambda: waiting in cluster[0].log_text().split("stopped")[-1])
    assert not cluster[0].is_ready()


def test_restarts_are_checked(cluster, apis):
    """A second broker at the same time is a risk for the quorum and for min.insync.replicas; later it is none."""
    create(apis(cluster[0]), cluster, **{"min.insync.replicas": "2"})
    api = apis(cluster[0])
    assert risks(api, 1) == []
    assert (pb.RESTART_RISK_KIND_NO_QUORUM, -1, [0], 2) in risks(api, 1, 2)
    cluster[2].stop()
    wait_for("broker 2 is fenced", lambda: brokers(api)[2].fenced)
    assert brokers(api)[2].out_of_sync == 6
    under = [(pb.RESTART_RISK_KIND_UNDER_MIN_IN_SYNC, partition, [0], 2) for partition in range(6)]
    assert risks(api, 1) == [(pb.RESTART_RISK_KIND_NO_QUORUM, -1, [0], 2), *under]
    assert risks(api, 2) == []
    cluster.start(2)
    wait_for("nothing is at risk", lambda: risks(api, 1) == [])
    assert brokers(api)[2].out_of_sync == 0


def test_what_would_be_lost_with_a_disk_is_told(cluster, apis):
    """Whether the broker runs does not matter, only whether another replica has it all."""
    api = apis(cluster[0])
    create(api, cluster, **{"min.insync.replicas": "2"})
    assert risks(api, 2, lost=True) == []
    api.topics.CreateTopic(pb.CreateTopicRequest(topic="alone", partitions=3, replication_factor=1))
    topics = wait_for("the new topic", lambda: cluster.agreed().get("alone"))
    [alone] = [index for index, partition in topics.items() if partition.replicas == (2,)]
    expected = [(pb.RESTART_RISK_KIND_LOST_RECORDS, alone, [], 1)]
    assert risks(api, 2, lost=True) == expected
    assert risks(api, 2) == []
    cluster[2].stop()
    wait_for("broker 2 is fenced", lambda: brokers(api)[2].fenced)
    assert risks(api, 2, lost=True) == expected
    api.topics.DeleteTopic(pb.DeleteTopicRequest(topic="alone"))
    wait_for("nothing would be lost", lambda: risks(api, 2, lost=True) == [])
    cluster.start(2)


def test_a_cordoned_broker_gets_nothing_new(cluster, apis):
    """It keeps what it has until it is drained; then it has nothing."""
    api = apis(cluster[0])
    create(api, cluster)
    cordon = {"resource": pb.ConfigResource(broker=2), "set": {"cordoned.log.dirs": "*"}}
    api.configs.AlterConfigs(pb.AlterConfigsRequest(**cordon))
    assert {each: broker.cordoned for each, broker in brokers(api).items()} == {0: False, 1: False, 2: True}
    api.topics.CreateTopic(pb.CreateTopicRequest(topic="new", partitions=12, replication_factor=2))
    topics = wait_for("the new topic", lambda: cluster.agreed().get("new"))
    assert {each for partition in topics.values() for each in partition.replicas} == {0, 1}
    assert brokers(api)[2].replicas == 6
    factor = pb.ReplicationFactorGoal(topics=[TOPIC], replication_factor=2)
    reassign(api, pb.PlanReassignmentsRequest(replication_factor=factor))
    reassign(api, pb.PlanReassignmentsRequest(drain=pb.DrainGoal(brokers=[2])))
    wait_for("broker 2 has nothing", lambda: brokers(api)[2].replicas == 0)
    api.configs.AlterConfigs(pb.AlterConfigsRequest(resource=pb.ConfigResource(broker=2), reset=["cordoned.log.dirs"]))
    assert not brokers(api)[2].cordoned


def reassign(api: Api, plan) -> None:
    """Carries a plan out."""
    planned = api.cluster.PlanReassignments(plan)
    assert planned.unfinished_partitions == 0
    moves = [pb.Reassignment(topic=each.topic, partition=each.partition, replicas=each.to) for each in planned.moves]
    response = api.topics.ReassignPartitions(pb.ReassignPartitionsRequest(reassignments=moves))
    assert not [each for each in response.partitions if each.error.reason]

    def done() -> bool:
        if found := api.topics.ListReassignments(pb.ListReassignmentsRequest()).reassignments:
            raise Pending(f"still on their way: {found}")
        return True

    wait_for("the reassignment", done)
