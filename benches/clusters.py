"""Three brokers of a kind on loopback, and what is asked of them whatever their kind."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic
from harness.cluster import Cluster, Member, Partition, Pending, wait_for
from harness.connection import Closed

from servers import Kafka

COUNT = 3
WAIT_S = 300
SYSLOG_CRITICAL = 2
PREFERRED = 0
"""The kind of election in ElectLeaders (KIP-460)."""


class KafkaMember(Kafka):
    """One of three nodes of Apache Kafka, each of them broker and controller."""

    ask, topics, brokers = Member.ask, Member.topics, Member.brokers

    def __init__(self, directory: Path, broker_id: int):
        super().__init__(directory)
        self.id = broker_id
        self.name = f"apache-kafka-{broker_id}"
        self.data = directory / "data"
        self.log_path = directory / f"{self.name}.log"

    def is_ready(self) -> bool:
        try:
            return self.id in self.brokers()
        except (Closed, OSError):
            return False


class KafkaCluster(Cluster):
    """Nodes 1 to 3 of Apache Kafka with its default settings."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.members = {broker_id: KafkaMember(directory / str(broker_id), broker_id) for broker_id in range(1, COUNT + 1)}
        voters = ",".join(f"{member.id}@127.0.0.1:{member.controller_port}" for member in self.members.values())
        # What the harness lowers for a single node is as Kafka ships it.
        shipped = {
            "offsets.topic.replication.factor": "3",
            "offsets.topic.num.partitions": "50",
            "transaction.state.log.replication.factor": "3",
            "transaction.state.log.min.isr": "2",
            "share.coordinator.state.topic.replication.factor": "3",
        }
        for member in self.members.values():
            member.settings = {"node.id": str(member.id), "controller.quorum.voters": voters, **shipped}


@dataclass(frozen=True)
class ClusterSide:
    """A kind of broker, three of them."""

    name: str
    make: Callable[[Path], Cluster]
    warm_up: float = 1 / 3
    """The share of the warm-up that it takes."""

    @contextmanager
    def fresh(self) -> Iterator[Cluster]:
        """Three running brokers with no data."""
        with tempfile.TemporaryDirectory(prefix="fjord-bench-") as directory, self.make(Path(directory)) as cluster:
            yield cluster.start()


FJORD3 = ClusterSide("Fjord", lambda path: Cluster(path, COUNT, cluster_id="bench"))
KAFKA3 = ClusterSide("Kafka", KafkaCluster, warm_up=1)


def create_topics(cluster: Cluster, names: list[str], partitions: int, timeout_s: float = WAIT_S) -> None:
    """Creates topics with three replicas, of which two must have a record, and waits until all brokers have them."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": SYSLOG_CRITICAL})
    config = {"min.insync.replicas": "2"}
    asked = [NewTopic(name, partitions, COUNT, config=config) for name in names]
    for done in admin.create_topics(asked, request_timeout=timeout_s, operation_timeout=timeout_s).values():
        done.result(timeout_s)
    wait_in_sync(cluster)


def wait_in_sync(cluster: Cluster) -> None:
    """Waits until all brokers run, and all of them know that all replicas of all partitions are in sync."""

    def in_sync(topics: dict[str, dict[int, Partition]]) -> bool:
        partitions = [each for topic in topics.values() for each in topic.values()]
        return all(each.leader > 0 and each.in_sync == set(each.replicas) for each in partitions)

    wait_agreed(cluster, "all replicas are in sync", in_sync)


def balance(cluster: Cluster) -> None:
    """Waits until all replicas are in sync, and has each partition be led by its first replica."""
    wait_in_sync(cluster)

    def is_balanced() -> bool:
        body = {"ElectionType": PREFERRED, "TopicPartitions": None, "TimeoutMs": 10_000}
        for member in cluster.running:
            member.ask("ElectLeaders", 2, body)
        return all(each.leader == each.replicas[0] for topic in cluster.agreed().values() for each in topic.values())

    wait_for("first replicas lead", is_balanced, WAIT_S)


def wait_agreed(cluster: Cluster, what: str, check: Callable[[dict[str, dict[int, Partition]]], bool]) -> None:
    """Waits until all brokers have the same topics, and `check` holds for them."""

    def holds() -> bool:
        topics = cluster.agreed()
        if not check(topics):
            raise Pending("the brokers agree on something else")
        return True

    wait_for(what, holds, WAIT_S)


def empty_disk(member: Member) -> None:
    """Takes away all that a broker, which does not run, has on its disk."""
    shutil.rmtree(member.data)
    os.sync()
