"""confluent-kafka (librdkafka's newest release) as a client program. See ../README.md."""

from common import Input, decode, emit, emit_record, main
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic


def create(bootstrap, topic, partitions):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)
    emit("created")


def produce(bootstrap, topic, codec):
    producer = Producer({
        "bootstrap.servers": bootstrap, "compression.type": codec, "enable.idempotence": True,
        "linger.ms": 20, "reconnect.backoff.max.ms": 500,
    })  # fmt: skip

    def on_delivery(index):
        def report(error, message):
            if error:
                raise KafkaException(error)
            emit("delivered", index=index, partition=message.partition(), offset=message.offset())

        return report

    index = 0
    for message in Input().messages():
        if message is not None:
            record = decode(message)
            options = {"partition": record["partition"]} if record["partition"] is not None else {}
            if record["timestamp"] is not None:
                options["timestamp"] = record["timestamp"]
            producer.produce(topic, record["value"], record["key"], headers=record["headers"],
                             on_delivery=on_delivery(index), **options)  # fmt: skip
            index += 1
        producer.poll(0)
    producer.flush()


def show(message):
    if message.error():
        raise KafkaException(message.error())
    emit_record(message.partition(), message.offset(), message.timestamp()[1],
                message.key(), message.value(), message.headers())  # fmt: skip


def consume(bootstrap, topic, partitions, count):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(partitions)])
    while count > 0:
        message = consumer.poll(1)
        if message is not None:
            show(message)
            count -= 1
    consumer.close()


def group(bootstrap, topic, group):
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest",
        "enable.auto.commit": False, "session.timeout.ms": 10_000, "heartbeat.interval.ms": 500,
        "reconnect.backoff.max.ms": 500,
    })  # fmt: skip
    consumer.subscribe(
        [topic],
        on_assign=lambda _, owned: emit("assigned", partitions=[place.partition for place in owned]),
        on_revoke=lambda *_: emit("assigned", partitions=[]),
        on_lost=lambda *_: emit("assigned", partitions=[]),
    )
    commands = Input()
    while (command := commands.command()) != "stop":
        if command == "commit":
            commit(consumer)
        message = consumer.poll(0.1)
        if message is not None and not message.error():
            show(message)
    consumer.close()


def commit(consumer):
    try:
        consumer.commit(asynchronous=False)
    except KafkaException as error:
        if error.args[0].name() != "_NO_OFFSET":
            emit("commit_failed", error=str(error))
            return
    emit("committed")


main(create=create, produce=produce, consume=consume, group=group)
