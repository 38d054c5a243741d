"""Brokers that die or stop, under load."""

import pytest


@pytest.mark.parametrize("role", ["leader", "quorum leader", "coordinator"])
def test_a_killed_broker(scene, role):
    victim = {
        "leader": scene.leader,
        "quorum leader": scene.cluster.wait_quorum_leader,
        "coordinator": scene.coordinator,
    }[role]()
    victim.kill()
    scene.clients.wait_progress()
    scene.cluster.start(victim.id)
    scene.check()
