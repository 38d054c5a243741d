"""Several brokers of one cluster, each in a network namespace of its own."""

from pathlib import Path

from harness.cluster import Cluster, Member

from .network import ADDRESS, Network


class RemoteMember(Member):
    """A broker with an address of its own."""

    def __init__(self, network: Network, directory: Path, broker_id: int, peer_port: int, settings: dict[str, str]):
        super().__init__(directory, broker_id, peer_port, settings)
        self.host = ADDRESS.format(broker_id)
        self.namespace = network.hosts[broker_id]

    def command(self) -> list[str]:
        return [*self.namespace.enter(), *super().command()]


class RemoteCluster(Cluster):
    """Brokers 1 to as many as the network has. The test must be inside the network to ask them."""

    def __init__(self, directory: Path, network: Network, settings: dict[str, str] | None = None):
        self.network = network
        super().__init__(directory, len(network.brokers), settings)

    def member(self, broker_id: int, peer_port: int, settings: dict[str, str]) -> Member:
        return RemoteMember(self.network, self.directory / str(broker_id), broker_id, peer_port, settings)
