"""Networks that are cut, in all shapes, under load; and that are whole again afterwards."""

import time

import pytest

from . import shapes
from .clients import IMPATIENT

SECONDS = 6.0
"""How long a cut lasts where nothing is to be waited for: three sessions, and twice `replica.lag.time.max.ms`."""


@pytest.mark.parametrize(
    ("shape", "role"),
    [
        (shapes.alone, "leader"),
        pytest.param(shapes.alone, "quorum leader", marks=pytest.mark.long),
        pytest.param(shapes.from_brokers, "leader", marks=pytest.mark.long),
        (shapes.from_brokers, "quorum leader"),
        (shapes.deaf, "leader"),
        (shapes.deaf, "quorum leader"),
        (shapes.mute, "quorum leader"),
        pytest.param(shapes.mute, "leader", marks=pytest.mark.long),
    ],
)
def test_one_broker_is_cut_off(scene, shape, role):
    """From everybody, from the other brokers, or in one direction only: the others go on without it."""
    victim = scene.in_role(role)
    scene.network.cut(shape(victim.id, scene.ids))
    scene.wait_moved(victim)
    scene.clients.wait_progress([IMPATIENT])
    scene.check()


def test_a_broker_is_cut_off_from_clients(scene):
    """The brokers see no reason to move anything, so what it leads stands still."""
    victim = scene.leader()
    scene.network.cut(shapes.from_clients(victim.id))
    others = {each for each, leader in scene.leaders().items() if leader != victim.id}
    scene.clients.wait_progress([IMPATIENT], others)
    assert victim.id in scene.leaders().values()
    scene.check()


@pytest.mark.parametrize("role", ["leader", pytest.param("quorum leader", marks=pytest.mark.long)])
def test_a_link_goes_down(scene, role):
    victim = scene.in_role(role)
    scene.network.unplug(victim.id)
    scene.wait_moved(victim)
    scene.clients.wait_progress([IMPATIENT])
    scene.network.plug(victim.id)
    scene.check()


def test_the_network_comes_and_goes(scene):
    """Cut again before everybody is back."""
    victim = scene.leader()
    for _ in range(3):
        scene.network.cut(shapes.alone(victim.id, scene.ids))
        scene.wait_moved(victim)
        scene.network.heal()
        time.sleep(0.7)
    scene.check()


@pytest.mark.parametrize("is_between", [True, False], ids=["quorum leader between", "quorum leader at an end"])
def test_two_brokers_see_each_other_through_the_third_only(scene, is_between):
    """A leader that misses a follower goes on without it, and a broker that misses the controller is fenced."""
    leader = scene.cluster.wait_quorum_leader()
    middle = leader if is_between else scene.others(leader)[0]
    scene.network.cut(shapes.bridge(middle.id, scene.ids))
    scene.clients.wait_progress([IMPATIENT])
    scene.check()


def test_nobody_sees_anybody(scene):
    """But clients see all of them: nothing may be acknowledged, and everything is when they see each other again."""
    scene.network.cut(shapes.between(scene.ids, scene.ids))
    time.sleep(SECONDS)
    scene.check()


@pytest.mark.parametrize("scene", [5], indirect=True)
@pytest.mark.parametrize("role", [pytest.param("leader", marks=pytest.mark.long), "quorum leader"])
def test_two_of_five_are_on_the_other_side(scene, role):
    """The three go on with what they have; the two, among them a leader, acknowledge nothing."""
    victims = [scene.in_role(role)]
    victims += scene.others(*victims)[:1]
    majority = scene.others(*victims)
    scene.network.cut(shapes.halves({each.id for each in victims}, scene.ids))
    scene.wait_moved(*victims)
    scene.clients.wait_progress([IMPATIENT], scene.able(majority[0]))
    scene.check()


@pytest.mark.parametrize("scene", [5], indirect=True)
@pytest.mark.parametrize("shape", ["bridge", "ring"])
def test_five_brokers_see_some_of_the_others(scene, shape):
    """Who can lead depends on who leads the quorum; whatever comes of it, nothing is lost."""
    leader = scene.cluster.wait_quorum_leader()
    scene.network.cut(shapes.bridge(leader.id, scene.ids) if shape == "bridge" else shapes.ring(scene.ids))
    time.sleep(SECONDS)
    scene.check()
