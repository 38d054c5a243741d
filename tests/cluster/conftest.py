"""Fixtures for tests of several brokers."""

from contextlib import ExitStack

import pytest

from grpc_api.api import Api
from harness.cluster import Cluster


@pytest.fixture
def settings() -> dict[str, str]:
    """Settings of all brokers; a module may have its own."""
    return {}


@pytest.fixture
def stopped(tmp_path, request, settings):
    """Three brokers that were never started."""
    with Cluster(tmp_path / "cluster", settings=settings) as cluster:
        yield cluster
        cluster.check_after(request.node)


@pytest.fixture
def cluster(stopped):
    """Three brokers that run."""
    stopped.start()
    stopped.wait_quorum_leader()
    return stopped


@pytest.fixture
def apis():
    """Makes connections to brokers, and closes them after the test."""
    with ExitStack() as stack:
        yield lambda broker: stack.enter_context(Api(broker))
