"""A disk that is full or empty, under load."""

import shutil

import pytest
from confluent_kafka import Producer

from crash.disk import SmallDisk
from harness.cluster import wait_for

from .clients import IMPATIENT
from .scene import Scene

VICTIM = 2
BULK = "bulk"
REFUSED = "fjord_log_refused_disk_full_total"
SPARE_BYTES = 1 << 20


@pytest.fixture
def scene_with_small_disk(request, tmp_path):
    """A cluster under load, in which one broker has little space, and that disk."""
    disk = SmallDisk("tmpfs", tmp_path / "disk")
    disk.mount()
    try:
        scene = Scene(tmp_path)
        scene.cluster[VICTIM].data = disk.directory / "data"
        with scene:
            yield scene.load(), disk
            scene.cluster.check_after(request.node)
    finally:
        disk.unmount()


def test_a_full_disk(scene_with_small_disk):
    """What its broker leads stands still, all else goes on without it; and it is back once there is space."""
    scene, disk = scene_with_small_disk
    victim = scene.cluster[VICTIM]
    scene.create(BULK, {"NumPartitions": 3, "ReplicationFactor": 3}, 1)
    disk.put_ballast(disk.free_bytes() - SPARE_BYTES)
    bulk = Producer({"bootstrap.servers": scene.cluster.bootstrap, "queue.buffering.max.messages": 100, "log_level": 2})

    def full() -> bool:
        for _ in range(10):
            if len(bulk) < 50:
                bulk.produce(BULK, b"x" * 50_000)
            bulk.poll(0.001)
        return victim.metric(REFUSED) > 0

    wait_for("the disk is full", full)
    others = {each for each, leader in scene.leaders().items() if leader != victim.id}
    scene.clients.wait_progress([IMPATIENT], others)
    bulk.purge()
    bulk.flush(10)
    disk.drop_ballast()
    scene.check()


@pytest.mark.parametrize("role", ["leader", "quorum leader"])
def test_a_deleted_data_directory(scene, role):
    """The broker comes back with nothing under its id, gets everything from the others, and can then stand in for them."""
    victim = scene.in_role(role)
    victim.kill()
    shutil.rmtree(victim.data)
    scene.clients.wait_progress([IMPATIENT])
    scene.cluster.start(victim.id)
    scene.wait_whole()
    for other in scene.others(victim):
        other.kill()
        scene.clients.wait_progress([IMPATIENT])
        scene.cluster.start(other.id)
        scene.wait_whole()
    scene.check()
