"""The cluster and the images are what the other tests take them for."""

import subprocess

import pytest

from .cluster import NODES
from .load import pod

BOOTSTRAP = "broker-0.broker:9092"
CUT_S = 20.0
"""The controller manager takes a node for lost after ten seconds without a word."""


def ready(node: dict) -> bool:
    """Whether a node says that it is ready."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in node["status"]["conditions"])


def broker(image: str, replicas: int) -> list[dict]:
    """A StatefulSet of brokers that know nothing of each other, spread over zones, with claims and a headless service."""
    labels = {"app": "broker"}
    name = {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    alone = pod("broker", image, ["--data-dir=/data", "--advertise-kafka=$(POD).broker:9092"])["spec"]
    alone["restartPolicy"] = "Always"
    alone["containers"][0] |= {
        "env": [name],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 9292}, "periodSeconds": 1},
    }
    apart = {"labelSelector": {"matchLabels": labels}, "topologyKey": "topology.kubernetes.io/zone"}
    alone["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    spec = {
        "serviceName": "broker",
        "replicas": replicas,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": alone},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    }
    service = {"clusterIP": "None", "selector": labels, "ports": [{"port": 9092}]}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "broker"}, "spec": service},
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "broker"}, "spec": spec},
    ]


@pytest.fixture
def start(kube, kubectl):
    """Starts so many brokers, each a cluster by itself, and waits until they are ready."""

    def start(replicas: int) -> None:
        kubectl.apply(*broker(kube.images.fjord, replicas))
        all_ready = lambda found: found["status"].get("readyReplicas") == replicas  # noqa: E731
        kubectl.wait("statefulset", "broker", f"{replicas} are ready", all_ready)

    return start


def test_all_nodes_are_ready(rig):
    nodes = rig.kubectl.list("nodes")
    assert len(nodes) == NODES
    assert all(map(ready, nodes))


@pytest.mark.parametrize("binary", ["fjord-broker", "fjord-operator", "fjord"])
@pytest.mark.parametrize("tag", ["fjord", "next"])
def test_the_image_has_the_programs(kube, kubectl, tag, binary):
    described = pod("version", getattr(kube.images, tag), ["--version"])
    described["spec"]["containers"][0]["command"] = [f"/usr/bin/{binary}"]
    kubectl.apply(described)
    kubectl.wait("pod", "version", "it has ended well", lambda found: found["status"]["phase"] == "Succeeded")
    assert kubectl.logs("version").startswith(f"{binary} ")


def test_there_is_no_shell(kube, kubectl):
    kubectl.apply(pod("broker", kube.images.fjord, ["--data-dir=/tmp/data"]))
    kubectl.wait_condition("pod", "broker", "Ready")
    with pytest.raises(AssertionError, match="no such file"):
        kubectl.execute("broker", "/bin/sh", "-c", "true")


def test_brokers_are_spread_over_zones_and_keep_their_volumes(rig, kubectl, start):
    start(3)
    pods = kubectl.list("pods", "app=broker")
    zones = {each["metadata"]["labels"].get("topology.kubernetes.io/zone") for each in pods}
    assert len(zones) == 3
    assert None not in zones
    topics = lambda broker: kubectl.execute(broker, "/usr/bin/fjord", "topic", "list", "--output", "json")  # noqa: E731
    kubectl.execute("broker-1", "/usr/bin/fjord", "topic", "create", "kept")
    before = kubectl.get("pod", "broker-1")["metadata"]["uid"]
    kubectl.delete("pod", "broker-1")
    kubectl.wait("pod", "broker-1", "it is another one", lambda found: found["metadata"]["uid"] != before)
    kubectl.wait_condition("pod", "broker-1", "Ready")
    assert "kept" in topics("broker-1")
    assert "kept" not in topics("broker-0")


def test_a_load_reaches_a_broker_by_name(kubectl, start, load):
    start(1)
    kubectl.execute("broker-0", "/usr/bin/fjord", "topic", "create", "orders", "--partitions", "3")
    load = load("load", BOOTSTRAP, {"orders": 3})
    load.wait_acknowledged(500)
    verdict = load.finish()
    assert verdict["wrong"] == {}, verdict
    assert verdict["failed"] == 0
    assert verdict["consumed"] >= verdict["acknowledged"] == verdict["sent"] > 500
    assert 0 < verdict["p50_ms"] <= verdict["p99_ms"] <= verdict["p99_9_ms"] <= verdict["max_ms"]


def test_a_load_tells_what_was_lost(kubectl, start, load):
    start(1)
    kubectl.execute("broker-0", "/usr/bin/fjord", "topic", "create", "orders", "--partitions", "3")
    load = load("load", BOOTSTRAP, {"orders": 3})
    before = load.progress()["acknowledged"]
    kubectl.execute("broker-0", "/usr/bin/fjord", "topic", "delete", "orders")
    # The producer may have made it again already.
    kubectl.execute("broker-0", "/usr/bin/fjord", "topic", "create", "orders", "--partitions", "3", "--if-not-exists")
    # Until then the group seems to be behind: it is where the topic of before was.
    load.wait_acknowledged(2 * before)
    assert load.finish()["wrong"]["lost"] > 0


def test_a_node_is_cut_off_and_comes_back(rig):
    cut = NODES - 1
    try:
        rig.cut_off(cut)
        rig.kubectl.wait("node", f"node-{cut}", "it is lost", lambda found: not ready(found), CUT_S)
    finally:
        rig.put_back(cut)
    rig.kubectl.wait("node", f"node-{cut}", "it is back", ready, CUT_S)


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_helm_reaches_the_cluster(kube, helm):
    command = [kube.program(helm), "list", "--kubeconfig", kube.kubectl.kubeconfig]
    assert subprocess.run(command, capture_output=True, text=True).returncode == 0
