"""The Java client 4.3.1: what it does alone, in groups, and while the broker restarts under it.

The cases themselves are Java (`src`); here is their order, and what the broker goes through between them.
"""

import pytest

from harness.wire import stored_batches

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


@pytest.mark.parametrize("codec", CODECS)
def test_every_byte_comes_back(driver, broker, topic, codec):
    driver.run("round_trip.produce", topic=topic, codec=codec)
    driver.run("round_trip.consume", topic=topic)
    driver.run("round_trip.consume_small", topic=topic)
    driver.run("round_trip.seek", topic=topic)
    batches = [batch for partition in range(3) for batch in stored_batches(broker.bootstrap, topic, partition)]
    assert {batch.codec for batch in batches} == {codec}, "batches are stored as they were sent"
    assert all(batch.producer_id >= 0 and batch.base_sequence >= 0 for batch in batches), "the producer is idempotent"


@pytest.mark.parametrize("what", ["acks", "order", "auto_create", "refused", "append_time"])
def test_producing(driver, what):
    driver.run(f"producing.{what}")


@pytest.mark.parametrize("what", ["create", "describe", "partitions", "delete", "cluster", "log_dirs"])
def test_admin_topics(driver, what):
    driver.run(f"topics.{what}")


@pytest.mark.parametrize("what", ["topic", "refused", "broker", "described"])
def test_admin_configs(driver, what):
    driver.run(f"configs.{what}")


@pytest.mark.parametrize("what", ["list", "consumer", "delete_records", "start_inside_batch", "reset_policies"])
def test_offsets(driver, what):
    driver.run(f"offsets.{what}")


def test_topic_made_again_under_its_name(driver):
    driver.run("topic_ids.recreate")


def test_clients_live_through_restarts(driver, broker):
    """Groups, static members, a producer and admin clients: one restart in good order, one after SIGKILL."""
    for codec in CODECS:
        driver.run("round_trip.produce", topic=f"java-kept-{codec}", codec=codec)
    driver.run("group.grow")
    driver.run("static.start")
    driver.run("static.restart_member")
    driver.run("groups.empty")
    for crash in (False, True):
        driver.run("static.before_broker_restart")
        driver.run("group.before_restart")
        if crash:
            broker.kill()
            broker.start()
        else:
            broker.restart()
        driver.run("group.after_restart")
        driver.run("static.after_broker_restart")
        driver.run("groups.after_restart")
    driver.run("group.shrink")
    driver.run("group.resume")
    driver.run("static.fence")
    driver.run("static.remove")
    driver.run("groups.live")
    driver.run("groups.delete")
    for codec in CODECS:
        driver.run("round_trip.consume", topic=f"java-kept-{codec}")
