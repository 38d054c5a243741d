"""A cluster under load in a network of its own, which a test breaks; in the end all must be whole and nothing lost."""

from contextlib import ExitStack
from pathlib import Path

from harness.cluster import Member, Partition, wait_for
from harness.load.checker import Place, violations
from harness.load.clients import GROUP

from .clients import clients
from .cluster import RemoteCluster
from .network import OBSERVER, Network

PARTITIONS = 3
SAFE, PLAIN = "safe", "plain"
"""Topics: one whose records must be on two brokers before they are acknowledged, and one as it is by default."""
SETTINGS = {
    "group.initial.rebalance.delay.ms": "0",
    # Replicas that are cut off from their leader only are missed sooner, and leadership goes back while a test runs.
    "replica.lag.time.max.ms": "3000",
    "leader.imbalance.check.interval.seconds": "5",
}
REPLICAS, SAFE_REPLICAS = 3, 2
SHOWN = 20


class Scene:
    """Network, brokers and clients. The test runs inside the network, as a host that is never cut off."""

    def __init__(self, directory: Path, brokers: int = 3):
        self.network = Network(brokers)
        with self.network.hosts[OBSERVER].inside():
            self.cluster = RemoteCluster(directory / "brokers", self.network, SETTINGS)
        self._directory = directory
        self._stack = ExitStack()

    def __enter__(self) -> "Scene":
        self._stack.enter_context(self.network)
        self._stack.enter_context(self.network.hosts[OBSERVER].inside())
        self._stack.enter_context(self.cluster)
        try:
            self.cluster.start()
            self.cluster.wait_quorum_leader()
        except BaseException:
            self._stack.close()
            raise
        return self

    def load(self) -> "Scene":
        """Makes the topics and starts the clients."""
        self.create(SAFE, {"NumPartitions": PARTITIONS, "ReplicationFactor": REPLICAS}, SAFE_REPLICAS)
        self.create(PLAIN, {"NumPartitions": PARTITIONS, "ReplicationFactor": REPLICAS}, 1)
        self.wait_whole()
        topics = {SAFE: PARTITIONS, PLAIN: PARTITIONS}
        self.clients = clients(self.network, self.cluster, self._directory / "clients", topics)
        self._stack.callback(self.clients.close)
        self.clients.wait_progress()
        return self

    def create(self, topic: str, shape: dict, min_in_sync: int) -> None:
        """Creates a topic, of which `shape` has the fields of CreateTopics."""
        configs = [{"Name": "min.insync.replicas", "Value": str(min_in_sync)}]
        body = {"Topics": [{"Name": topic, "Configs": configs, **shape}], "timeoutMs": 10_000}
        ask = lambda: self.cluster[1].ask("CreateTopics", 7, body)["Topics"][0]["ErrorCode"]  # noqa: E731
        wait_for(f"topic {topic}", lambda: ask() == 0)

    @property
    def ids(self) -> frozenset[int]:
        """All brokers."""
        return self.network.brokers

    def others(self, *brokers: Member) -> list[Member]:
        """The brokers that run beside these."""
        return [member for member in self.cluster.running if member not in brokers]

    def in_role(self, role: str) -> Member:
        """The broker that a test is to break."""
        roles = {
            "leader": self.leader,
            "follower": self.follower,
            "quorum leader": self.cluster.wait_quorum_leader,
            "coordinator": self.coordinator,
        }
        return roles[role]()

    def leader(self) -> Member:
        """A broker that leads a partition of the safe topic; one that does not lead the quorum, if it can be had."""
        quorum = self.cluster.wait_quorum_leader()
        leaders = [self.cluster[broker] for (topic, _), broker in sorted(self.leaders().items()) if topic == SAFE]
        return next((member for member in leaders if member is not quorum), leaders[0])

    def follower(self) -> Member:
        """A broker that follows that one; if it can be had, one that does not lead the quorum."""
        leader, quorum = self.leader(), self.cluster.wait_quorum_leader()
        followed = next(each for each in self.partitions().values() if each.leader == leader.id)
        followers = [self.cluster[broker] for broker in followed.replicas if broker != leader.id]
        return next((member for member in followers if member is not quorum), followers[0])

    def coordinator(self) -> Member:
        """The broker that coordinates the group."""
        body = {"KeyType": 0, "CoordinatorKeys": [GROUP]}

        def find() -> Member | None:
            answer = self.cluster.running[0].ask("FindCoordinator", 4, body)["Coordinators"][0]
            return self.cluster[answer["NodeId"]] if answer["ErrorCode"] == 0 else None

        return wait_for("the group's coordinator", find)

    def partitions(self, asked: Member | None = None) -> dict[Place, Partition]:
        """The partitions that clients use, as one broker has them."""
        topics = (asked or self.cluster.running[0]).topics()
        return {(name, number): each for name in (SAFE, PLAIN) for number, each in topics[name].items()}

    def leaders(self, asked: Member | None = None) -> dict[Place, int]:
        """Who leads them."""
        return {place: each.leader for place, each in self.partitions(asked).items()}

    def wait_moved(self, *away: Member) -> None:
        """Waits until the others lead in place of these brokers."""
        asked, gone = self.others(*away)[0], {-1, *(member.id for member in away)}
        wait_for(f"brokers {gone} lead nothing", lambda: gone.isdisjoint(self.leaders(asked).values()))

    def able(self, asked: Member) -> set[Place]:
        """The partitions with as many replicas in sync as acknowledging takes."""
        least = {SAFE: SAFE_REPLICAS, PLAIN: 1}
        return {place for place, each in self.partitions(asked).items() if len(each.in_sync) >= least[place[0]]}

    def wait_whole(self) -> None:
        """Waits until all replicas of all partitions are in sync, the internal ones too, and all brokers say so."""

        def whole(topics) -> bool:
            partitions = [each for topic in topics.values() for each in topic.values()]
            return all(each.in_sync == set(each.replicas) and each.leader in each.in_sync for each in partitions)

        self.cluster.wait_agreed("all replicas are in sync", whole)

    def check(self) -> None:
        """Everything is whole again and goes on, and what the clients saw is right."""
        self.network.heal()
        self.wait_whole()
        self.clients.wait_progress(timeout_s=90)
        outcome = self.clients.finish()
        found = violations(outcome)
        counts = {kind: len(outcome.of(kind)) for kind in ("sent", "acknowledged", "consumed", "committed")}
        print(f"history: {counts}")
        assert not found, "\n".join([f"{len(found)} violations in {self._directory}", *found[:SHOWN]])

    def __exit__(self, *_) -> None:
        self._stack.close()
