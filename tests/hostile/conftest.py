"""Fixtures of the hostile tests: a broker under attack, and a good client that must not notice."""

import resource
from dataclasses import replace

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from crash.load import SMALL, Check, Load
from crash.machine import CrashBroker

from .requests import TARGET, VICTIM

TIMEOUT_S = 60
GOOD = replace(SMALL, pause_s=0.002)
"""The good client's records: so few that it can tell a stall, and that the attack has the machine for itself."""
DESCRIPTORS = 16_384
"""Ten thousand connections take as many file descriptors, here and in the broker, which keeps some for its files."""


@pytest.fixture(scope="module")
def attacked(session_directory, request):
    """A broker with default settings but for idle groups' waits, and for caches that are full from the start on."""
    raise_descriptors()
    settings = {
        "group.initial.rebalance.delay.ms": "0",
        "fjord.cache.bytes": str(1 << 20),
        "fjord.index.cache.bytes": str(1 << 20),
    }
    broker = CrashBroker(session_directory / request.module.__name__.split(".")[-1], settings)
    with broker:
        create(broker, VICTIM, 1)
        create(broker, TARGET, 1)
        create(broker, GOOD.topic, GOOD.partitions)
        yield broker


@pytest.fixture
def good_client(attacked, request):
    """A client that produces all the while; at the end every one of its records must be there, once and in order."""
    start_at = ends_now(attacked)
    load = Load(attacked.bootstrap, GOOD, start_at).start()
    yield load
    attacked.check_after(request.node)
    load.finish()
    check = Check(attacked.bootstrap, GOOD, start_at)
    check.run(load.sent)
    assert check.checked == load.sent
    check.close()


def raise_descriptors() -> None:
    """Has as many file descriptors as the system allows; root may ask for more than that."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(most, DESCRIPTORS)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except (ValueError, OSError):
        pytest.fail(f"the tests need {DESCRIPTORS} file descriptors, and the system allows {most} (ulimit -Hn)")


def create(broker, topic: str, partitions: int) -> None:
    """Creates a topic."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(TIMEOUT_S)


def ends_now(broker) -> list[int]:
    """Where the load's partitions end now: a new load goes on there."""
    reader = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "unused"})
    ends = [reader.get_watermark_offsets(TopicPartition(GOOD.topic, p), TIMEOUT_S)[1] for p in range(GOOD.partitions)]
    reader.close()
    return ends
