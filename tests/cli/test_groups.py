"""`fjord consume --group` and `fjord group`: members, lag, offsets that are reset, groups that are deleted."""

import signal
import subprocess

import pytest

from cli.fjord import BINARY, FAILED, NOT_FOUND, TIMEOUT_S, USAGE, environment
from features import simple as kafka

GROUP = {"group", "state", "protocol_type", "assignor", "lag", "members", "partitions"}
PARTITION = {
    *("topic", "partition", "committed_offset", "metadata"),
    *("log_start_offset", "high_watermark", "lag", "member_id"),
}
MEMBER = {"member_id", "instance_id", "client_id", "host", "partitions"}


def described(fjord, group: str) -> dict:
    (row,) = fjord.json("group", "describe", group)
    assert set(row) == GROUP
    assert all(set(partition) == PARTITION for partition in row["partitions"])
    assert all(set(member) == MEMBER for member in row["members"])
    return row


def committed(fjord, group: str) -> dict[int, int]:
    return {each["partition"]: each["committed_offset"] for each in described(fjord, group)["partitions"]}


def consumed(fjord, topic: str, group: str, *options) -> list[str]:
    return fjord.run("consume", topic, "--group", group, *options).text.splitlines()


@pytest.fixture
def read(fjord, topic, group):
    """A topic of two partitions with five records each, all of which a group has read."""
    fjord.run("topic", "create", topic, "--partitions", 2)
    for partition in (0, 1):
        values = [f"{partition}-{number}" for number in range(5)]
        fjord.run("produce", topic, *values, "--partition", partition)
    assert len(consumed(fjord, topic, group, "--until-end")) == 10
    return topic


def test_a_group_reads_each_record_once(fjord, topic, group):
    """It begins where it stopped; the lag is what it has not read."""
    fjord.run("topic", "create", topic, "--partitions", 2)
    first = [f"a{number}" for number in range(20)]
    fjord.run("produce", topic, *first)
    assert sorted(consumed(fjord, topic, group, "--until-end")) == sorted(first)
    assert consumed(fjord, topic, group, "--until-end") == []
    fjord.run("produce", topic, "b0", "b1", "b2", "--partition", 1)
    row = described(fjord, group)
    assert (row["group"], row["state"], row["members"], row["lag"]) == (group, "Empty", [], 3)
    assert {each["partition"]: each["lag"] for each in row["partitions"]}[1] == 3
    assert consumed(fjord, topic, group, "--until-end") == ["b0", "b1", "b2"]
    assert described(fjord, group)["lag"] == 0


def test_a_count_commits_what_was_printed_and_no_more(fjord, topic, group):
    """Records that came along with the last one are the next ones."""
    fjord.run("topic", "create", topic, "--partitions", 1)
    values = [str(number) for number in range(10)]
    fjord.run("produce", topic, *values)
    assert consumed(fjord, topic, group, "--count", 3) == values[:3]
    assert committed(fjord, group) == {0: 3}
    assert consumed(fjord, topic, group, "--count", 4) == values[3:7]
    assert consumed(fjord, topic, group, "--until-end") == values[7:]


def test_where_a_new_group_begins(fjord, topic, group):
    """At the beginning, or at the end; other places are for reset-offsets."""
    fjord.run("topic", "create", topic, "--partitions", 1)
    fjord.run("produce", topic, "old")
    assert consumed(fjord, topic, group, "--from", "end", "--until-end") == []
    assert consumed(fjord, topic, f"{group}-2", "--from", "beginning", "--until-end") == ["old"]
    error = fjord.refused("consume", topic, "--group", group, "--from", "5", code=USAGE)
    assert "reset-offsets" in error["message"]


def test_list_and_describe(fjord, read, group):
    """Groups are listed with their state; as text there is a table of what is committed."""
    (listed,) = [row for row in fjord.json("group", "list") if row["group"] == group]
    assert listed == {"group": group, "state": "Empty", "protocol_type": "consumer"}
    rows = [row.split() for row in fjord.run("group", "list").text.splitlines()]
    assert rows[0] == ["GROUP", "STATE", "TYPE"] and [group, "Empty", "consumer"] in rows
    text = fjord.run("group", "describe", group).text
    assert f"group     {group}\nstate     Empty\n" in text and "lag       0\n" in text
    assert [row.split() for row in text.splitlines()[-2:]] == [
        [read, str(partition), "5", "0", "5", "0", "-"] for partition in (0, 1)
    ]


def test_an_interrupted_member_leaves(fjord, topic, group):
    """SIGINT is no failure: what was printed is committed, and the partitions are free at once."""
    fjord.run("topic", "create", topic, "--partitions", 2)
    fjord.run("produce", topic, "a", "b", "c", "--partition", 0)
    member = fjord.start("consume", topic, "--group", group)
    member.wait("the records", lambda: len(member.stdout.splitlines()) == 3)
    row = described(fjord, group)
    assert row["state"] == "Stable"
    (one,) = row["members"]
    assert one["client_id"] == "fjord" and len(one["partitions"]) == 2
    assert {each["member_id"] for each in row["partitions"]} == {one["member_id"]}
    assert one["member_id"] in fjord.run("group", "describe", group).text
    member.signal(signal.SIGINT)
    ended = member.finish()
    assert (ended.text.splitlines(), ended.stderr) == (["a", "b", "c"], "")
    row = described(fjord, group)
    assert (row["state"], row["members"]) == ("Empty", [])
    assert committed(fjord, group)[0] == 3


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_members_share_and_take_over(fjord, topic, group, how):
    """Two members have half of the partitions each; when one ends, the other has all, and no record is lost."""
    fjord.run("topic", "create", topic, "--partitions", 4)
    members = [fjord.start("consume", topic, "--group", group, "--instance-id", f"{group}-{place}") for place in (0, 1)]

    def shared() -> bool:
        if group not in {row["group"] for row in fjord.json("group", "list")}:
            return False
        row = described(fjord, group)
        return row["state"] == "Stable" and [len(each["partitions"]) for each in row["members"]] == [2, 2]

    kafka.wait_until("the partitions are shared", shared)
    for partition in range(4):
        fjord.run("produce", topic, f"first {partition}", "--partition", partition)
    kafka.wait_until("all has come", lambda: sum(len(each.stdout.splitlines()) for each in members) == 4)
    members[0].signal(how)
    before = members[0].finish().text.splitlines()
    # It has left: the session of a static member would have lasted on.
    assert [each["instance_id"] for each in described(fjord, group)["members"]] == [f"{group}-1"]
    for partition in range(4):
        fjord.run("produce", topic, f"second {partition}", "--partition", partition)
    members[1].wait("the records of all partitions", lambda: len(members[1].stdout.splitlines()) == 6)
    members[1].signal(how)
    after = members[1].finish().text.splitlines()
    assert sorted(before + after) == sorted(f"{when} {number}" for when in ("first", "second") for number in range(4))


def test_a_closed_pipe_ends_a_member_quietly(fjord, topic, group):
    """It leaves the group as if it was interrupted, and says nothing."""
    fjord.run("topic", "create", topic, "--partitions", 1)
    fjord.run("produce", topic, stdin=b"".join(b"%d\n" % number for number in range(100_000)))
    command = f'"{BINARY}" -b {fjord.address} consume {topic} --group {group} | head -n 3; exit ${{PIPESTATUS[0]}}'
    ended = subprocess.run(["bash", "-c", command], capture_output=True, env=environment(), timeout=TIMEOUT_S)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"0\n1\n2\n", b"")
    row = described(fjord, group)
    assert (row["state"], row["members"]) == ("Empty", [])


def test_a_pattern_subscribes_topics(fjord, topic, group):
    """All topics whose whole name matches, also one that is made later."""
    fjord.run("topic", "create", f"{topic}-one")
    member = fjord.start("consume", "--group", group, "--pattern", f"{topic}-.*", "--output", "json")
    fjord.run("produce", f"{topic}-one", "1")
    member.wait("the first topic", lambda: [row["value"] for row in member.rows] == ["1"])
    fjord.run("topic", "create", f"{topic}-two")
    fjord.run("produce", f"{topic}-two", "2")
    member.wait("the second topic", lambda: {row["value"] for row in member.rows} == {"1", "2"})
    assert {row["topic"] for row in member.rows} == {f"{topic}-one", f"{topic}-two"}


def test_a_group_moves_between_protocols(broker, fjord, topic, group):
    """What a Kafka client has committed is where the command line goes on, and back again."""
    fjord.run("topic", "create", topic, "--partitions", 1)
    values = [b"%d" % number for number in range(30)]
    kafka.produce(broker, topic, values)

    def by_kafka(count: int) -> list[bytes]:
        client = kafka.consumer(broker, group)
        client.subscribe([topic])
        messages = kafka.read(client, count)
        client.commit(asynchronous=False)
        client.close()
        return [message.value() for message in messages]

    by_fjord = lambda count: fjord.run("consume", topic, "--group", group, "--count", count).stdout.split()  # noqa: E731
    assert by_kafka(10) + by_fjord(10) + by_kafka(5) + by_fjord(5) == values
    assert described(fjord, group)["lag"] == 0


RESETS = [
    (["--to", "beginning"], {0: 0, 1: 0}),
    (["--to", "end"], {0: 5, 1: 5}),
    (["--to", "2"], {0: 2, 1: 2}),
    (["--shift", "-2"], {0: 3, 1: 3}),
    (["--shift", "-100"], {0: 0, 1: 0}),
    (["--to", "@0"], {0: 0, 1: 0}),
    (["--to", "1h"], {0: 0, 1: 0}),
]


@pytest.mark.parametrize(("options", "after"), RESETS, ids=lambda value: "".join(value) if isinstance(value, list) else "")
def test_reset_offsets(fjord, read, group, options, after):
    """A dry run says what would be and changes nothing; then it is done, and the group goes on there."""
    reset = ["group", "reset-offsets", group, *options]
    would = fjord.json(*reset)
    assert set(would) == {"group", "executed", "offsets"}
    assert (would["group"], would["executed"]) == (group, False)
    assert all(set(each) == {"topic", "partition", "before", "after", "error"} for each in would["offsets"])
    assert {each["partition"]: (each["before"], each["after"]) for each in would["offsets"]} == {
        partition: (5, offset) for partition, offset in after.items()
    }
    assert "Nothing was changed" in fjord.run(*reset).text
    assert committed(fjord, group) == {0: 5, 1: 5}
    assert fjord.json(*reset, "--execute") == would | {"executed": True}
    assert committed(fjord, group) == after
    assert len(consumed(fjord, read, group, "--until-end")) == sum(5 - offset for offset in after.values())


def test_resetting_some_partitions(fjord, read, group):
    """Only those that are named, with all of a topic's if it names none."""
    reset = ["group", "reset-offsets", group, "--execute"]
    fjord.run(*reset, "--topic", f"{read}:1", "--to", 3)
    assert committed(fjord, group) == {0: 5, 1: 3}
    text = fjord.run(*reset, "--topic", read, "--shift", -1).text
    assert committed(fjord, group) == {0: 4, 1: 2}
    assert "Nothing was changed" not in text
    assert [row.split()[1:4] for row in text.splitlines()[1:]] == [["0", "5", "4"], ["1", "3", "2"]]
    assert fjord.refused(*reset, "--topic", f"{read}:7", "--to", 0, code=NOT_FOUND)["kind"] == "api"
    assert committed(fjord, group) == {0: 4, 1: 2}


def test_a_group_that_is_not_there_is_made_by_a_reset(fjord, read, group):
    """But not by a dry run."""
    reset = ["group", "reset-offsets", f"{group}-new", "--topic", read, "--to", 2]
    assert [each["before"] for each in fjord.json(*reset)["offsets"]] == [None, None]
    fjord.refused("group", "describe", f"{group}-new", code=NOT_FOUND)
    fjord.run(*reset, "--execute")
    assert committed(fjord, f"{group}-new") == {0: 2, 1: 2}


def test_a_group_with_members_is_left_alone(fjord, read, group):
    """Neither its offsets nor the group itself are touched while somebody reads."""
    member = fjord.start("consume", read, "--group", group)
    kafka.wait_until("there is a member", lambda: described(fjord, group)["state"] == "Stable")
    for arguments in (["reset-offsets", group, "--to", "beginning", "--execute"], ["delete", group]):
        error = fjord.run("group", *arguments, "--output", "json", code=FAILED).error
        assert error["reason"] == "NON_EMPTY_GROUP", error
    error = fjord.run("group", "delete", group, "--topic", read, "--output", "json", code=FAILED).error
    assert error["reason"] == "GROUP_SUBSCRIBED_TO_TOPIC"
    assert committed(fjord, group) == {0: 5, 1: 5}
    member.signal(signal.SIGINT)
    member.finish()


def test_delete(fjord, read, group):
    """A topic's offsets, or the group; what is not there has its own exit code."""
    assert fjord.json("group", "delete", group, "--topic", read) == {
        "group": group,
        "forgotten": [{"topic": read, "partition": partition} for partition in (0, 1)],
    }
    assert len(consumed(fjord, read, group, "--until-end")) == 10
    assert fjord.json("group", "delete", group) == {"group": group, "deleted": True}
    for command in ("describe", "delete"):
        error = fjord.refused("group", command, group, code=NOT_FOUND)
        assert error["reason"] == "GROUP_ID_NOT_FOUND" and group in error["message"]
    assert group not in {row["group"] for row in fjord.json("group", "list")}


@pytest.mark.parametrize(
    "arguments", [[], ["--to", "0", "--shift", "1"], ["--to", "-5"], ["--to", "soon"], ["--to", "0", "--topic", "t:x"]]
)
def test_wrong_resets(fjord, group, arguments):
    """They are refused before anything is sent."""
    assert fjord.refused("group", "reset-offsets", group, *arguments, code=USAGE)["kind"] == "usage"
