package fjord;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.record.TimestampType;

/** What a producer may rely on: acknowledgements, order, auto-creation, and the errors of bad records. */
final class Producing {
    private static final int RECORDS = 2000;

    private final Cluster cluster;

    Producing(Cluster cluster) {
        this.cluster = cluster;
    }

    void register(Map<String, Driver.Case> cases) {
        cases.put("producing.acks", this::acks);
        cases.put("producing.order", this::order);
        cases.put("producing.auto_create", this::autoCreate);
        cases.put("producing.refused", this::refused);
        cases.put("producing.append_time", this::appendTime);
    }

    private List<String> values(String topic, int partitions) {
        try (KafkaConsumer<String, String> consumer = cluster.consumer()) {
            return Cluster.readAll(consumer, Cluster.partitions(topic, partitions)).stream()
                    .map(ConsumerRecord::value).toList();
        }
    }

    private Object acks(JsonNode args) throws Exception {
        String topic = "java-acks";
        cluster.createTopic(topic, 1);
        List<String> sent = new ArrayList<>();
        for (String acks : List.of("0", "1", "all")) {
            try (KafkaProducer<String, String> producer =
                    cluster.producer("acks", acks, "enable.idempotence", acks.equals("all"))) {
                for (int index = 0; index < 20; index++) {
                    sent.add(acks + " " + index);
                    producer.send(new ProducerRecord<>(topic, acks + " " + index));
                }
            }
            // Nothing but the log tells when a record sent without acknowledgement has arrived.
            Check.eventually(sent, () -> values(topic, 1), "records after acks=%s", acks);
        }
        return sent.size();
    }

    /** Small batches, five requests in flight: an idempotent producer's records stay in the order of sends. */
    private Object order(JsonNode args) throws Exception {
        String topic = "java-order";
        cluster.createTopic(topic, 1);
        List<Future<RecordMetadata>> answers = new ArrayList<>();
        try (KafkaProducer<String, String> producer = cluster.producer("batch.size", 100, "linger.ms", 0)) {
            for (int index = 0; index < RECORDS; index++) {
                answers.add(producer.send(new ProducerRecord<>(topic, Integer.toString(index))));
            }
        }
        for (int index = 0; index < RECORDS; index++) {
            Check.equal((long) index, Check.get(answers.get(index)).offset(), "offset of record %d", index);
        }
        Check.equal(IntStream.range(0, RECORDS).mapToObj(Integer::toString).toList(), values(topic, 1), "values");
        return RECORDS;
    }

    private Object autoCreate(JsonNode args) throws Exception {
        String topic = "java-made-by-producing";
        try (KafkaProducer<String, String> producer = cluster.producer()) {
            Check.equal(0L, Check.get(producer.send(new ProducerRecord<>(topic, "first"))).offset(), "offset");
        }
        int partitions = Check.get(cluster.admin.describeTopics(List.of(topic)).allTopicNames()).get(topic)
                .partitions().size();
        Check.equal(List.of("first"), values(topic, partitions), "values");
        return partitions;
    }

    private Object refused(JsonNode args) throws Exception {
        cluster.createTopic("java-small-messages", 1, "max.message.bytes", "10000");
        cluster.createTopic("java-compacted", 1, "cleanup.policy", "compact");
        try (KafkaProducer<String, String> producer = cluster.producer("max.block.ms", 10_000)) {
            var tooLarge = new ProducerRecord<String, String>("java-small-messages", "x".repeat(20_000));
            Check.fails(RecordTooLargeException.class, producer.send(tooLarge));
            Check.get(producer.send(new ProducerRecord<>("java-small-messages", "fits")));

            Check.fails(InvalidRecordException.class, producer.send(new ProducerRecord<>("java-compacted", "no key")));
            Check.get(producer.send(new ProducerRecord<>("java-compacted", "a", "keyed")));

            long tomorrow = System.currentTimeMillis() + 24 * 3_600_000L;
            var early = new ProducerRecord<>("java-small-messages", 0, tomorrow, "k", "from tomorrow");
            Check.fails(InvalidTimestampException.class, producer.send(early));
            Check.get(producer.send(new ProducerRecord<>("java-small-messages", "from today")));

            Check.fails(InvalidTopicException.class, producer.send(new ProducerRecord<>("no/topic name", "x")));
        }
        Check.equal(List.of("fits", "from today"), values("java-small-messages", 1), "what was accepted");
        Check.equal(List.of("keyed"), values("java-compacted", 1), "what was accepted with a key");
        return null;
    }

    private Object appendTime(JsonNode args) throws Exception {
        String topic = "java-append-time";
        cluster.createTopic(topic, 1, "message.timestamp.type", "LogAppendTime");
        long before = System.currentTimeMillis();
        RecordMetadata answer;
        try (KafkaProducer<String, String> producer = cluster.producer()) {
            answer = Check.get(producer.send(new ProducerRecord<>(topic, 0, 1000L, "k", "v")));
        }
        Check.that(answer.timestamp() >= before, "the producer's own timestamp came back: %d", answer.timestamp());
        try (KafkaConsumer<String, String> consumer = cluster.consumer()) {
            var record = Cluster.readAll(consumer, List.of(new TopicPartition(topic, 0))).get(0);
            Check.equal(TimestampType.LOG_APPEND_TIME, record.timestampType(), "type of timestamp");
            Check.equal(answer.timestamp(), record.timestamp(), "timestamp");
        }
        return null;
    }
}
