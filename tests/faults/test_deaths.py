"""Brokers that die or stop, under load."""

import pytest

from .clients import IMPATIENT


@pytest.mark.parametrize("role", ["leader", "follower", "quorum leader", "coordinator"])
def test_a_killed_broker(scene, role):
    """The others go on without it, and it comes back."""
    victim = scene.in_role(role)
    victim.kill()
    scene.clients.wait_progress()
    scene.cluster.start(victim.id)
    scene.check()


def test_a_broker_that_is_killed_again_while_it_catches_up(scene):
    victim = scene.leader()
    for _ in range(3):
        victim.kill()
        scene.clients.wait_progress([IMPATIENT])
        scene.cluster.start(victim.id)
    scene.check()


def test_all_brokers_are_killed_at_once(scene):
    for _ in range(2):
        scene.cluster.kill()
        scene.cluster.start()
        scene.clients.wait_progress()
    scene.check()


def test_all_brokers_are_killed_one_after_the_other(scene):
    """Each while the one before has not caught up yet."""
    for member in list(scene.cluster.running):
        member.kill()
        scene.cluster.start(member.id)
    scene.check()


def test_brokers_restart_one_after_the_other(scene):
    """As in an upgrade: each is waited for until it is in sync again."""
    for member in list(scene.cluster.running):
        member.stop()
        scene.clients.wait_progress()
        scene.cluster.start(member.id)
        scene.wait_whole()
    scene.check()


@pytest.mark.parametrize("scene", [5], indirect=True)
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_two_of_five_brokers_are_gone(scene, how):
    """Among them the leader of the quorum."""
    victims = [scene.cluster.wait_quorum_leader(), scene.leader()]
    for victim in victims:
        victim.kill() if how == "killed" else victim.stop()
    # A partition may have had both of them, and the safe topic wants two.
    scene.wait_moved(*victims)
    scene.clients.wait_progress([IMPATIENT], scene.able(scene.cluster.running[0]))
    scene.cluster.start(*[victim.id for victim in victims])
    scene.check()
