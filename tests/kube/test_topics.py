"""Topics as resources."""

import time

import pytest

from harness.cluster import Pending, wait_for

from .brokers import TOPICS, Brokers
from .kubectl import KubectlFailed

MANY = 1000
MANY_S = 300.0
QUIET_S = 30.0


@pytest.fixture
def demo(brokers) -> Brokers:
    """Three brokers."""
    made = brokers()
    made.wait_settled()
    return made


def names(demo: Brokers) -> set[str]:
    """The topics that the brokers have."""
    return {each["topic"] for each in demo.json("topic", "list")}


def test_a_topic_is_made_grows_and_is_altered(demo):
    demo.topic("orders", partitions=3, replicationFactor=2, config={"retention.ms": "60000"})
    status = demo.wait_topic("orders")
    assert (status["partitions"], status["replicationFactor"]) == (3, 2)
    assert status["topicId"]
    demo.topic("orders", partitions=5, replicationFactor=3, config={"retention.ms": "120000", "max.message.bytes": "2000"})

    def changed() -> dict:
        status = demo.wait_topic("orders")
        if (status["partitions"], status["replicationFactor"]) != (5, 3):
            raise Pending(str(status))
        return status

    wait_for("it is as the resource says", changed)
    configs = {each["name"]: each["value"] for each in demo.json("config", "describe", "--topic", "orders")}
    assert (configs["retention.ms"], configs["max.message.bytes"]) == ("120000", "2000")
    assert status["topicId"] == demo.wait_topic("orders")["topicId"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"partitions": 2}, "cannot become fewer"),
        ({"partitions": 3, "topicName": "others"}, "name cannot be changed"),
        ({"partitions": 3, "cluster": {"name": "other"}}, "cluster of a topic cannot be changed"),
        ({"partitions": 3, "replicationFactor": 0}, "replicationFactor"),
    ],
    ids=["fewer partitions", "another name", "another cluster", "no replicas"],
)
def test_the_api_server_refuses(demo, change, message):
    demo.topic("orders", partitions=3)
    with pytest.raises(KubectlFailed, match=message):
        demo.topic("orders", **change)


def test_more_replicas_than_brokers_are_told(demo):
    demo.topic("wide", partitions=1, replicationFactor=5)
    demo.kubectl.wait_condition(TOPICS, "wide", "Ready", "False")
    told = demo.kubectl.get(TOPICS, "wide")["status"]["conditions"]
    assert any("5" in each["message"] and "3" in each["message"] for each in told), told
    assert "wide" not in names(demo)


def test_what_is_changed_elsewhere_is_put_right_or_reported(demo):
    demo.topic("corrected", partitions=1, config={"retention.ms": "60000"})
    demo.topic("reported", partitions=1, config={"retention.ms": "60000"}, driftPolicy="Report")
    demo.wait_topic("corrected")
    demo.wait_topic("reported")
    for topic in ("corrected", "reported"):
        demo.tool("config", "alter", "--topic", topic, "--set", "retention.ms=1000")
    demo.wait_topic("reported", "InSync", "False")

    def corrected() -> bool:
        configs = {each["name"]: each["value"] for each in demo.json("config", "describe", "--topic", "corrected")}
        if configs["retention.ms"] != "60000":
            raise Pending(configs["retention.ms"])
        return True

    wait_for("it is put right", corrected)


def test_a_topic_that_is_there_already_is_adopted(demo):
    demo.tool("topic", "create", "old", "--partitions", "2", "--replication-factor", "3")
    demo.tool("produce", "old", "kept", "--key", "k")
    demo.topic("adopted", topicName="old", partitions=4)
    status = demo.wait_topic("adopted")
    assert status["partitions"] == 4
    assert "kept" in demo.tool("consume", "old", "--until-end")


def test_deletion_by_either_policy(demo):
    demo.topic("gone", partitions=1, deletionPolicy="Delete")
    demo.topic("stays", partitions=1)
    demo.wait_topic("gone")
    demo.wait_topic("stays")
    demo.kubectl.delete(TOPICS, "gone")
    demo.kubectl.delete(TOPICS, "stays")
    assert "stays" in names(demo)
    assert "gone" not in names(demo)


def test_other_namespaces_take_a_permission(kube, demo):
    other = f"{demo.kubectl.namespace}-other"
    kube.kubectl("create", "namespace", other)
    try:
        elsewhere = demo.kubectl.within(other)
        spec = {"cluster": {"name": "demo", "namespace": demo.kubectl.namespace}, "partitions": 1}
        topic = {"apiVersion": "fjord.dev/v1alpha1", "kind": "Topic", "metadata": {"name": "shared"}, "spec": spec}
        elsewhere.apply(topic)
        elsewhere.wait_condition(TOPICS, "shared", "Ready", "False")
        assert "shared" not in names(demo)
        demo.apply(topicNamespaces=[other])
        elsewhere.wait_condition(TOPICS, "shared", "Ready")
        assert "shared" in names(demo)
    finally:
        kube.kubectl("delete", "namespace", other, "--wait=false")


def test_a_thousand_topics_at_once(release, demo, figures):
    """And a quiet operator, once they are there."""
    spec = {"cluster": {"name": "demo"}, "partitions": 1}
    many = [
        {"apiVersion": "fjord.dev/v1alpha1", "kind": "Topic", "metadata": {"name": f"t-{number}"}, "spec": spec}
        for number in range(MANY)
    ]

    def all_ready() -> bool:
        text = demo.kubectl("get", TOPICS, "--no-headers")
        ready = text.count("TopicReady")
        if ready < MANY:
            raise Pending(f"{ready} of {MANY} are ready")
        return True

    with figures.seconds(f"{MANY} Topics, from their application until all are ready"):
        demo.kubectl.apply(*many)
        wait_for("all are ready", all_ready, MANY_S)
    assert len(names(demo)) >= MANY
    before = release.metric("api_requests_total")
    time.sleep(QUIET_S)
    figures.tell(
        f"requests of an operator with nothing to do, in {QUIET_S:.0f} s", all=release.metric("api_requests_total") - before
    )
