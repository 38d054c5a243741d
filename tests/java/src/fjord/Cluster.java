package fjord;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The broker under test as its clients see it: an address, an admin client, and makers of clients. */
final class Cluster {
    final String bootstrap;
    final Admin admin;

    Cluster(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    /**
     * Creates a topic with these configs (name, value, name, value, ...) and waits until its partitions are led.
     *
     * <p>Apache Kafka names a leader before it leads: a producer that is too early may see its first batch refused
     * and its second one accepted, and is out of sequence ever after.
     */
    void createTopic(String name, int partitions, String... configs) throws Exception {
        Map<String, String> settings = new HashMap<>();
        for (int at = 0; at < configs.length; at += 2) {
            settings.put(configs[at], configs[at + 1]);
        }
        NewTopic topic = new NewTopic(name, Optional.of(partitions), Optional.empty()).configs(settings);
        Check.get(admin.createTopics(List.of(topic)).all());
        awaitLeaders(name, partitions);
    }

    /** Waits until a topic that was just created can be written and read. */
    void awaitLeaders(String topic, int partitions) throws Exception {
        Map<TopicPartition, OffsetSpec> latest = new HashMap<>();
        partitions(topic, partitions).forEach(partition -> latest.put(partition, OffsetSpec.latest()));
        Check.eventually(partitions, () -> {
            try {
                return Check.get(admin.listOffsets(latest).all()).size();
            } catch (ExecutionException notYet) {
                Check.that(notYet.getCause() instanceof UnknownTopicOrPartitionException, "%s", notYet);
                return 0;
            }
        }, "partitions of %s with a leader", topic);
    }

    /** A producer of bytes with the client's defaults, apart from these configs. */
    KafkaProducer<byte[], byte[]> bytesProducer(Object... configs) {
        return new KafkaProducer<>(properties(configs), new ByteArraySerializer(), new ByteArraySerializer());
    }

    KafkaProducer<String, String> producer(Object... configs) {
        return new KafkaProducer<>(properties(configs), new StringSerializer(), new StringSerializer());
    }

    KafkaConsumer<byte[], byte[]> bytesConsumer(Object... configs) {
        return new KafkaConsumer<>(properties(configs), new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    KafkaConsumer<String, String> consumer(Object... configs) {
        return new KafkaConsumer<>(properties(configs), new StringDeserializer(), new StringDeserializer());
    }

    private Properties properties(Object... configs) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        for (int at = 0; at < configs.length; at += 2) {
            properties.put(configs[at], configs[at + 1]);
        }
        return properties;
    }

    static List<TopicPartition> partitions(String topic, int count) {
        return IntStream.range(0, count).mapToObj(index -> new TopicPartition(topic, index)).toList();
    }

    /** Reads these partitions from their beginning to the end they have now. */
    static <K, V> List<ConsumerRecord<K, V>> readAll(KafkaConsumer<K, V> consumer, Collection<TopicPartition> from) {
        consumer.assign(from);
        consumer.seekToBeginning(from);
        return readToEnd(consumer);
    }

    /** Reads the assigned partitions from where the consumer stands to the end they have now. */
    static <K, V> List<ConsumerRecord<K, V>> readToEnd(KafkaConsumer<K, V> consumer) {
        Map<TopicPartition, Long> ends = consumer.endOffsets(consumer.assignment());
        List<ConsumerRecord<K, V>> records = new ArrayList<>();
        long deadline = System.nanoTime() + Check.PATIENCE.toNanos();
        while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
            Check.that(System.nanoTime() < deadline, "read %d records, ends are %s", records.size(), ends);
            consumer.poll(Duration.ofMillis(200)).forEach(records::add);
        }
        return records;
    }
}
