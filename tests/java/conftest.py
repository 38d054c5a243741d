"""One broker for all Java tests, and the JVM that runs their cases; topics and groups keep them apart."""

import jvm
import pytest
from harness.broker import new_broker

# Groups form at once, and the internal topic is small: what is tested is the clients, not waiting.
SETTINGS = {"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "4"}


@pytest.fixture(scope="session")
def java():
    """The pinned jars and the compiled cases."""
    jvm.prepare()
    return jvm


@pytest.fixture(scope="session")
def broker(java, tmp_path_factory):
    """The broker under test; tests may restart it."""
    with new_broker(tmp_path_factory.mktemp("java-broker"), SETTINGS) as running:
        yield running


@pytest.fixture(autouse=True)
def healthy(broker):
    """The broker outlives every test, and says nothing that it must never say."""
    yield
    broker.check_log()


@pytest.fixture(scope="module")
def driver(java, broker, tmp_path_factory):
    """A JVM for the cases of one module; clients that they leave open live until the module ends."""
    driver = java.Driver(broker.bootstrap, tmp_path_factory.mktemp("driver") / "jvm.log")
    yield driver
    driver.close()
