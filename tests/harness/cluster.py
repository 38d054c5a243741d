"""Several brokers of one cluster, each a process of its own on loopback."""

import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .broker import Broker
from .connection import Closed, Connection
from .paths import free_port
from .server import ServerFailed

T = TypeVar("T")

WAIT_S = 60.0
_LEADS = re.compile(r"this broker leads the metadata's quorum.*\bterm=(\d+)")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Pending(AssertionError):
    """What is waited for has not happened yet."""


def wait_for(what: str, check: Callable[[], T], timeout_s: float = WAIT_S) -> T:
    """Calls `check` until it neither raises nor returns False or None, and returns what it returned."""
    end = time.monotonic() + timeout_s
    while True:
        found: object = None
        try:
            found = check()
            if found is not None and found is not False:
                return found
        except (AssertionError, Closed, OSError) as error:
            found = error
        if time.monotonic() > end:
            raise ServerFailed(f"not within {timeout_s} s: {what}; the last try gave {found!r}")
        time.sleep(0.02)


@dataclass(frozen=True)
class Partition:
    """A partition as a broker's metadata has it."""

    leader: int
    replicas: tuple[int, ...]
    in_sync: frozenset[int]
    leader_epoch: int


class Member(Broker):
    """One broker of a cluster."""

    def __init__(self, directory: Path, broker_id: int, peer_port: int, settings: dict[str, str]):
        super().__init__(directory, {**settings, "node.id": str(broker_id)})
        self.id = broker_id
        self.peer_port = peer_port
        self.name = f"fjord-broker-{broker_id}"
        self.log_path = directory / f"{self.name}.log"

    @property
    def peer(self) -> str:
        """`host:port` of the listener for other brokers."""
        return f"{self.host}:{self.peer_port}"

    def ask(self, name: str, version: int, body: dict) -> dict:
        """One request to this broker, on a connection of its own."""
        with Connection(self.bootstrap) as connection:
            return connection.ask(name, version, body)

    def topics(self) -> dict[str, dict[int, Partition]]:
        """The topics in this broker's metadata, with their partitions."""
        answer = self.ask("Metadata", 12, {"Topics": None, "AllowAutoTopicCreation": False})
        topics = {}
        for topic in answer["Topics"]:
            topics[topic["Name"]] = {
                each["PartitionIndex"]: Partition(
                    each["LeaderId"], tuple(each["ReplicaNodes"]), frozenset(each["IsrNodes"]), each["LeaderEpoch"]
                )
                for each in topic["Partitions"]
            }
        return topics

    def brokers(self) -> set[int]:
        """The brokers in this broker's metadata."""
        answer = self.ask("Metadata", 12, {"Topics": []})
        return {broker["NodeId"] for broker in answer["Brokers"]}

    def cluster_id(self) -> str:
        """The cluster's id, as this broker tells it."""
        return self.ask("Metadata", 12, {"Topics": []})["ClusterId"]

    def create_topic(self, name: str, partitions: int = 3, replicas: int = 3) -> int:
        """Asks this broker for a topic, and returns the error code."""
        topic = {"Name": name, "NumPartitions": partitions, "ReplicationFactor": replicas}
        answer = self.ask("CreateTopics", 7, {"Topics": [topic], "timeoutMs": 10_000})
        return answer["Topics"][0]["ErrorCode"]

    def log_text(self) -> str:
        """All that the broker has logged."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return _ANSI.sub("", text)

    def led_in_term(self) -> int:
        """The last term of the metadata's quorum in which this broker led; 0 if it never did."""
        return max((int(term) for term in _LEADS.findall(self.log_text())), default=0)


class Cluster:
    """`count` brokers from `first` on, which are all voters. Not started yet."""

    def __init__(
        self,
        directory: Path,
        count: int = 3,
        settings: dict[str, str] | None = None,
        cluster_id: str = "tests",
        first: int = 1,
    ):
        self.directory = directory
        self.settings = {"fjord.cluster.id": cluster_id, **(settings or {})}
        ports = {broker_id: free_port() for broker_id in range(first, first + count)}
        self.members = {broker_id: self.member(broker_id, port, self.settings) for broker_id, port in ports.items()}
        voters = ",".join(f"{member.id}@{member.peer}" for member in self.members.values())
        self.voters = {"controller.quorum.voters": voters}
        for member in self.members.values():
            member.settings.update(self.voters)

    def member(self, broker_id: int, peer_port: int, settings: dict[str, str]) -> Member:
        """A broker that is not started yet."""
        return Member(self.directory / str(broker_id), broker_id, peer_port, settings)

    def __getitem__(self, broker_id: int) -> Member:
        return self.members[broker_id]

    @property
    def running(self) -> list[Member]:
        """The brokers that run."""
        return [member for member in self.members.values() if member.process is not None]

    @property
    def bootstrap(self) -> str:
        """For clients."""
        return ",".join(member.bootstrap for member in self.running)

    def add(self, broker_id: int, settings: dict[str, str] | None = None) -> Member:
        """A further broker, which is no voter, joins by the others, and is not started yet."""
        port = free_port()
        peers = ",".join(member.peer for member in self.members.values())
        member = self.member(broker_id, port, {**self.settings, "controller.quorum.bootstrap.servers": peers})
        member.settings.update({"fjord.peer.listen": member.peer, **(settings or {})})
        self.members[broker_id] = member
        return member

    def start(self, *broker_ids: int) -> "Cluster":
        """Starts these brokers, or all that do not run, and waits until they are ready."""
        chosen = [self.members[each] for each in broker_ids or self.members]
        for member in chosen:
            if member.process is None:
                member.process = member.spawn()
        for member in chosen:
            self.wait_ready(member)
        return self

    def wait_ready(self, member: Member) -> None:
        """Waits until a broker that was started is ready."""

        def ready() -> bool:
            if member.process is not None and member.process.poll() is not None:
                code, member.process = member.process.returncode, None
                raise RuntimeError(f"{member.name} ended with {code} before it was ready\n{member.log_tail()}")
            return member.is_ready()

        wait_for(f"{member.name} is ready\n{member.log_tail()}", ready)

    def stop(self) -> None:
        """Stops all brokers one after the other."""
        for member in self.running:
            member.stop()

    def stop_at_once(self) -> list[Member]:
        """Stops all brokers at the same time, and returns them."""
        members = self.running
        for member in members:
            member.process.send_signal(signal.SIGTERM)
        for member in members:
            member.wait_stopped()
        return members

    def kill(self) -> None:
        """Ends all brokers at once, as a loss of power would."""
        for member in self.running:
            member.process.kill()
        for member in self.running:
            member.kill()

    def quorum_leader(self) -> Member:
        """The broker that was the last to lead the metadata's quorum, if it runs."""
        leader = max(self.members.values(), key=Member.led_in_term)
        if leader.led_in_term() == 0 or leader.process is None:
            raise Pending("nobody leads the metadata's quorum")
        return leader

    def wait_quorum_leader(self) -> Member:
        """Waits until a running broker leads the metadata's quorum."""
        return wait_for("a leader of the metadata's quorum", self.quorum_leader)

    def agreed(self) -> dict[str, dict[int, Partition]]:
        """The topics, on which all running brokers must agree."""
        seen = [member.topics() for member in self.running]
        if any(each != seen[0] for each in seen):
            raise Pending(f"the brokers do not agree: {seen}")
        return seen[0]

    def wait_agreed(self, what: str, check: Callable[[dict[str, dict[int, Partition]]], bool]) -> None:
        """Waits until all running brokers have the same topics, and `check` holds for them."""

        def holds() -> bool:
            topics = self.agreed()
            if not check(topics):
                raise Pending(f"the brokers agree on {topics}")
            return True

        wait_for(what, holds)

    def check_after(self, test) -> None:
        """At the end of a test: shows the logs if it failed, and checks them."""
        report = getattr(test, "report_call", None)
        failed = report is not None and report.failed
        for member in self.members.values():
            if failed:
                print(member.log_tail())
        if not failed:
            for member in self.running:
                member.check_log()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_) -> None:
        self.kill()
