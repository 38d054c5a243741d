"""The clients of a test: three producers and a group of consumers, on a host of the network of their own."""

import sys
from pathlib import Path

from harness.cluster import Cluster
from harness.load.clients import Clients

from .network import CLIENTS, Network

PATIENT, IMPATIENT, GRPC = "patient", "impatient", "grpc"
PRODUCERS = {
    # librdkafka waits a minute for an answer before it takes a silent broker for gone. One producer has its defaults
    # and may stand still for as long; the other is to go on when the cluster can.
    PATIENT: ("produce", {}),
    IMPATIENT: ("produce", {"socket.timeout.ms": 3000, "topic.metadata.refresh.interval.ms": 1000}),
    GRPC: ("stream", {}),
}


def clients(network: Network, cluster: Cluster, directory: Path, topics: dict[str, int]) -> Clients:
    """Starts them."""
    command = [*network.hosts[CLIENTS].enter(), sys.executable, "-m", "faults.load"]
    bootstrap = ",".join(member.bootstrap for member in cluster.members.values())
    grpc = {str(member.id): member.grpc for member in cluster.members.values()}
    return Clients(command, directory, bootstrap, topics, PRODUCERS, grpc=grpc)
