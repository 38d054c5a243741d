"""Fixtures of the tests on Kubernetes: the cluster, a namespace for each test, a load."""

import itertools

import pytest

from .cluster import Cluster, cluster, obstacle
from .kubectl import Kubectl
from .load import Load

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kube() -> Cluster:
    """The cluster."""
    if reason := obstacle():
        pytest.skip(reason)
    with cluster() as found:
        yield found


@pytest.fixture
def rig(kube) -> Cluster:
    """The cluster, if it is one on this machine, whose nodes a test may cut off."""
    if not kube.is_rig:
        pytest.skip("KUBECONFIG names the cluster, whose nodes are left alone")
    return kube


@pytest.fixture
def kubectl(kube, request) -> Kubectl:
    """kubectl in a namespace of the test's own, of which a failed test tells."""
    namespace = f"fjord-test-{next(_numbers)}"
    kube.kubectl("create", "namespace", namespace)
    within = kube.kubectl.within(namespace)
    yield within
    report = getattr(request.node, "report_call", None)
    if report is None or report.failed:
        print(within.story())
    kube.kubectl.delete("namespace", namespace, wait=False)


@pytest.fixture
def load(kube, kubectl):
    """Starts loads: `load("name", bootstrap, {"topic": partitions})`."""

    def start(name: str, bootstrap: str, topics: dict[str, int], **options) -> Load:
        return Load(kubectl, kube.images.clients, name, bootstrap, topics, **options)

    return start
