"""Brokers that stand still for longer than their sessions, with all connections open, and then simply go on."""

import signal
import time
from contextlib import contextmanager

import pytest

from harness.cluster import Member

from .clients import IMPATIENT


@contextmanager
def paused(*members: Member):
    """Has brokers stand still."""
    for member in members:
        member.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for member in members:
            member.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("role", ["leader", "follower", "quorum leader", "coordinator"])
def test_a_paused_broker(scene, role):
    """The others lead in its place; when it goes on, it may not act as a leader of before."""
    victim = scene.in_role(role)
    with paused(victim):
        scene.wait_moved(victim)
        scene.clients.wait_progress([IMPATIENT])
    scene.check()


def test_short_pauses_one_after_the_other(scene):
    """Too short to be noticed, or just long enough, so that it is fenced and back at the same time."""
    for member in list(scene.cluster.running):
        with paused(member):
            time.sleep(2.0)
    scene.check()


def test_all_brokers_are_paused(scene):
    """Whoever goes on first finds that all sessions are over."""
    with paused(*scene.cluster.running):
        time.sleep(5.0)
    scene.check()
