package fjord;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;

/** Topics are known by id (KIP-516): one that was deleted and made again under its name is another topic. */
final class TopicIds {
    private static final String TOPIC = "java-again";

    private final Cluster cluster;

    TopicIds(Cluster cluster) {
        this.cluster = cluster;
    }

    void register(Map<String, Driver.Case> cases) {
        cases.put("topic_ids.recreate", this::recreate);
    }

    private Uuid id() throws Exception {
        return Check.get(cluster.admin.describeTopics(List.of(TOPIC)).allTopicNames()).get(TOPIC).topicId();
    }

    /** Clients that live through it read and write the new topic, and nothing of the old one is left in it. */
    private Object recreate(JsonNode args) throws Exception {
        cluster.createTopic(TOPIC, 1);
        Uuid first = id();
        try (KafkaProducer<String, String> producer = cluster.producer("metadata.max.age.ms", 1000);
                KafkaConsumer<String, String> consumer = cluster.consumer(
                        "auto.offset.reset", "earliest", "metadata.max.age.ms", 1000)) {
            consumer.assign(List.of(new TopicPartition(TOPIC, 0)));
            List<String> read = new ArrayList<>();
            for (int index = 0; index < 10; index++) {
                Check.get(producer.send(new ProducerRecord<>(TOPIC, "old " + index)));
            }
            Check.eventually(10, () -> poll(consumer, read), "records of the first topic");

            Check.get(cluster.admin.deleteTopics(List.of(TOPIC)).all());
            Check.eventually(false, () -> Check.get(cluster.admin.listTopics().names()).contains(TOPIC), "listed");
            cluster.createTopic(TOPIC, 1);
            Check.that(!first.equals(id()), "the new topic has the old id");
            for (int index = 0; index < 3; index++) {
                Check.get(producer.send(new ProducerRecord<>(TOPIC, "new " + index)));
            }
            read.clear();
            Check.eventually(3, () -> poll(consumer, read), "records of the new topic");
            Check.equal(List.of("new 0", "new 1", "new 2"), read, "records of the new topic");
        }
        return null;
    }

    private static int poll(KafkaConsumer<String, String> consumer, List<String> into) {
        consumer.poll(Duration.ofMillis(100)).forEach(record -> into.add(record.value()));
        return into.size();
    }
}
