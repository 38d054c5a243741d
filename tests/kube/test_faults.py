"""What befalls brokers, nodes and the operator, under load: nothing that was acknowledged is lost."""

import json

import pytest

from harness.cluster import Pending, wait_for

from .brokers import Brokers
from .kubectl import KubectlFailed
from .test_rolling import LOAD, faultless, images

LOST_S = 240.0


@pytest.fixture
def demo(brokers) -> Brokers:
    """Three brokers, each on a node of its own, with a topic."""
    labels = {"app.kubernetes.io/name": "fjord", "app.kubernetes.io/instance": "demo"}
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    made = brokers(pod={"topologySpreadConstraints": [{**spread, "labelSelector": {"matchLabels": labels}}]})
    made.wait_settled()
    made.topic("orders", partitions=6)
    made.wait_topic("orders")
    return made


def own_node(demo: Brokers, release) -> int:
    """A broker, on a node where no other broker and no leading operator is, nor what the rig needs for itself."""
    taken = {"node-0", release.kubectl.get("pod", release.leader())["spec"]["nodeName"]}
    where = {broker: demo.node_of(broker) for broker in range(3)}
    free = [broker for broker, node in where.items() if node not in taken and list(where.values()).count(node) == 1]
    return free[0] if free else -1


def test_a_killed_broker(demo, load):
    """Its pod is gone at once, without a word."""
    under = load("load", demo.bootstrap, LOAD)
    under.wait_acknowledged(500)
    uid = demo.pods()["demo-1"]
    demo.kubectl("delete", "pod", "demo-1", "--grace-period=0", "--force")
    demo.wait_other_pod(1, uid)
    demo.wait_settled()
    under.wait_acknowledged(500)
    faultless(under.finish())


def test_a_node_is_cut_off_and_comes_back(rig, release, demo, load, kubectl):
    broker = own_node(demo, release)
    assert broker >= 0, kubectl("get", "pods", "--output", "wide")
    node = demo.node_of(broker)
    others = [demo.node_of(each) for each in range(3) if each != broker]
    under = load("load", demo.bootstrap, LOAD, node=others[0])
    under.wait_acknowledged(500)
    rig.cut_off(int(node.removeprefix("node-")))
    try:
        kubectl.wait_condition("pod", f"demo-{broker}", "Ready", "False")
        under.wait_acknowledged(500)
        demo.wait_condition("Degraded")
    finally:
        rig.put_back(int(node.removeprefix("node-")))
    demo.wait_settled()
    under.wait_acknowledged(500)
    faultless(under.finish())


def evict(demo: Brokers, broker: int) -> None:
    """Asks for an eviction, as a drained node does."""
    pod = f"demo-{broker}"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    path = f"/api/v1/namespaces/{demo.kubectl.namespace}/pods/{pod}/eviction"
    demo.kubectl("create", "--raw", path, "--filename", "-", stdin=json.dumps(eviction))


def test_evictions_are_one_at_a_time(demo, load):
    under = load("load", demo.bootstrap, LOAD)
    under.wait_acknowledged(500)
    for broker in range(3):
        uid = demo.pods()[f"demo-{broker}"]

        def evicted(broker=broker) -> bool:
            try:
                evict(demo, broker)
            except KubectlFailed as error:
                # The one before is not back yet, and the budget says so.
                assert "disruption budget" in str(error)
                raise Pending(str(error)) from error
            return True

        wait_for(f"broker {broker} may be evicted", evicted, 90)
        if broker == 0:
            with pytest.raises(KubectlFailed, match="disruption budget"):
                evict(demo, 1)
        demo.wait_other_pod(broker, uid)
    demo.wait_settled()
    faultless(under.finish())


def test_the_operator_restarts_in_the_middle_of_everything(kube, release, demo, load):
    """Of a rolling change, of growth and of shrinking: whoever leads next goes on."""
    under = load("load", demo.bootstrap, LOAD)
    under.wait_acknowledged(500)
    pods = demo.pods()
    demo.apply(image=kube.images.next)

    def begun() -> bool:
        if not set(pods.values()) - set(demo.pods().values()):
            raise Pending("no broker is restarted")
        return True

    wait_for("the first broker is restarted", begun, 60)
    release.restart()
    demo.wait_settled(240)
    assert images(demo) == {kube.images.next}
    demo.apply(replicas=4)
    wait_for("there is a fourth pod", lambda: len(demo.pods()) == 4, 60)
    release.restart()
    demo.wait_settled(240)
    demo.apply(replicas=3)

    def leaving() -> bool:
        if not any(each.get("cordoned") for each in demo.status()["brokers"]):
            raise Pending("no broker is cordoned")
        return True

    wait_for("a broker begins to leave", leaving, 60)
    release.restart()
    demo.wait_settled(240)
    assert len(demo.pods()) == 3
    faultless(under.finish())


def test_a_disk_is_lost(demo, load):
    """Somebody says so, and the broker is replaced by an empty one, which gets everything and its vote again."""
    under = load("load", demo.bootstrap, LOAD)
    under.wait_acknowledged(1000)
    before = {each["broker"]: each["directoryId"] for each in demo.status()["brokers"]}
    uid = demo.pods()["demo-2"]
    demo.kubectl("annotate", "pvc", "data-demo-2", "fjord.dev/replace=true")
    demo.wait_other_pod(2, uid)
    demo.wait_settled()
    after = {each["broker"]: each["directoryId"] for each in demo.status()["brokers"]}
    assert after[2] != before[2]
    assert (after[0], after[1]) == (before[0], before[1])
    under.wait_acknowledged(500)
    faultless(under.finish())


def test_a_node_is_lost_for_ever(rig, release, demo, load, kubectl):
    """Once its Node is deleted, its broker comes back elsewhere."""
    broker = own_node(demo, release)
    assert broker >= 0, kubectl("get", "pods", "--output", "wide")
    node, uid = demo.node_of(broker), demo.pods()[f"demo-{broker}"]
    others = [demo.node_of(each) for each in range(3) if each != broker]
    under = load("load", demo.bootstrap, LOAD, node=others[0])
    under.wait_acknowledged(500)
    with rig.lost(int(node.removeprefix("node-"))):
        kubectl.wait_condition("pod", f"demo-{broker}", "Ready", "False")
        under.wait_acknowledged(500)
        kubectl("delete", "node", node)
        demo.wait_other_pod(broker, uid, LOST_S)
        assert demo.node_of(broker) in others
        demo.wait_settled()
        under.wait_acknowledged(500)
        faultless(under.finish())
