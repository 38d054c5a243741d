package fjord;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;

/** Offsets by kind and by time, and DeleteRecords. */
final class AdminOffsets {
    private final Cluster cluster;
    private final Admin admin;

    AdminOffsets(Cluster cluster) {
        this.cluster = cluster;
        this.admin = cluster.admin;
    }

    void register(Map<String, Driver.Case> cases) {
        cases.put("offsets.list", this::list);
        cases.put("offsets.consumer", this::fromConsumer);
        cases.put("offsets.delete_records", this::deleteRecords);
        cases.put("offsets.start_inside_batch", this::startInsideBatch);
        cases.put("offsets.reset_policies", this::resetPolicies);
    }

    private ListOffsetsResultInfo offset(TopicPartition partition, OffsetSpec spec) throws Exception {
        return Check.get(admin.listOffsets(Map.of(partition, spec)).all()).get(partition);
    }

    /** A second for each record, apart from the fourth, which is the latest of all; two records to a batch. */
    private long produceTimed(TopicPartition partition) throws Exception {
        long start = System.currentTimeMillis() - 600_000;
        cluster.createTopic(partition.topic(), partition.partition() + 1);
        try (KafkaProducer<String, String> producer = cluster.producer("linger.ms", 100)) {
            for (int index = 0; index < 10; index++) {
                long time = start + (index == 3 ? 100_000 : index * 1000);
                producer.send(new ProducerRecord<>(partition.topic(), partition.partition(), time, "k", "v" + index));
                if (index % 2 == 1) {
                    producer.flush();
                }
            }
        }
        return start;
    }

    private Object list(JsonNode args) throws Exception {
        TopicPartition partition = new TopicPartition("java-offsets", 1);
        TopicPartition empty = new TopicPartition("java-offsets", 0);
        long start = produceTimed(partition);
        Check.equal(0L, offset(partition, OffsetSpec.earliest()).offset(), "earliest");
        Check.equal(0L, offset(partition, OffsetSpec.earliestLocal()).offset(), "earliest local");
        Check.equal(10L, offset(partition, OffsetSpec.latest()).offset(), "latest");
        Check.equal(10L, Check.get(admin.listOffsets(Map.of(partition, OffsetSpec.latest()),
                new ListOffsetsOptions(IsolationLevel.READ_COMMITTED)).all()).get(partition).offset(), "last stable");
        Check.that(offset(partition, OffsetSpec.latest()).leaderEpoch().isPresent(), "no leader epoch");

        ListOffsetsResultInfo latestInTime = offset(partition, OffsetSpec.maxTimestamp());
        Check.equal(3L, latestInTime.offset(), "offset of the latest timestamp");
        Check.equal(start + 100_000, latestInTime.timestamp(), "latest timestamp");
        Map<Long, Long> firstNotBefore = Map.of(
                start - 5, 0L, start, 0L, start + 1, 1L, start + 2000, 2L, start + 2001, 3L, start + 100_000, 3L);
        for (var expected : firstNotBefore.entrySet()) {
            ListOffsetsResultInfo found = offset(partition, OffsetSpec.forTimestamp(expected.getKey()));
            Check.equal(expected.getValue(), found.offset(), "first offset not before start + %d",
                    expected.getKey() - start);
            Check.that(found.timestamp() >= expected.getKey(), "timestamp %d is too early", found.timestamp());
        }
        Check.equal(-1L, offset(partition, OffsetSpec.forTimestamp(start + 100_001)).offset(), "after the latest");

        Check.equal(0L, offset(empty, OffsetSpec.latest()).offset(), "latest of an empty partition");
        Check.equal(-1L, offset(empty, OffsetSpec.maxTimestamp()).offset(), "latest timestamp of an empty partition");
        Check.equal(-1L, offset(empty, OffsetSpec.forTimestamp(start)).offset(), "by time in an empty partition");
        return null;
    }

    private Object fromConsumer(JsonNode args) throws Exception {
        TopicPartition partition = new TopicPartition("java-offsets-consumer", 0);
        long start = produceTimed(partition);
        try (KafkaConsumer<String, String> consumer = cluster.consumer()) {
            Check.equal(Map.of(partition, 0L), consumer.beginningOffsets(List.of(partition)), "beginning");
            Check.equal(Map.of(partition, 10L), consumer.endOffsets(List.of(partition)), "end");
            var found = consumer.offsetsForTimes(Map.of(partition, start + 1500)).get(partition);
            Check.equal(2L, found.offset(), "offset by time");
            Check.equal(start + 2000, found.timestamp(), "timestamp by time");
            Map<TopicPartition, Object> none = new HashMap<>();
            none.put(partition, null);
            Check.equal(none, consumer.offsetsForTimes(Map.of(partition, start + 200_000)), "after the latest");
            Check.equal(1, consumer.partitionsFor(partition.topic()).size(), "partitions");
            Check.that(consumer.listTopics().containsKey(partition.topic()), "the topic is not listed");
        }
        return null;
    }

    private KafkaFuture<Void> deleting(TopicPartition partition, long before) {
        return admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(before))).all();
    }

    private Object deleteRecords(JsonNode args) throws Exception {
        TopicPartition partition = new TopicPartition("java-delete-records", 0);
        produceTimed(partition);
        var answer = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(7)));
        Check.equal(7L, Check.get(answer.lowWatermarks().get(partition)).lowWatermark(), "low watermark");
        Check.equal(7L, offset(partition, OffsetSpec.earliest()).offset(), "earliest");
        try (KafkaConsumer<String, String> consumer = cluster.consumer()) {
            Check.equal(List.of("v7", "v8", "v9"), Cluster.readAll(consumer, List.of(partition)).stream()
                    .map(ConsumerRecord::value).toList(), "what is left");
        }
        Check.get(deleting(partition, 3));
        Check.equal(7L, offset(partition, OffsetSpec.earliest()).offset(), "earliest never goes back");
        Check.fails(org.apache.kafka.common.errors.OffsetOutOfRangeException.class, deleting(partition, 11));
        Check.get(deleting(partition, -1));
        Check.equal(10L, offset(partition, OffsetSpec.earliest()).offset(), "earliest after everything went");
        return null;
    }

    /** The log starts in the middle of its only batch: what is left of it is still found by time. */
    private Object startInsideBatch(JsonNode args) throws Exception {
        TopicPartition partition = new TopicPartition("java-start-inside", 0);
        cluster.createTopic(partition.topic(), 1);
        long start = System.currentTimeMillis() - 600_000;
        try (KafkaProducer<String, String> producer = cluster.producer("linger.ms", 1000)) {
            for (int index = 0; index < 10; index++) {
                producer.send(new ProducerRecord<>(partition.topic(), 0, start + index * 1000, "k", "v" + index));
            }
        }
        Check.get(deleting(partition, 7));
        Check.equal(7L, offset(partition, OffsetSpec.earliest()).offset(), "earliest");
        Check.equal(9L, offset(partition, OffsetSpec.maxTimestamp()).offset(), "offset of the latest timestamp");
        Check.equal(7L, offset(partition, OffsetSpec.forTimestamp(start)).offset(), "first that is left");
        Check.equal(8L, offset(partition, OffsetSpec.forTimestamp(start + 7001)).offset(), "by time");
        return null;
    }

    /** Where a consumer begins whose position is no longer in the log. */
    private Object resetPolicies(JsonNode args) throws Exception {
        TopicPartition partition = new TopicPartition("java-reset", 0);
        produceTimed(partition);
        Check.get(deleting(partition, 4));
        try (KafkaProducer<String, String> producer = cluster.producer()) {
            Check.equal(10L, Check.get(producer.send(new ProducerRecord<>("java-reset", "now"))).offset(), "offset");
        }
        Map<String, Long> starts = Map.of(
                "earliest", 4L, "latest", 11L, "by_duration:PT1H", 4L, "by_duration:PT5M", 10L);
        for (var start : starts.entrySet()) {
            try (KafkaConsumer<String, String> consumer = cluster.consumer("auto.offset.reset", start.getKey())) {
                Check.equal(start.getValue(), firstFrom(consumer, partition), "start after %s", start.getKey());
            }
        }
        try (KafkaConsumer<String, String> consumer = cluster.consumer("auto.offset.reset", "none")) {
            long found = firstFrom(consumer, partition);
            throw new AssertionError("a position out of range was reset to " + found);
        } catch (OffsetOutOfRangeException refused) {
            Check.equal(Map.of(partition, 2L), refused.offsetOutOfRangePartitions(), "position out of range");
        }
        return null;
    }

    /** Seeks to offset 2 and polls until the consumer has found another place; the offset it begins at. */
    private static long firstFrom(KafkaConsumer<String, String> consumer, TopicPartition partition) {
        consumer.assign(List.of(partition));
        consumer.seek(partition, 2);
        long deadline = System.nanoTime() + Check.PATIENCE.toNanos();
        while (System.nanoTime() < deadline) {
            var records = consumer.poll(Duration.ofMillis(100)).records(partition);
            if (!records.isEmpty()) {
                return records.get(0).offset();
            }
            if (consumer.position(partition) != 2) {
                return consumer.position(partition);
            }
        }
        throw new AssertionError("the position stays out of range");
    }
}
