"""`fjord topic`: create, list, describe, alter and delete."""

import pytest

from cli.fjord import NOT_FOUND, USAGE
from features import simple as kafka

TOPIC = {"topic", "topic_id", "partitions", "replication_factor", "internal"}
PARTITION = {
    *("partition", "leader", "leader_epoch", "replicas", "in_sync_replicas"),
    *("log_start_offset", "high_watermark", "size_bytes"),
}


def names(fjord, *options) -> set[str]:
    return {row["topic"] for row in fjord.json("topic", "list", *options)}


def partition_count(broker, topic: str) -> int:
    """As a Kafka client sees it."""
    return len(kafka.admin(broker).list_topics(topic, kafka.TIMEOUT_S).topics[topic].partitions)


def configs(fjord, topic: str, *options) -> dict[str, tuple[str, str]]:
    (described,) = fjord.json("topic", "describe", topic, *options)
    return {config["name"]: (config["value"], config["source"]) for config in described["configs"]}


def test_a_topic_from_beginning_to_end(broker, fjord, topic):
    """A topic is made, is there for both protocols, and is gone again; the JSON has what the manual says."""
    created = fjord.json("topic", "create", topic, "--partitions", 3, "--config", "retention.ms=7200000")
    assert set(created) == TOPIC | {"created"}
    assert (created["topic"], created["partitions"], created["replication_factor"]) == (topic, 3, 1)
    assert (created["created"], created["internal"]) == (True, False)
    assert partition_count(broker, topic) == 3

    (listed,) = [row for row in fjord.json("topic", "list") if row["topic"] == topic]
    assert set(listed) == TOPIC
    assert listed == {name: created[name] for name in TOPIC}

    fjord.run("produce", topic, "one", "two", "--partition", 1)
    (described,) = fjord.json("topic", "describe", topic)
    assert set(described) == TOPIC | {"partition_count", "configs"}
    assert described["partition_count"] == 3
    assert [set(partition) for partition in described["partitions"]] == [PARTITION] * 3
    assert [partition["partition"] for partition in described["partitions"]] == [0, 1, 2]
    assert [partition["high_watermark"] for partition in described["partitions"]] == [0, 2, 0]
    assert described["partitions"][1]["size_bytes"] > 0
    assert [config["name"] for config in described["configs"]] == ["retention.ms"]

    assert fjord.json("topic", "delete", topic) == {"topic": topic, "deleted": True}
    assert topic not in names(fjord)


def test_as_text(fjord, topic):
    """The same for people."""
    assert fjord.run("topic", "create", topic, "-p", 2).text == f"topic {topic} created: 2 partitions, 1 replicas each\n"
    head, *rows = fjord.run("topic", "list").text.splitlines()
    assert head.split() == ["TOPIC", "PARTITIONS", "REPLICAS", "ID"]
    assert [row.split()[1:3] for row in rows if row.split()[0] == topic] == [["2", "1"]]
    fjord.run("produce", topic, "x", "--partition", 1)
    described = fjord.run("topic", "describe", topic).text
    assert f"topic       {topic}\n" in described and "at most 1, " in described
    ends = [row.split()[6] for row in described.splitlines()[-2:]]
    assert ends == ["0", "1"]
    assert fjord.run("topic", "alter", topic, "-p", 3).text == f"topic {topic} changed\n"
    assert fjord.run("topic", "delete", topic).text == f"topic {topic} deleted\n"


def test_a_topic_that_is_there(fjord, topic):
    """It is refused, unless that is fine."""
    fjord.run("topic", "create", topic)
    error = fjord.refused("topic", "create", topic)
    assert (error["kind"], error["reason"], error["code"]) == ("api", "TOPIC_ALREADY_EXISTS", "AlreadyExists")
    assert topic in error["message"] and error["retriable"] is False
    assert fjord.json("topic", "create", topic, "--if-not-exists") == {"topic": topic, "created": False}


def test_a_topic_that_is_not_there(fjord, topic):
    """Every command says so with its own exit code; deleting may be fine with that."""
    for command in (["describe"], ["delete"], ["alter", "--partitions", "3"]):
        error = fjord.refused("topic", command[0], topic, *command[1:], code=NOT_FOUND)
        assert error["reason"] == "UNKNOWN_TOPIC_OR_PARTITION" and topic in error["message"]
    assert fjord.json("topic", "delete", topic, "--if-exists") == {"topic": topic, "deleted": False}


def test_deleting_several_ends_at_the_first_that_fails(fjord, topic):
    """What was deleted before is told; what comes after is still there."""
    first, missing, last = f"{topic}-first", f"{topic}-missing", f"{topic}-last"
    for name in (first, last):
        fjord.run("topic", "create", name)
    ended = fjord.run("topic", "delete", first, missing, last, "--output", "json", code=NOT_FOUND)
    assert ended.rows == [{"topic": first, "deleted": True}]
    assert missing in ended.error["message"]
    assert names(fjord) & {first, last} == {last}
    rows = fjord.rows("topic", "delete", first, last, "--if-exists")
    assert [row["deleted"] for row in rows] == [False, True]


def test_a_dry_run_makes_and_changes_nothing(fjord, topic):
    """It says whether it would work, and that is all."""
    created = fjord.json("topic", "create", topic, "--partitions", 2, "--dry-run")
    assert (created["created"], created["partitions"]) == (False, 2)
    assert "would be created" in fjord.run("topic", "create", topic, "--dry-run").text
    assert topic not in names(fjord)
    fjord.refused("topic", "create", topic, "--dry-run", "--config", "nonsense=1")

    fjord.run("topic", "create", topic, "--partitions", 2)
    altered = fjord.json("topic", "alter", topic, "--partitions", 5, "--set", "retention.ms=1000", "--dry-run")
    assert altered == {"topic": topic, "altered": False}
    (described,) = fjord.json("topic", "describe", topic)
    assert (described["partition_count"], described["configs"]) == (2, [])


def test_alter(broker, fjord, topic):
    """More partitions, and configs that are set and set back; fewer partitions are refused."""
    fjord.run("topic", "create", topic, "--partitions", 2, "--config", "cleanup.policy=compact")
    changes = ["--partitions", 4, "--set", "retention.ms=1000", "--set", "max.message.bytes=5000"]
    assert fjord.json("topic", "alter", topic, *changes, "--reset", "cleanup.policy") == {"topic": topic, "altered": True}
    assert partition_count(broker, topic) == 4
    assert configs(fjord, topic) == {"retention.ms": ("1000", "topic"), "max.message.bytes": ("5000", "topic")}
    assert configs(fjord, topic, "--all-configs")["cleanup.policy"] == ("delete", "default")
    assert fjord.refused("topic", "alter", topic, "--partitions", 3)["reason"] == "INVALID_PARTITIONS"
    assert fjord.refused("topic", "alter", topic, "--set", "retention.ms=soon")["reason"] == "INVALID_CONFIG"
    assert fjord.refused("topic", "alter", topic, code=USAGE)["kind"] == "usage"


def test_internal_topics_are_listed_when_asked_for(fjord, topic, group):
    """Those of the brokers themselves are left out otherwise."""
    fjord.run("produce", topic, "x")
    fjord.run("consume", topic, "--group", group, "--until-end")
    rows = fjord.json("topic", "list", "--internal")
    assert topic in {row["topic"] for row in rows}
    assert {row["topic"] for row in rows if not row["internal"]} == names(fjord)


WRONG = [["--partitions", "0"], ["--partitions", "x"], ["--config", "retention.ms"], ["--nope"]]


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_arguments(fjord, topic, arguments):
    """They are refused before anything is sent, with the argument that is wrong."""
    told = fjord.run("topic", "create", topic, *arguments, code=USAGE).stderr
    assert arguments[0] in told and "--help" in told
    assert fjord.refused("topic", "create", topic, *arguments, code=USAGE)["kind"] == "usage"
    assert topic not in names(fjord)
