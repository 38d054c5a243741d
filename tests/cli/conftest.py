"""Fixtures for the tests of the command line: it, at the shared broker and at one that makes no topics by itself."""

import pytest

from cli.fjord import Fjord
from harness.broker import new_broker


@pytest.fixture
def fjord(broker):
    """The command line at the shared broker; what it still runs after a test is ended."""
    fjord = Fjord(broker.grpc)
    yield fjord
    fjord.close()


@pytest.fixture
def group(topic) -> str:
    return f"readers-of-{topic}"


@pytest.fixture
def strict(strict_broker, request):
    """The command line at a broker that makes no topics by itself."""
    fjord = Fjord(strict_broker.grpc)
    yield fjord
    fjord.close()
    strict_broker.check_after(request.node)


@pytest.fixture
def own_broker(session_directory, request, topic):
    """A broker of the test's own, to be stopped, killed and started again."""
    broker = new_broker(session_directory / f"broker-of-{topic}", {"group.initial.rebalance.delay.ms": "0"})
    with broker:
        yield broker
        if broker.process is None:
            broker.start()
        broker.check_after(request.node)
