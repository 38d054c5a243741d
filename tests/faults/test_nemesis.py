"""Faults by chance, one after the other and at the same time, with little time in between for anybody to recover."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from harness.cluster import Member

from . import shapes
from .scene import Scene

ROUNDS, ROUNDS_LONG = 6, 150
FAULT_S, CALM_S = (0.2, 4.0), (0.0, 1.5)


@contextmanager
def killed(scene: Scene, victim: Member, chance: random.Random) -> Iterator[None]:
    victim.kill()
    yield
    victim.process = victim.spawn()


@contextmanager
def paused(scene: Scene, victim: Member, chance: random.Random) -> Iterator[None]:
    victim.process.send_signal(signal.SIGSTOP)
    yield
    victim.process.send_signal(signal.SIGCONT)


@contextmanager
def unplugged(scene: Scene, victim: Member, chance: random.Random) -> Iterator[None]:
    scene.network.unplug(victim.id)
    yield
    scene.network.plug(victim.id)


@contextmanager
def cut(scene: Scene, victim: Member, chance: random.Random) -> Iterator[None]:
    """A shape of which the victim is the middle."""
    near = sorted(scene.ids - {victim.id})[: len(scene.ids) // 2 - 1]
    ways = [
        shapes.alone(victim.id, scene.ids),
        shapes.from_brokers(victim.id, scene.ids),
        shapes.from_clients(victim.id),
        shapes.deaf(victim.id, scene.ids),
        shapes.mute(victim.id, scene.ids),
        shapes.bridge(victim.id, scene.ids),
        shapes.halves({victim.id, *near}, scene.ids),
    ]
    scene.network.cut(chance.choice(ways))
    yield
    scene.network.heal()


FAULTS = [killed, killed, paused, unplugged, cut, cut, cut]


def seed() -> int:
    """The seed of a run; FJORD_TEST_SEED repeats one, as far as the faults and their times go."""
    number = int(os.environ.get("FJORD_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"FJORD_TEST_SEED={number}")
    return number


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scene", [3, 5], indirect=True)
def test_faults_by_chance(scene, request):
    chance = random.Random(seed())
    for _ in range(ROUNDS_LONG if request.config.getoption("--long") else ROUNDS):
        with ExitStack() as faults:
            for victim in chance.sample(sorted(scene.ids), chance.choice([1, 1, 2])):
                fault = chance.choice(FAULTS)
                seconds = chance.uniform(*FAULT_S)
                print(f"{time.monotonic():.1f}: broker {victim} {fault.__name__} for {seconds:.1f} s")
                faults.enter_context(fault(scene, scene.cluster[victim], chance))
                time.sleep(seconds)
        for member in scene.cluster.running:
            member.check_log()
        time.sleep(chance.uniform(*CALM_S))
    for member in scene.cluster.running:
        scene.cluster.wait_ready(member)
    scene.check()
