package fjord;

import static org.apache.kafka.streams.CloseOptions.GroupMembershipOperation.LEAVE_GROUP;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * A Kafka Streams word count, at least once: lines, a repartition topic, a store with its changelog, counts.
 *
 * <p>The last count of each word in the compacted output topic is what a user reads; it is compared with a
 * count made here.
 */
final class WordCount {
    private static final int PARTITIONS = 2;
    private static final String[] WORDS = "log fsync leader epoch größe batch offset group".split(" ");

    private final Cluster cluster;
    private final Map<String, Long> expected = new TreeMap<>();
    private final Random random = new Random(3);
    private String name;
    private Path state;
    private KafkaStreams streams;

    WordCount(Cluster cluster) {
        this.cluster = cluster;
    }

    void register(Map<String, Driver.Case> cases) {
        cases.put("word_count.start", this::start);
        cases.put("word_count.feed", this::feed);
        cases.put("word_count.exact", this::exact);
        cases.put("word_count.at_least", this::atLeast);
        cases.put("word_count.internal_topics", this::internalTopics);
        cases.put("word_count.restart_without_state", this::restartWithoutState);
        cases.put("word_count.stop", this::stop);
    }

    private Object start(JsonNode args) throws Exception {
        name = args.get("name").asText();
        expected.clear();
        cluster.createTopic(name + "-lines", PARTITIONS);
        cluster.createTopic(name + "-counts", PARTITIONS, "cleanup.policy", "compact");
        startStreams();
        return null;
    }

    private void startStreams() throws Exception {
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(name + "-lines")
                .flatMapValues(line -> Arrays.asList(line.split(" ")))
                .groupBy((key, word) -> word, Grouped.as("by-word"))
                .count(Materialized.as("counts"))
                .toStream()
                .to(name + "-counts", Produced.with(Serdes.String(), Serdes.Long()));
        state = Files.createTempDirectory("word-count");
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, name);
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, cluster.bootstrap);
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.AT_LEAST_ONCE);
        config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 500);
        config.put(StreamsConfig.REPARTITION_PURGE_INTERVAL_MS_CONFIG, 500);
        config.put(StreamsConfig.STATE_DIR_CONFIG, state.toString());
        config.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        streams = new KafkaStreams(builder.build(), config);
        streams.start();
        Check.eventually(KafkaStreams.State.RUNNING, streams::state, "state of the application");
    }

    /** Writes this many lines; keys are left to the producer, as lines have none. */
    private Object feed(JsonNode args) throws Exception {
        cluster.awaitLeaders(name + "-lines", PARTITIONS);
        List<Future<RecordMetadata>> answers = new ArrayList<>();
        try (KafkaProducer<String, String> producer = cluster.producer("linger.ms", 20)) {
            for (int line = 0; line < args.get("lines").asInt(); line++) {
                String[] picked = random.ints(5, 0, WORDS.length).mapToObj(at -> WORDS[at]).toArray(String[]::new);
                Arrays.stream(picked).forEach(word -> expected.merge(word, 1L, Long::sum));
                String text = String.join(" ", picked);
                answers.add(producer.send(new ProducerRecord<>(name + "-lines", line % PARTITIONS, null, text)));
            }
        }
        for (Future<RecordMetadata> answer : answers) {
            Check.get(answer);
        }
        return answers.size();
    }

    private Map<String, Long> counts() {
        Map<String, Object> config = Map.of("bootstrap.servers", cluster.bootstrap);
        Map<String, Long> counts = new TreeMap<>();
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new LongDeserializer())) {
            Cluster.readAll(consumer, Cluster.partitions(name + "-counts", PARTITIONS))
                    .forEach(record -> counts.put(record.key(), record.value()));
        }
        return counts;
    }

    private Object exact(JsonNode args) throws Exception {
        Check.eventually(expected, this::counts, "counts");
        return expected;
    }

    /** After an interruption a word may have been counted again, and none may be missing. */
    private Object atLeast(JsonNode args) throws Exception {
        Check.eventually(true, () -> {
            Map<String, Long> counts = counts();
            return expected.entrySet().stream()
                    .allMatch(word -> counts.getOrDefault(word.getKey(), 0L) >= word.getValue());
        }, "every word was counted at least as often as it was written");
        Map<String, Long> counts = counts();
        Check.equal(expected.keySet(), counts.keySet(), "words");
        return Map.of("expected", expected, "counted", counts);
    }

    /** The topics that Streams made for itself, their configs, and the purge of what was processed. */
    private Object internalTopics(JsonNode args) throws Exception {
        String repartition = name + "-by-word-repartition";
        String changelog = name + "-counts-changelog";
        for (var policy : Map.of(repartition, "delete", changelog, "compact").entrySet()) {
            ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, policy.getKey());
            var config = Check.get(cluster.admin.describeConfigs(List.of(topic)).all()).get(topic);
            Check.equal(policy.getValue(), config.get("cleanup.policy").value(), "policy of %s", policy.getKey());
        }
        for (TopicPartition partition : Cluster.partitions(repartition, PARTITIONS)) {
            Check.eventually(true, () -> {
                long start = offset(partition, OffsetSpec.earliest());
                return start > 0 && start == offset(partition, OffsetSpec.latest());
            }, "%s was purged", partition);
        }
        return null;
    }

    private long offset(TopicPartition partition, OffsetSpec spec) throws Exception {
        return Check.get(cluster.admin.listOffsets(Map.of(partition, spec)).all()).get(partition).offset();
    }

    /** Stops the application, forgets its local store and starts it again: the changelog brings the store back. */
    private Object restartWithoutState(JsonNode args) throws Exception {
        stop(args);
        startStreams();
        return null;
    }

    private Object stop(JsonNode args) throws Exception {
        // Else the members would be missed only after their session's end, and the next instance wait for that.
        var leaving = CloseOptions.timeout(Check.PATIENCE).withGroupMembershipOperation(LEAVE_GROUP);
        Check.that(streams.close(leaving), "the application did not stop");
        try (Stream<Path> files = Files.walk(state)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
        return null;
    }
}
