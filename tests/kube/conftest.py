"""Fixtures of the tests on Kubernetes: the cluster, a namespace for each test, a load."""

import itertools

import pytest

from .brokers import Brokers
from .cluster import Cluster, cluster, obstacle
from .figures import Figures
from .kubectl import Kubectl
from .load import Load
from .release import Release

_numbers = itertools.count(1)
_figures = Figures()


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
    kube.kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")


@pytest.fixture
def load(kube, kubectl):
    """Starts loads: `load("name", bootstrap, {"topic": partitions})`."""

    def start(name: str, bootstrap: str, topics: dict[str, int], **options) -> Load:
        return Load(kubectl, kube.images.clients, name, bootstrap, topics, **options)

    return start


@pytest.fixture(scope="session")
def release(kube) -> Release:
    """The operator, installed by Helm."""
    installed = Release(kube, "helm3")
    installed.install(kube.images.fjord)
    yield installed
    installed.uninstall()


@pytest.fixture
def brokers(release, kubectl):
    """Makes Clusters: `brokers(replicas=3)`. They are gone, with what is theirs, when the test ends."""
    made = []

    def make(name: str = "demo", **spec) -> Brokers:
        made.append(Brokers(kubectl, name, **spec))
        return made[-1]

    yield make
    if made:
        kubectl("delete", "topics.fjord.dev,clusters.fjord.dev", "--all", "--wait=false")


@pytest.fixture(scope="session")
def figures() -> Figures:
    """What was measured on the way; told at the end of the run."""
    return _figures


def pytest_terminal_summary(terminalreporter):
    for line in _figures.lines:
        terminalreporter.write_line(f"measured: {line}")
