"""SIGKILL at random moments, under load from idempotent clients."""

import itertools
import os
import random
import statistics
import time

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from crash.commits import Committer
from crash.load import LARGE, SMALL, Check, Load, Shape
from features.simple import wait_until

ROUNDS, ROUNDS_LONG = 10, 50
READY_S, READY_BUSY_S = 2.0, 6.0
"""What a restart may take, and what one in five may when other tests and builds use the machine too."""
MOMENT_S = (0.05, 1.5)
ADMIN_TIMEOUT_S = 60


@pytest.mark.timeout(1800)
def test_what_was_acknowledged_survives_sigkill(fresh_broker, request):
    """Every acknowledged record is there once and in order, topics too, and commits never go back."""
    chance = random.Random(seed())
    admin = AdminClient({"bootstrap.servers": fresh_broker.bootstrap})
    for shape in (SMALL, LARGE):
        create(admin, shape)
    loads = [Load(fresh_broker.bootstrap, shape).start() for shape in (SMALL, LARGE)]
    checks = [Check(fresh_broker.bootstrap, shape) for shape in (SMALL, LARGE)]
    committer = Committer(fresh_broker.bootstrap, SMALL.topic, SMALL.partitions).start()
    topics = Topics(admin)
    ready: list[float] = []
    for _ in range(ROUNDS_LONG if request.config.getoption("--long") else ROUNDS):
        under_load(loads, committer)
        topics.change()
        time.sleep(chance.uniform(*MOMENT_S))
        acknowledged, committed = [list(load.acknowledged) for load in loads], committer.acknowledged()
        fresh_broker.kill()
        if chance.random() < 0.3:
            fresh_broker.start_and_kill(after_s=chance.uniform(0.0, 0.3))
        fresh_broker.start()
        ready.append(fresh_broker.ready_after_s)
        for check, least in zip(checks, acknowledged, strict=True):
            check.run(least)
        committer.check(committed)
        topics.check()
        fresh_broker.check_log()
    for load, check in zip(loads, checks, strict=True):
        load.finish()
        check.run(load.sent, whole=True)
        assert check.checked == load.sent
        check.close()
    committer.finish()
    report(ready, loads, committer)
    assert statistics.quantiles(ready, n=5)[3] < READY_S and max(ready) < READY_BUSY_S, ready


def report(ready: list[float], loads: list[Load], committer: Committer) -> None:
    sent = sum(sum(load.sent) for load in loads)
    print(f"{len(ready)} kills, {sent} records, {committer.commits} commits; ready again after at most {max(ready):.2f} s, "
          f"{statistics.median(ready):.2f} s in the median")  # fmt: skip


def seed() -> int:
    """The seed of a run; FJORD_TEST_SEED repeats one."""
    number = int(os.environ.get("FJORD_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"FJORD_TEST_SEED={number}")
    return number


def create(admin: AdminClient, shape: Shape) -> None:
    topic = NewTopic(shape.topic, shape.partitions, 1)
    admin.create_topics([topic])[shape.topic].result(ADMIN_TIMEOUT_S)


def under_load(loads: list[Load], committer: Committer) -> None:
    """Waits until every load has had records acknowledged, and the group a commit, since now."""
    before = [sum(load.acknowledged) for load in loads]
    commits = committer.commits

    def moved() -> bool:
        for load in loads:
            assert not load.errors, f"the producer gave up: {load.errors[:5]}"
        return committer.commits > commits and all(
            sum(load.acknowledged) > count for load, count in zip(loads, before, strict=True)
        )

    wait_until("the load goes on", moved)


class Topics:
    """Topics that come and go; those whose creation was acknowledged exist, and deleted ones do not come back."""

    def __init__(self, admin: AdminClient):
        self.admin = admin
        self.names = itertools.count()
        self.there: list[str] = []
        self.gone: list[str] = []

    def change(self) -> None:
        """Creates two topics and deletes one."""
        for _ in range(2):
            name = f"passing-{next(self.names)}"
            self.admin.create_topics([NewTopic(name, 2, 1)])[name].result(ADMIN_TIMEOUT_S)
            self.there.append(name)
        name = self.there.pop(0)
        self.admin.delete_topics([name])[name].result(ADMIN_TIMEOUT_S)
        self.gone.append(name)

    def check(self) -> None:
        """Compares with what the broker lists."""
        listed = set(self.admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics)
        assert set(self.there) <= listed, f"topics were lost: {set(self.there) - listed}"
        assert not set(self.gone) & listed, f"deleted topics came back: {set(self.gone) & listed}"
