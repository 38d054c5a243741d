"""`fjord config` and `fjord cluster`."""

import shutil

import pytest

from cli.fjord import NOT_FOUND, USAGE
from features import simple as kafka

CONFIG = {"name", "value", "source", "read_only", "sensitive", "documentation"}
SOURCES = {"topic", "broker", "all-brokers", "static", "default"}
BROKER_ID = 1


def described(fjord, *arguments) -> dict[str, dict]:
    rows = fjord.json("config", "describe", *arguments)
    assert all(set(row) == CONFIG and row["source"] in SOURCES for row in rows)
    return {row["name"]: row for row in rows}


def test_the_configs_of_a_topic(fjord, topic):
    """All of them, or those that are named, or those that are set; with what they do."""
    fjord.run("topic", "create", topic, "--config", "retention.ms=1000")
    everything = described(fjord, "--topic", topic)
    assert {"retention.ms", "cleanup.policy", "max.message.bytes"} <= set(everything)
    assert all(row["documentation"] for row in everything.values())
    named = described(fjord, "--topic", topic, "retention.ms", "cleanup.policy")
    assert set(named) == {"retention.ms", "cleanup.policy"}
    assert (named["retention.ms"]["value"], named["retention.ms"]["source"]) == ("1000", "topic")
    assert named["cleanup.policy"]["source"] == "default"
    assert "retention.ms" in described(fjord, "--topic", topic, "--set-only")
    assert "cleanup.policy" not in described(fjord, "--topic", topic, "--set-only")


def test_as_text(fjord, topic):
    """A table, or with what they do."""
    fjord.run("topic", "create", topic, "--config", "retention.ms=1000")
    head, row = fjord.run("config", "describe", "--topic", topic, "retention.ms").text.splitlines()
    assert head.split() == ["CONFIG", "VALUE", "FROM", "CHANGES"]
    assert row.split() == ["retention.ms", "1000", "topic", "while", "it", "runs"]
    first, second = fjord.run("config", "describe", "--topic", topic, "retention.ms", "--documentation").text.splitlines()
    assert first == "retention.ms = 1000 (topic)" and second.startswith("    ")
    changed = fjord.run("config", "alter", "--topic", topic, "--set", "retention.ms=2000")
    assert changed.text == "changed\n"


def test_altering_a_topic(fjord, topic):
    """Set and set back; a dry run changes nothing, and what is refused changes nothing."""
    fjord.run("topic", "create", topic)
    alter = ["config", "alter", "--topic", topic]
    value = lambda: described(fjord, "--topic", topic, "retention.ms")["retention.ms"]["value"]  # noqa: E731
    before = value()
    assert fjord.json(*alter, "--set", "retention.ms=1000", "--dry-run") == {"altered": False}
    assert value() == before
    error = fjord.refused(*alter, "--set", "retention.ms=1000", "--set", "nonsense=1")
    assert error["reason"] == "INVALID_CONFIG" and "nonsense" in error["message"]
    assert value() == before
    assert fjord.json(*alter, "--set", "retention.ms=1000") == {"altered": True}
    assert value() == "1000"
    assert fjord.json(*alter, "--reset", "retention.ms") == {"altered": True}
    assert value() == before


def test_altering_brokers(fjord):
    """For one broker and for all; what is nearer counts."""
    name = "log.retention.ms"
    value = lambda: described(fjord, "--broker-id", BROKER_ID, name)[name]  # noqa: E731
    before = value()["value"]
    fjord.run("config", "alter", "--all-brokers", "--set", f"{name}=86400000")
    assert (value()["value"], value()["source"]) == ("86400000", "all-brokers")
    assert described(fjord, "--all-brokers")[name]["value"] == "86400000"
    fjord.run("config", "alter", "--broker-id", BROKER_ID, "--set", f"{name}=43200000")
    assert (value()["value"], value()["source"]) == ("43200000", "broker")
    fjord.run("config", "alter", "--broker-id", BROKER_ID, "--reset", name)
    fjord.run("config", "alter", "--all-brokers", "--reset", name)
    assert value()["value"] == before
    read_only = described(fjord, "--broker-id", BROKER_ID)
    assert any(row["read_only"] for row in read_only.values())


def test_what_is_not_there(fjord, topic):
    """Its exit code says so; who is not there is named."""
    for command in (["describe"], ["alter", "--set", "retention.ms=1000"]):
        error = fjord.refused("config", command[0], "--topic", topic, *command[1:], code=NOT_FOUND)
        assert error["reason"] == "UNKNOWN_TOPIC_OR_PARTITION"
    assert "77" in fjord.refused("config", "describe", "--broker-id", 77)["message"]


@pytest.mark.parametrize(
    "arguments",
    [["describe"], ["describe", "--topic", "a", "--all-brokers"], ["alter", "--topic", "a"], ["alter", "--set", "a=b"]],
)
def test_wrong_arguments(fjord, arguments):
    """Whose configs, and what is to be changed, has to be said, once."""
    assert fjord.refused("config", *arguments, code=USAGE)["kind"] == "usage"


def test_the_cluster(broker, fjord, topic):
    """Who is there, and how much is on its disk."""
    fjord.run("topic", "create", topic, "--partitions", 7)
    cluster = fjord.json("cluster", "describe")
    assert set(cluster) == {"cluster_id", "controller", "broker", "version", "topics", "partitions", "brokers"}
    metadata = kafka.admin(broker).list_topics(timeout=kafka.TIMEOUT_S)
    assert (cluster["cluster_id"], cluster["controller"]) == (metadata.cluster_id, metadata.controller_id)
    assert (cluster["topics"], cluster["partitions"]) == (
        len(metadata.topics),
        sum(len(topic.partitions) for topic in metadata.topics.values()),
    )
    (one,) = cluster["brokers"]
    keys = {"broker", "host", "port", "rack", "fenced", "stopping", "replicas", "leaders"}
    assert set(one) == keys | {"size_bytes", "disk_total_bytes", "disk_free_bytes"}
    assert not one["fenced"] and not one["stopping"] and one["replicas"] == one["leaders"] >= 7
    assert f"{one['host']}:{one['port']}" == broker.bootstrap and one["broker"] == BROKER_ID
    assert one["disk_total_bytes"] == shutil.disk_usage(broker.data).total
    text = fjord.run("cluster", "describe").text
    assert cluster["cluster_id"] in text and f"{BROKER_ID}*  {broker.bootstrap}" in text
