"""Fixtures of the crash tests: brokers of their own, with default settings."""

import pytest

from crash.machine import CrashBroker


@pytest.fixture
def fresh_broker(session_directory, request):
    """A running broker that no other test uses; its log is shown if the test fails, and must not hold a panic."""
    broker = CrashBroker(session_directory / request.node.name, {"group.initial.rebalance.delay.ms": "0"})
    with broker:
        yield broker
        broker.check_after(request.node)
