"""Short ways to do with confluent-kafka what the tests of this folder do all the time."""

import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

TIMEOUT_S = 60
QUIET = {"log_level": 2}
"""Clients that live through a restart need not tell about each failed connection."""
LEADER_UNSETTLED = ("UNKNOWN_LEADER_EPOCH", "FENCED_LEADER_EPOCH", "NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE")
"""What a broker may answer for a moment after its start."""


def admin(broker) -> AdminClient:
    """An admin client; it must stay referenced until its futures are done."""
    return AdminClient({**QUIET, "bootstrap.servers": broker.bootstrap})


def create(broker, topic: str, partitions: int = 1, **config: str) -> None:
    """Creates a topic; config names are written with _ for the dots."""
    dotted = {name.replace("_", "."): value for name, value in config.items()}
    client = admin(broker)
    client.create_topics([NewTopic(topic, partitions, 1, config=dotted)])[topic].result(TIMEOUT_S)


def producer(broker, **config) -> Producer:
    """An idempotent producer."""
    dotted = {name.replace("_", "."): value for name, value in config.items()}
    return Producer({**QUIET, "bootstrap.servers": broker.bootstrap, "enable.idempotence": True, **dotted})


def produce(broker, topic: str, values, key=None, partition: int = 0, timestamps=None, **config) -> list[int]:
    """Produces values to one partition, waits for all acknowledgements and returns the offsets."""
    client, offsets = producer(broker, **config), []

    def report(error, message: Message) -> None:
        if error:
            raise KafkaException(error)
        offsets.append(message.offset())

    for index, value in enumerate(values):
        time_option = {"timestamp": timestamps[index]} if timestamps else {}
        client.produce(topic, value, key(value) if callable(key) else key, partition, on_delivery=report, **time_option)
        client.poll(0)
    client.flush(TIMEOUT_S)
    assert len(offsets) == len(values), "not everything was acknowledged"
    return offsets


def consumer(broker, group: str = "unused", **config) -> Consumer:
    """A consumer that commits only when told."""
    dotted = {name.replace("_", "."): value for name, value in config.items()}
    fixed = {"enable.auto.commit": False, "auto.offset.reset": "earliest", "session.timeout.ms": 10_000}
    return Consumer({**QUIET, "bootstrap.servers": broker.bootstrap, "group.id": group, **fixed, **dotted})


def read(client: Consumer, count: int) -> list[Message]:
    """The next messages, exactly so many."""
    found: list[Message] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(found) < count:
        assert time.monotonic() < deadline, f"got {len(found)} of {count} messages in {TIMEOUT_S} s"
        for message in client.consume(count - len(found), 0.5):
            if message.error():
                raise KafkaException(message.error())
            found.append(message)
    return found


def read_partition(broker, topic: str, partition: int = 0, start: int | None = None) -> list[Message]:
    """All messages of a partition from an offset (by default its start) to its end now."""
    with_ends = consumer(broker, enable_partition_eof=True)
    first, end = with_ends.get_watermark_offsets(TopicPartition(topic, partition), TIMEOUT_S)
    with_ends.assign([TopicPartition(topic, partition, first if start is None else start)])
    found: list[Message] = []
    while with_ends.position([TopicPartition(topic, partition)])[0].offset < end:
        message = with_ends.poll(TIMEOUT_S)
        assert message is not None, f"no message and no end of {topic}-{partition} within {TIMEOUT_S} s"
        if not message.error():
            found.append(message)
        elif message.error().name() == "_PARTITION_EOF":
            break
        else:
            raise KafkaException(message.error())
    with_ends.close()
    return found


def offset_at(broker, topic: str, spec: OffsetSpec, partition: int = 0):
    """What ListOffsets answers for one partition; asked again while a partition's leader is being settled."""
    client = admin(broker)
    place = TopicPartition(topic, partition)

    def answer():
        try:
            return client.list_offsets({place: spec})[place].result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].name() not in LEADER_UNSETTLED:
                raise
            return None

    return wait_until("the partition has its leader", answer)


def wait_until(what: str, found: Callable[[], object], timeout_s: float = TIMEOUT_S):
    """Calls `found` until it gives something true, and returns that."""
    deadline = time.monotonic() + timeout_s
    while not (result := found()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain until {what}"
        time.sleep(0.1)
    return result


def error_name(call: Callable[[], object]) -> str:
    """The name of the error with which a call fails; it must fail."""
    try:
        result = call()
    except KafkaException as error:
        return error.args[0].name()
    raise AssertionError(f"it did not fail, but gave {result}")
