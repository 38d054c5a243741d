"""kafka-python as a client program. See ../README.md."""

from common import Input, decode, emit, emit_record, main
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError


def create(bootstrap, topic, partitions):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, partitions, 1)])
    admin.close()
    emit("created")


def produce(bootstrap, topic, codec):
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, compression_type=None if codec == "none" else codec, enable_idempotence=True,
        linger_ms=20, batch_size=65_536, reconnect_backoff_max_ms=500,
    )  # fmt: skip

    def on_delivery(index):
        return lambda place: emit("delivered", index=index, partition=place.partition, offset=place.offset)

    index = 0
    for message in Input().messages():
        if message is None:
            continue
        record = decode(message)
        future = producer.send(topic, record["value"], record["key"], record["headers"],
                               record["partition"], record["timestamp"])  # fmt: skip
        future.add_callback(on_delivery(index))
        index += 1
    producer.flush()
    producer.close()


def show(record):
    emit_record(record.partition, record.offset, record.timestamp, record.key, record.value, record.headers)


def consume(bootstrap, topic, partitions, count):
    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    consumer.assign([TopicPartition(topic, partition) for partition in range(partitions)])
    consumer.seek_to_beginning()
    for _ in range(count):
        show(next(consumer))
    consumer.close()


class Assignment(ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked):
        emit("assigned", partitions=[])

    def on_partitions_assigned(self, assigned):
        emit("assigned", partitions=[place.partition for place in assigned])


def group(bootstrap, topic, group):
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False,
        session_timeout_ms=10_000, heartbeat_interval_ms=500, reconnect_backoff_max_ms=500,
    )  # fmt: skip
    consumer.subscribe([topic], listener=Assignment())
    # A leader that learns a topic's partitions only after it joined joins again for them. If a poll times
    # out in that second round, kafka-python 3.0.12 forgets the round, and with it heartbeats and partitions:
    # `need_rejoin` compares snapshots that are equal by then. So it learns them before the first poll.
    consumer.partitions_for_topic(topic)
    commands = Input()
    while (command := commands.command()) != "stop":
        if command == "commit":
            commit(consumer)
        for records in consumer.poll(timeout_ms=100).values():
            for record in records:
                show(record)
    consumer.close()


def commit(consumer):
    try:
        consumer.commit()
    except KafkaError as error:
        emit("commit_failed", error=str(error))
    else:
        emit("committed")


main(create=create, produce=produce, consume=consume, group=group)
