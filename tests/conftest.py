"""Fixtures for all end-to-end tests: a broker, a directory for what the clients write, fresh names."""

import itertools
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from harness.broker import new_broker
from harness.server import Server

# Defaults of a broker in these tests. Auto-created topics get six partitions; a group's first
# rebalance does not wait for more members, and retention and compaction look often, so that tests
# do not wait either.
SETTINGS = {
    "num.partitions": "6",
    "group.initial.rebalance.delay.ms": "0",
    "log.retention.check.interval.ms": "500",
    "log.cleaner.backoff.ms": "200",
}

_names = itertools.count(1)


def pytest_configure(config):
    """Has SIGTERM end the run as Ctrl-C does, so that brokers and clients are ended with it."""

    def interrupt(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the tests marked `long` too")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    for item in items:
        if "long" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="only with --long"))


@pytest.fixture(scope="session")
def session_directory(request):
    """A temporary directory for brokers, kept when a test failed so that the logs can be read."""
    directory = Path(tempfile.mkdtemp(prefix="fjord-tests-"))
    yield directory
    if request.session.testsfailed:
        print(f"the logs and the data of the brokers are in {directory}")
        return
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_broker(session_directory):
    """One broker for all tests of a run; tests may restart it, but leave it running."""
    broker = new_broker(session_directory / "broker", SETTINGS)
    with broker:
        yield broker


@pytest.fixture
def broker(shared_broker: Server, request):
    """The shared broker; a test fails if the broker died or panicked, and its log is shown with any failure."""
    if shared_broker.process is None:
        shared_broker.start()
    yield shared_broker
    shared_broker.check_after(request.node)


@pytest.fixture(scope="session")
def strict_broker(session_directory):
    """A broker that makes no topics by itself."""
    settings = {"auto.create.topics.enable": "false", "group.initial.rebalance.delay.ms": "0"}
    broker = new_broker(session_directory / "strict-broker", settings)
    with broker:
        yield broker


@pytest.fixture
def topic(request) -> str:
    """A topic name of the test's own, not yet created."""
    return f"{request.node.originalname.replace('_', '-')}-{next(_names)}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.report_call = outcome.get_result()
