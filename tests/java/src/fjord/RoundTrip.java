package fjord;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/**
 * Every byte that a producer sent comes back, with each codec: keys, values, headers and timestamps, with
 * null told apart from empty and repeated header names kept in order.
 */
final class RoundTrip {
    private static final int PARTITIONS = 3;
    private static final int RECORDS = 300;
    private static final int LARGE_VALUE_BYTES = 200_000;

    private final Cluster cluster;
    /** What was acknowledged, by partition and in the order of offsets; it outlives a restart of the broker. */
    private final Map<TopicPartition, List<ProducerRecord<byte[], byte[]>>> acknowledged = new HashMap<>();

    RoundTrip(Cluster cluster) {
        this.cluster = cluster;
    }

    void register(Map<String, Driver.Case> cases) {
        cases.put("round_trip.produce", this::produce);
        cases.put("round_trip.consume", this::consume);
        cases.put("round_trip.consume_small", this::consumeWithSmallFetches);
        cases.put("round_trip.seek", this::seekIntoBatches);
    }

    private static String topic(JsonNode args) {
        return args.get("topic").asText();
    }

    private Object produce(JsonNode args) throws Exception {
        String topic = topic(args);
        cluster.createTopic(topic, PARTITIONS);
        List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
        List<Future<RecordMetadata>> answers = new ArrayList<>();
        long start = System.currentTimeMillis() - RECORDS * 1000L;
        try (KafkaProducer<byte[], byte[]> producer =
                cluster.bytesProducer("compression.type", args.get("codec").asText(), "linger.ms", 20)) {
            for (int index = 0; index < RECORDS; index++) {
                ProducerRecord<byte[], byte[]> record = record(topic, index, start + index * 1000L);
                sent.add(record);
                answers.add(producer.send(record));
            }
        }
        for (int index = 0; index < RECORDS; index++) {
            RecordMetadata answer = Check.get(answers.get(index));
            TopicPartition partition = new TopicPartition(topic, answer.partition());
            List<ProducerRecord<byte[], byte[]>> log = acknowledged.computeIfAbsent(partition, p -> new ArrayList<>());
            Check.equal((long) log.size(), answer.offset(), "offset of record %d in %s", index, partition);
            Check.equal(sent.get(index).timestamp(), answer.timestamp(), "timestamp of record %d", index);
            log.add(sent.get(index));
        }
        return RECORDS;
    }

    /** The record of this number: sizes, nulls, empties, repeats and headers all follow from it. */
    private static ProducerRecord<byte[], byte[]> record(String topic, int index, long timestamp) {
        byte[] key = index % 10 == 0 ? null : index % 10 == 1 ? new byte[0] : utf8("schlüssel-" + index % 7);
        List<Header> headers = new ArrayList<>();
        if (index % 3 > 0) {
            headers.add(new RecordHeader("trace", utf8("first " + index)));
            headers.add(new RecordHeader("nothing", (byte[]) null));
            headers.add(new RecordHeader("trace", utf8("second " + index)));
            headers.add(new RecordHeader("", new byte[0]));
        }
        Integer partition = key == null ? Integer.valueOf(index % PARTITIONS) : null;
        return new ProducerRecord<>(topic, partition, timestamp, key, value(index), headers);
    }

    private static byte[] value(int index) {
        if (index % 11 == 0) {
            return null;
        }
        if (index % 13 == 0) {
            return new byte[0];
        }
        Random random = new Random(index);
        byte[] noise = new byte[index == 77 + 2 ? LARGE_VALUE_BYTES : random.nextInt(2000)];
        random.nextBytes(noise);
        return index % 2 == 0 ? noise : utf8("the same words again and again ".repeat(noise.length / 30));
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private Object consume(JsonNode args) {
        try (KafkaConsumer<byte[], byte[]> consumer = cluster.bytesConsumer()) {
            return check(topic(args), Cluster.readAll(consumer, Cluster.partitions(topic(args), PARTITIONS)));
        }
    }

    /** A batch larger than every limit of the fetch must still come, or the consumer would stick at it. */
    private Object consumeWithSmallFetches(JsonNode args) {
        try (KafkaConsumer<byte[], byte[]> consumer = cluster.bytesConsumer(
                "max.partition.fetch.bytes", 1000, "fetch.max.bytes", 1500, "max.poll.records", 7)) {
            return check(topic(args), Cluster.readAll(consumer, Cluster.partitions(topic(args), PARTITIONS)));
        }
    }

    private int check(String topic, List<ConsumerRecord<byte[], byte[]>> found) {
        Map<TopicPartition, Long> next = new HashMap<>();
        for (ConsumerRecord<byte[], byte[]> record : found) {
            TopicPartition partition = new TopicPartition(topic, record.partition());
            Check.equal(next.getOrDefault(partition, 0L), record.offset(), "next offset of %s", partition);
            next.put(partition, record.offset() + 1);
            same(acknowledged.get(partition).get((int) record.offset()), record);
        }
        Check.equal(RECORDS, found.size(), "records read from %s", topic);
        return found.size();
    }

    private static void same(ProducerRecord<byte[], byte[]> sent, ConsumerRecord<byte[], byte[]> found) {
        String where = found.topic() + "-" + found.partition() + " offset " + found.offset();
        Check.that(Arrays.equals(sent.key(), found.key()), "another key at %s", where);
        Check.that(Arrays.equals(sent.value(), found.value()), "another value at %s", where);
        Check.equal(sent.timestamp(), found.timestamp(), "timestamp at %s", where);
        Check.equal(List.of(sent.headers().toArray()), List.of(found.headers().toArray()), "headers at %s", where);
    }

    /** A fetch from an offset in the middle of a batch delivers exactly from that offset on. */
    private Object seekIntoBatches(JsonNode args) {
        TopicPartition partition = new TopicPartition(topic(args), 1);
        int end = acknowledged.get(partition).size();
        // A seek waits for the fetch that is under way, so that one must not be parked for long.
        try (KafkaConsumer<byte[], byte[]> consumer = cluster.bytesConsumer("fetch.max.wait.ms", 20)) {
            consumer.assign(List.of(partition));
            for (int offset = 0; offset < end; offset += 1 + end / 10) {
                consumer.seek(partition, offset);
                ConsumerRecord<byte[], byte[]> first = null;
                while (first == null) {
                    var records = consumer.poll(Duration.ofSeconds(1)).records(partition);
                    first = records.isEmpty() ? null : records.get(0);
                }
                Check.equal((long) offset, first.offset(), "first offset after a seek");
                same(acknowledged.get(partition).get(offset), first);
            }
        }
        return end;
    }
}
