"""The life of an installation: Helm installs, upgrades and uninstalls it, and records outlive all of that."""

import time
from datetime import datetime

import pytest
import yaml

from harness.cluster import Pending, wait_for
from harness.paths import REPOSITORY

from .brokers import KIND, TOPICS, Brokers
from .kubectl import KubectlFailed
from .release import CRDS, NAMESPACE, Release

EXAMPLES = REPOSITORY / "charts/fjord/examples"


def scheduled(kubectl, pods) -> float:
    """When the last of these pods was given a node, in seconds since 1970."""
    told = [
        each for pod in pods for each in kubectl.get("pod", pod)["status"]["conditions"] if each["type"] == "PodScheduled"
    ]
    return max(datetime.fromisoformat(each["lastTransitionTime"]).timestamp() for each in told)


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_from_nothing_to_the_first_record(rig, release, kubectl, figures, helm):
    release.uninstall()
    for crd in CRDS:
        kubectl.delete("crd", crd)
    begin = time.monotonic()
    Release(rig, helm).install(rig.images.fjord)
    for example in ("cluster.yaml", "topic.yaml"):
        kubectl.apply(yaml.safe_load((EXAMPLES / example).read_text()))

    def stored() -> bool:
        try:
            kubectl.execute("demo-0", "/usr/bin/fjord", "produce", "flights", "EWR,IAH", "--key", "N14228")
        except KubectlFailed as error:
            raise Pending(str(error)) from error
        return True

    wait_for("the first record", stored, 120)
    acknowledged = time.time()
    figures.tell(
        f"from {helm} install to the first record",
        seconds=time.monotonic() - begin,
        after_scheduling=acknowledged - scheduled(kubectl, [f"demo-{broker}" for broker in range(3)]),
    )
    kubectl.wait_condition(KIND, "demo", "Ready")
    kubectl.wait_condition(TOPICS, "flights", "Ready")
    text = kubectl("get", "fjord")
    assert "3/3" in text
    assert "TopicReady" in text


def test_helms_own_test(kube, release, kubectl, brokers):
    brokers(name="demo").wait_settled()
    namespace = kubectl.namespace
    release.install(kube.images.fjord, tests={"cluster": {"name": "demo", "namespace": namespace}})
    assert "Succeeded" in release.helm("test")


def test_brokers_and_clients_do_not_notice_the_operator(kube, release, kubectl, brokers, load):
    """An upgrade, an uninstallation and another installation of it restart no broker and lose no topic."""
    demo = brokers()
    demo.wait_settled()
    demo.topic("orders", partitions=6)
    demo.wait_topic("orders")
    pods, before = demo.pods(), demo.status()
    under = load("load", demo.bootstrap, {"orders": 6})
    under.wait_acknowledged(500)
    operators = release.pods()
    release.install(kube.images.next)
    assert not set(operators) & set(release.pods())
    demo.topic("after-upgrade", partitions=1)
    demo.wait_topic("after-upgrade")
    under.wait_acknowledged(500)
    release.uninstall()
    under.wait_acknowledged(500)
    assert kubectl("get", TOPICS, "--output", "name").split()
    release.install(kube.images.fjord)
    demo.topic("after-installation", partitions=1)
    demo.wait_topic("after-installation")
    under.wait_acknowledged(500)
    verdict = under.finish()
    assert verdict["wrong"] == {}, verdict
    assert verdict["failed"] == 0
    assert demo.pods() == pods
    assert demo.status()["clusterId"] == before["clusterId"]
    assert demo.status()["image"] == kube.images.fjord


def test_a_deleted_cluster_leaves_its_records_to_the_next_one(kubectl, brokers):
    demo = brokers()
    cluster_id = demo.wait_settled()["clusterId"]
    demo.topic("kept", partitions=1)
    demo.wait_topic("kept")
    demo.tool("produce", "kept", "still here", "--key", "k")
    kubectl.delete(KIND, "demo")
    wait_for("nothing of it runs", lambda: not demo.pods(), 90)
    assert len(kubectl.list("pvc")) == 3
    again = Brokers(kubectl, "demo")
    assert again.wait_settled()["clusterId"] == cluster_id
    assert "still here" in again.tool("consume", "kept", "--until-end")
    again.wait_topic("kept")


def test_an_uninstalled_operator_leaves_nothing_stuck(kube, release, kubectl, brokers):
    """Namespaces with Topics that are to be deleted with their records can be deleted all the same."""
    demo = brokers()
    demo.topic("orders", partitions=1, deletionPolicy="Delete")
    demo.wait_topic("orders")
    release.uninstall()
    try:
        kubectl("delete", "namespace", kubectl.namespace, "--wait=true", timeout_s=120)
        left = kubectl.within(NAMESPACE)("get", "all,configmaps,roles,rolebindings,leases", "--output", "name").split()
        assert [each for each in left if "kube-root-ca" not in each] == []
    finally:
        release.install(kube.images.fjord)


def test_volumes_of_nobody_knows_which_cluster_are_refused(kubectl, brokers):
    """A claim that is there already, and does not say whose it is, might have records."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    labels = {
        "app.kubernetes.io/name": "fjord",
        "app.kubernetes.io/instance": "demo",
        "app.kubernetes.io/component": "broker",
    }
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data-demo-0", "labels": labels}}
    kubectl.apply({**claim, "spec": spec})
    demo = brokers()
    told = demo.wait_condition("Ready", "False")
    assert told["reason"] == "ForeignVolumes"
    assert "data-demo-0" in told["message"]
    kubectl.delete("pvc", "data-demo-0")
    demo.wait_settled()
