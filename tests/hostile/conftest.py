"""Fixtures of the hostile tests: a broker under attack, and a good client that must not notice."""

import resource

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from crash.load import SMALL, Check, Load
from crash.machine import CrashBroker

from .requests import TARGET, VICTIM

TIMEOUT_S = 60


@pytest.fixture(scope="module")
def attacked(session_directory, request):
    """A broker with default settings but for idle groups' waits."""
    # Ten thousand connections take as many file descriptors, here and in the broker.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    broker = CrashBroker(
        session_directory / request.module.__name__.split(".")[-1], {"group.initial.rebalance.delay.ms": "0"}
    )
    with broker:
        create(broker, VICTIM, 1)
        create(broker, TARGET, 1)
        create(broker, SMALL.topic, SMALL.partitions)
        yield broker


@pytest.fixture
def good_client(attacked, request):
    """A client that produces all the while; at the end every one of its records must be there, once and in order."""
    load = Load(attacked.bootstrap, SMALL, start_at=ends_now(attacked)).start()
    yield load
    report = getattr(request.node, "report_call", None)
    if report is not None and report.failed:
        print(attacked.log_tail())
    attacked.check_log()
    load.finish()
    check = Check(attacked.bootstrap, SMALL)
    check.run(load.sent, whole=True)
    assert check.checked == load.sent
    check.close()


def create(broker, topic: str, partitions: int) -> None:
    """Creates a topic."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(TIMEOUT_S)


def ends_now(broker) -> list[int]:
    """Where the load's partitions end now: a new load goes on there."""
    reader = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "unused"})
    ends = [reader.get_watermark_offsets(TopicPartition(SMALL.topic, p), TIMEOUT_S)[1] for p in range(SMALL.partitions)]
    reader.close()
    return ends
