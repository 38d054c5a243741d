"""aiokafka as a client program. See ../README.md."""

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from common import Input, decode, emit, emit_record, main


async def create(bootstrap, topic, partitions):
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, partitions, 1)])
    await admin.close()
    emit("created")


async def produce(bootstrap, topic, codec):
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, compression_type=None if codec == "none" else codec,
        enable_idempotence=True, linger_ms=20, max_batch_size=65_536, request_timeout_ms=120_000,
    )  # fmt: skip
    await producer.start()

    def on_delivery(index):
        def report(future):
            place = future.result()
            emit("delivered", index=index, partition=place.partition, offset=place.offset)

        return report

    messages, index = Input().messages(), 0
    while (message := await asyncio.to_thread(next, messages, "end")) != "end":
        if message is None:
            continue
        record = decode(message)
        future = await producer.send(topic, record["value"], record["key"], partition=record["partition"],
                                     timestamp_ms=record["timestamp"], headers=record["headers"])  # fmt: skip
        future.add_done_callback(on_delivery(index))
        index += 1
    await producer.stop()


def show(record):
    emit_record(record.partition, record.offset, record.timestamp, record.key, record.value, record.headers)


async def consume(bootstrap, topic, partitions, count):
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    consumer.assign([TopicPartition(topic, partition) for partition in range(partitions)])
    await consumer.seek_to_beginning()
    for _ in range(count):
        show(await consumer.getone())
    await consumer.stop()


class Assignment(ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked):
        emit("assigned", partitions=[])

    def on_partitions_assigned(self, assigned):
        emit("assigned", partitions=[place.partition for place in assigned])


async def group(bootstrap, topic, group):
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
        session_timeout_ms=10_000, heartbeat_interval_ms=500,
    )  # fmt: skip
    await consumer.start()
    consumer.subscribe([topic], listener=Assignment())
    commands = Input()
    while (command := commands.command()) != "stop":
        if command == "commit":
            await commit(consumer)
        for records in (await consumer.getmany(timeout_ms=100)).values():
            for record in records:
                show(record)
    await consumer.stop()


async def commit(consumer):
    try:
        await consumer.commit()
    except KafkaError as error:
        emit("commit_failed", error=str(error))
    else:
        emit("committed")


def blocking(command):
    """A command that runs its coroutine to the end."""
    return lambda **arguments: asyncio.run(command(**arguments))


main(**{command.__name__: blocking(command) for command in (create, produce, consume, group)})
