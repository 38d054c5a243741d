"""Kafka's command-line tools 4.3.1, each run as its script runs it, checked for the facts that users read off."""

import json
import re

import pytest

TOOLS = "org.apache.kafka.tools"
TOPICS = f"{TOOLS}.TopicCommand"
GROUPS = f"{TOOLS}.consumer.group.ConsumerGroupCommand"
CONFIGS = "kafka.admin.ConfigCommand"
CONSOLE_PRODUCER = f"{TOOLS}.ConsoleProducer"
CONSOLE_CONSUMER = f"{TOOLS}.consumer.ConsoleConsumer"
OFFSETS = f"{TOOLS}.GetOffsetShell"


@pytest.fixture
def tool(java, broker):
    """Runs a tool against the broker and returns what it printed."""

    def run(main_class, *args, **options):
        return java.tool(main_class, "--bootstrap-server", broker.bootstrap, *args, **options).stdout

    return run


def table(text):
    """The rows of a table that a tool printed, as dictionaries by its headings."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    at = next(index for index, words in enumerate(lines) if words[0] == "GROUP" or words[:2] == ["TOPIC", "PARTITION"])
    return [dict(zip(lines[at], words, strict=False)) for words in lines[at + 1 :]]


def test_topics(tool, topic):
    tool(TOPICS, "--create", "--topic", topic, "--partitions", 3, "--config", "retention.ms=1000000")
    assert topic in tool(TOPICS, "--list").splitlines()
    again = tool(TOPICS, "--create", "--topic", topic, "--if-not-exists")
    assert "rror" not in again
    tool(TOPICS, "--alter", "--topic", topic, "--partitions", 5)
    described = tool(TOPICS, "--describe", "--topic", topic)
    assert re.search(r"TopicId: [\w-]{22}\s", described)
    assert "PartitionCount: 5" in described and "ReplicationFactor: 1" in described
    assert "retention.ms=1000000" in described
    partitions = re.findall(r"Partition: (\d)\tLeader: (\d+)\tReplicas: (\d+)\tIsr: (\d+)", described)
    assert [partition[0] for partition in partitions] == list("01234")
    assert len({node for partition in partitions for node in partition[1:]}) == 1
    assert tool(TOPICS, "--describe", "--unavailable-partitions").strip() == ""
    tool(TOPICS, "--delete", "--topic", topic)
    assert topic not in tool(TOPICS, "--list").splitlines()


def test_topics_error(java, broker, topic):
    args = [TOPICS, "--bootstrap-server", broker.bootstrap, "--create", "--topic", topic, "--replication-factor", 3]
    done = java.tool(*args, check=False)
    assert done.returncode == 1
    assert "InvalidReplicationFactor" in done.stdout + done.stderr


def test_console_producer_consumer_and_groups(tool, topic):
    """What is typed on one console appears on the other, and the group's offsets can be read and moved."""
    tool(TOPICS, "--create", "--topic", topic, "--partitions", 1)
    keyed = ["--reader-property", "parse.key=true", "--reader-property", "key.separator=|"]
    headed = ["--reader-property", "parse.headers=true", "--reader-property", "headers.delimiter=|"]
    text = "h:1,h:2|k1|one\nname:größe|k2|two\nx:|k3|\n"
    tool(CONSOLE_PRODUCER, "--topic", topic, "--compression-codec", "zstd", *keyed, *headed, stdin=text)
    tool(CONSOLE_PRODUCER, "--topic", topic, stdin="no key\n")

    group = f"{topic}-group"
    show = [f"print.{what}=true" for what in ("key", "headers", "partition", "offset")]
    properties = [part for value in show for part in ("--formatter-property", value)]
    read = [CONSOLE_CONSUMER, "--topic", topic, "--group", group, "--from-beginning"]
    printed = tool(*read, "--max-messages", 4, "--timeout-ms", 60_000, *properties)
    assert [line.split("\t") for line in printed.splitlines()] == [
        ["Partition:0", "Offset:0", "h:1,h:2", "k1", "one"],
        ["Partition:0", "Offset:1", "name:größe", "k2", "two"],
        ["Partition:0", "Offset:2", "x:", "k3", ""],
        ["Partition:0", "Offset:3", "NO_HEADERS", "null", "no key"],
    ]

    assert group in tool(GROUPS, "--list").splitlines()
    row = table(tool(GROUPS, "--describe", "--group", group))[0]
    assert (row["TOPIC"], row["CURRENT-OFFSET"], row["LOG-END-OFFSET"], row["LAG"]) == (topic, "4", "4", "0")
    state = table(tool(GROUPS, "--describe", "--group", group, "--state"))[0]
    assert state["GROUP"] == group and "Empty" in state.values() and "0" in state.values()

    reset = ["--reset-offsets", "--group", group, "--topic", topic, "--execute"]
    assert table(tool(GROUPS, *reset, "--to-offset", 1))[0]["NEW-OFFSET"] == "1"
    row = table(tool(GROUPS, "--describe", "--group", group))[0]
    assert (row["CURRENT-OFFSET"], row["LAG"]) == ("1", "3")
    rest = tool(*read, "--max-messages", 3, "--timeout-ms", 60_000)
    assert rest.splitlines() == ["two", "", "no key"]

    deleted = tool(GROUPS, "--delete-offsets", "--group", group, "--topic", f"{topic}:0")
    assert table(deleted)[0]["STATE" if "STATE" in deleted else "STATUS"] == "Successful"
    assert "successful" in tool(GROUPS, "--delete", "--group", group)
    assert group not in tool(GROUPS, "--list").splitlines()


def test_configs(tool, topic):
    tool(TOPICS, "--create", "--topic", topic, "--partitions", 1)
    of_topic = ["--entity-type", "topics", "--entity-name", topic]
    tool(CONFIGS, *of_topic, "--alter", "--add-config", "retention.ms=2000000,cleanup.policy=[compact,delete]")
    dynamic = tool(CONFIGS, *of_topic, "--describe")
    assert re.search(r"^\s*cleanup\.policy=compact,delete .*DYNAMIC_TOPIC_CONFIG", dynamic, re.M)
    assert re.search(r"^\s*retention\.ms=2000000 .*DYNAMIC_TOPIC_CONFIG", dynamic, re.M)
    assert len(dynamic.strip().splitlines()) == 3, "only what was set, under a heading"
    tool(CONFIGS, *of_topic, "--alter", "--delete-config", "retention.ms")
    every = tool(CONFIGS, *of_topic, "--describe", "--all")
    assert re.search(r"^\s*retention\.ms=604800000 ", every, re.M)
    assert re.search(r"^\s*max\.message\.bytes=1048588 .*DEFAULT_CONFIG:message\.max\.bytes", every, re.M)

    every_broker = ["--entity-type", "brokers", "--entity-default"]
    tool(CONFIGS, *every_broker, "--alter", "--add-config", "log.retention.ms=3000000")
    assert "log.retention.ms=3000000" in tool(CONFIGS, *every_broker, "--describe")
    followed = tool(CONFIGS, *of_topic, "--describe", "--all")
    assert re.search(r"^\s*retention\.ms=3000000 .*DYNAMIC_DEFAULT_BROKER_CONFIG", followed, re.M)
    tool(CONFIGS, *every_broker, "--alter", "--delete-config", "log.retention.ms")
    assert "log.retention.ms" not in tool(CONFIGS, *every_broker, "--describe")


def test_producer_perf_offsets_records_and_log_dirs(tool, java, broker, topic, tmp_path):
    tool(TOPICS, "--create", "--topic", topic, "--partitions", 1)
    sizes = ["--num-records", 20_000, "--record-size", 100, "--throughput", -1]
    report = tool(f"{TOOLS}.ProducerPerformance", "--topic", topic, *sizes)
    assert re.search(r"^20000 records sent, .* 99\.9th", report, re.M)
    assert tool(OFFSETS, "--topic", topic).split() == [f"{topic}:0:20000"]
    assert tool(OFFSETS, "--topic", topic, "--time", "max-timestamp").startswith(f"{topic}:0:19")

    consumed = tool(f"{TOOLS}.ConsumerPerformance", "--topic", topic, "--num-records", 20_000)
    headings, figures = [line.split(", ") for line in consumed.splitlines()[:2]]
    assert figures[headings.index("data.consumed.in.nMsg")] == "20000"

    request = tmp_path / "delete.json"
    request.write_text(json.dumps({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": 19_990}]}))
    deleted = tool(f"{TOOLS}.DeleteRecordsCommand", "--offset-json-file", request)
    assert re.search(rf"partition: {re.escape(topic)}-0\s+low_watermark: 19990", deleted)
    assert tool(OFFSETS, "--topic", topic, "--time", "earliest").split() == [f"{topic}:0:19990"]

    printed = tool(f"{TOOLS}.LogDirsCommand", "--describe", "--topic-list", topic)
    dirs = json.loads(printed.splitlines()[-1])["brokers"][0]["logDirs"]
    (partition,) = [found for directory in dirs for found in directory["partitions"]]
    assert partition["partition"] == f"{topic}-0" and partition["offsetLag"] == 0 and partition["size"] > 0


def test_verifiable_clients(java, broker, topic):
    """The pair that Kafka's own system tests are made of: each value is acknowledged, and consumed by a group."""
    to_broker = ["--bootstrap-server", broker.bootstrap, "--topic", topic, "--max-messages", 1000]
    said = [json.loads(line) for line in java.tool(f"{TOOLS}.VerifiableProducer", *to_broker).stdout.splitlines()]
    acknowledged = [event["value"] for event in said if event["name"] == "producer_send_success"]
    assert sorted(map(int, acknowledged)) == list(range(1000))
    assert said[-1]["name"] == "tool_data" and (said[-1]["sent"], said[-1]["acked"]) == (1000, 1000)

    group = ["--group-id", f"{topic}-group", "--reset-policy", "earliest", "--verbose"]
    heard = java.tool(f"{TOOLS}.VerifiableConsumer", *to_broker, *group).stdout
    events = [json.loads(line) for line in heard.splitlines() if line.startswith("{")]
    values = [int(event["value"]) for event in events if event["name"] == "record_data"]
    assert sorted(values) == list(range(1000))
    commits = [event for event in events if event["name"] == "offsets_committed"]
    assert commits and all(commit["success"] for commit in commits)


def test_broker_api_versions(tool):
    """Every API that the clients above rely on is advertised in a version that this release can use."""
    listed = tool(f"{TOOLS}.BrokerApiVersionsCommand")
    usable = dict(re.findall(r"^\s*(\w+)\(\d+\): .*\[usable: (\d+)\]", listed, re.M))
    needed = {
        "Produce": 13, "Fetch": 18, "ListOffsets": 11, "Metadata": 13, "OffsetCommit": 10, "OffsetFetch": 10,
        "FindCoordinator": 6, "JoinGroup": 9, "Heartbeat": 4, "LeaveGroup": 5, "SyncGroup": 5, "DescribeGroups": 6,
        "ListGroups": 5, "ApiVersions": 4, "CreateTopics": 7, "DeleteTopics": 6, "DeleteRecords": 2,
        "InitProducerId": 5, "OffsetForLeaderEpoch": 4, "DescribeConfigs": 4, "AlterConfigs": 2,
        "IncrementalAlterConfigs": 1, "DescribeLogDirs": 5, "CreatePartitions": 3, "DeleteGroups": 2,
        "OffsetDelete": 0, "DescribeCluster": 2, "DescribeTopicPartitions": 0,
        "ElectLeaders": 2, "AlterPartitionReassignments": 1, "ListPartitionReassignments": 0, "DescribeQuorum": 2,
        "UpdateFeatures": 2, "UnregisterBroker": 0,
    }  # fmt: skip
    assert {name: int(usable.get(name, -1)) for name in needed} == needed


def test_cluster(java, broker):
    cluster_tool = f"{TOOLS}.ClusterTool"
    told = java.tool(cluster_tool, "cluster-id", "--bootstrap-server", broker.bootstrap).stdout
    assert re.fullmatch(r"Cluster ID: [\w-]{22}", told.strip())
    endpoints = java.tool(cluster_tool, "list-endpoints", "--bootstrap-server", broker.bootstrap).stdout
    host, port = broker.bootstrap.split(":")
    assert [line.split()[1:3] for line in endpoints.splitlines()[1:]] == [[host, port]]


def test_quorum_and_features(tool):
    """The only broker is the quorum, and supports the cluster's feature."""
    status = tool(f"{TOOLS}.MetadataQuorumCommand", "describe", "--status")
    leader = re.search(r"^LeaderId:\s+(\d+)$", status, re.M)[1]
    assert re.search(rf'^CurrentVoters:\s+\[{{"id": {leader}, "endpoints": \["PLAINTEXT://[^"]+"\]}}\]$', status, re.M)
    assert re.search(r"^CurrentObservers:\s+\[\]$", status, re.M)
    replication = tool(f"{TOOLS}.MetadataQuorumCommand", "describe", "--replication")
    assert re.search(rf"^{leader}\s.*\sLeader\s*$", replication, re.M)
    features = tool(f"{TOOLS}.FeatureCommand", "describe")
    assert re.search(r"Feature: fjord.version\s+SupportedMinVersion: 1\s+SupportedMaxVersion: \d", features)


def test_elections_and_reassignments(java, broker, tool, topic, tmp_path):
    """What is as it should be stays, and is told to be so; a broker that runs cannot be unregistered."""
    tool(TOPICS, "--create", "--topic", topic, "--partitions", 1)
    elect = [f"{TOOLS}.LeaderElectionCommand", "--election-type", "PREFERRED"]
    told = tool(*elect, "--topic", topic, "--partition", 0)
    assert f"Valid replica already elected for partitions {topic}-0" in told
    tool(*elect, "--all-topic-partitions")

    node = re.search(r"Leader: (\d+)", tool(TOPICS, "--describe", "--topic", topic))[1]
    plan = tmp_path / "plan.json"
    wanted = {"topic": topic, "partition": 0, "replicas": [int(node)]}
    plan.write_text(json.dumps({"version": 1, "partitions": [wanted]}))
    reassign = f"{TOOLS}.reassign.ReassignPartitionsCommand"
    file = ["--reassignment-json-file", plan]
    assert f"Successfully started partition reassignment for {topic}-0" in tool(reassign, *file, "--execute")
    assert f"Reassignment of partition {topic}-0 is completed." in tool(reassign, *file, "--verify")
    assert "No partition reassignments found." in tool(reassign, "--list")

    unregister = [f"{TOOLS}.ClusterTool", "unregister", "--bootstrap-server", broker.bootstrap, "--id"]
    refused = java.tool(*unregister, node, check=False)
    assert refused.returncode == 1 and "is not fenced" in refused.stdout + refused.stderr
