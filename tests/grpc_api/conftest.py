"""Fixtures for the tests of the gRPC API: connections to the broker, and one that makes no topics by itself."""

import pytest

from grpc_api.api import Api
from grpc_api.member import Member


@pytest.fixture
def api(broker):
    """A connection to the shared broker."""
    with Api(broker) as api:
        yield api


@pytest.fixture
def group(topic) -> str:
    return f"readers-of-{topic}"


@pytest.fixture
def join(broker):
    """Makes members of groups, each with a connection of its own, and ends them after the test."""
    members: list[Member] = []

    def make(group: str, *topics: str, **subscribe) -> Member:
        members.append(Member(broker, group, *topics, **subscribe))
        return members[-1]

    yield make
    for member in members:
        member.vanish()


@pytest.fixture
def strict(strict_broker, request):
    """A connection to a broker that makes no topics by itself."""
    with Api(strict_broker) as api:
        yield api
    strict_broker.check_after(request.node)
