package fjord;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;

/**
 * Two groups, one with each of the client's protocols of assignment (eager and cooperative), read a topic of six
 * partitions while their members come and go, and while the broker restarts under them and under the producer.
 * Every record must be delivered once to each group, in the order of its partition.
 */
final class GroupOfThree {
    private static final String TOPIC = "java-group";
    private static final int PARTITIONS = 6;
    private static final Map<String, String> ASSIGNORS = Map.of(
            "java-eager", "org.apache.kafka.clients.consumer.RangeAssignor",
            "java-cooperative", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");

    private final Cluster cluster;
    private final Map<String, List<Member>> members = new TreeMap<>();
    private final Map<String, Member.Ledger> ledgers = new TreeMap<>();
    /** What was acknowledged, by partition; the position in the list is the offset. */
    private final Map<TopicPartition, List<String>> log = new HashMap<>();
    private KafkaProducer<String, String> producer;
    private Background background;
    private int nextRecord;
    private List<String> idsBefore;

    GroupOfThree(Cluster cluster) {
        this.cluster = cluster;
        ASSIGNORS.keySet().forEach(group -> {
            members.put(group, new ArrayList<>());
            ledgers.put(group, new Member.Ledger());
        });
    }

    void register(Map<String, Driver.Case> cases) {
        cases.put("group.grow", this::grow);
        cases.put("group.before_restart", this::beforeRestart);
        cases.put("group.after_restart", this::afterRestart);
        cases.put("group.shrink", this::shrink);
        cases.put("group.resume", this::resume);
    }

    /** Sends a record every few milliseconds until it is told to stop. */
    private final class Background extends Thread {
        private static final long INTERVAL_MS = 2;

        private final List<ProducerRecord<String, String>> sent = new ArrayList<>();
        private final List<Future<RecordMetadata>> answers = new ArrayList<>();
        private volatile boolean stopping;

        @Override
        public void run() {
            try {
                while (!stopping) {
                    send();
                    Thread.sleep(INTERVAL_MS);
                }
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
        }

        void send() {
            var record = new ProducerRecord<>(TOPIC, "key-" + nextRecord % 50, "value-" + nextRecord);
            nextRecord++;
            sent.add(record);
            answers.add(producer.send(record));
        }

        /** Every record must have been acknowledged, each at the offset after its predecessor's. */
        int settle() throws Exception {
            stopping = true;
            join();
            producer.flush();
            for (int index = 0; index < sent.size(); index++) {
                RecordMetadata answer = Check.get(answers.get(index));
                TopicPartition partition = new TopicPartition(TOPIC, answer.partition());
                List<String> values = log.computeIfAbsent(partition, p -> new ArrayList<>());
                Check.equal((long) values.size(), answer.offset(), "offset in %s", partition);
                values.add(sent.get(index).value());
            }
            return sent.size();
        }
    }

    private int produce(int records) throws Exception {
        Background batch = new Background();
        for (int index = 0; index < records; index++) {
            batch.send();
        }
        return batch.settle();
    }

    private void join(String group) {
        members.get(group).add(new Member(cluster.consumer(
                "group.id", group,
                "group.protocol", "classic",
                "auto.offset.reset", "earliest",
                "enable.auto.commit", false,
                "heartbeat.interval.ms", 500,
                "partition.assignment.strategy", ASSIGNORS.get(group)), TOPIC, ledgers.get(group)));
    }

    private void awaitShares(List<Integer> shares) throws Exception {
        for (String group : members.keySet()) {
            Check.eventually(shares, () -> members.get(group).stream().map(m -> m.assigned().size()).toList(),
                    "partitions of each member of %s", group);
        }
    }

    private void awaitDeliveries() throws Exception {
        for (String group : ledgers.keySet()) {
            Check.eventually(total(log), () -> total(ledgers.get(group).copy()), "records delivered to %s", group);
            Check.equal(log, ledgers.get(group).copy(), "deliveries to %s", group);
        }
    }

    private static int total(Map<TopicPartition, List<String>> values) {
        return values.values().stream().mapToInt(List::size).sum();
    }

    private void awaitCommits() throws Exception {
        Map<TopicPartition, Long> ends = new HashMap<>();
        log.forEach((partition, values) -> ends.put(partition, (long) values.size()));
        for (String group : members.keySet()) {
            Check.eventually(ends, () -> {
                Map<TopicPartition, OffsetAndMetadata> committed = Check.get(
                        cluster.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
                Map<TopicPartition, Long> offsets = new HashMap<>();
                committed.forEach((partition, offset) -> offsets.put(partition, offset.offset()));
                return offsets;
            }, "offsets committed by %s", group);
        }
    }

    private Object grow(JsonNode args) throws Exception {
        cluster.createTopic(TOPIC, PARTITIONS);
        producer = cluster.producer("linger.ms", 0);
        for (List<Integer> shares : List.of(List.of(6), List.of(3, 3), List.of(2, 2, 2))) {
            Background during = new Background();
            during.start();
            members.keySet().forEach(this::join);
            awaitShares(shares);
            during.settle();
        }
        awaitDeliveries();
        awaitCommits();
        for (String group : members.keySet()) {
            ConsumerGroupDescription description = Check.get(
                    cluster.admin.describeConsumerGroups(List.of(group)).all()).get(group);
            Check.equal(GroupState.STABLE, description.groupState(), "state of %s", group);
            Check.equal(3, description.members().size(), "members of %s", group);
        }
        return total(log);
    }

    private List<String> memberIds() {
        return members.values().stream().flatMap(List::stream).map(Member::id).toList();
    }

    private Object beforeRestart(JsonNode args) throws Exception {
        idsBefore = memberIds();
        background = new Background();
        background.start();
        Check.eventually(true, () -> total(ledgers.get("java-eager").copy()) > total(log), "records flow");
        return null;
    }

    private Object afterRestart(JsonNode args) throws Exception {
        int during = background.settle();
        produce(100);
        awaitShares(List.of(2, 2, 2));
        awaitDeliveries();
        awaitCommits();
        Check.equal(idsBefore, memberIds(), "ids of the members");
        return during;
    }

    private Object shrink(JsonNode args) throws Exception {
        Background during = new Background();
        during.start();
        for (String group : members.keySet()) {
            members.get(group).remove(0).close();
        }
        awaitShares(List.of(3, 3));
        during.settle();
        awaitDeliveries();
        awaitCommits();
        return total(log);
    }

    /** Records that came while nobody was in the group go to its next member, and only those. */
    private Object resume(JsonNode args) throws Exception {
        for (List<Member> all : members.values()) {
            for (Member member : all) {
                member.close();
            }
            all.clear();
        }
        int before = total(log);
        produce(120);
        members.keySet().forEach(this::join);
        awaitShares(List.of(PARTITIONS));
        awaitDeliveries();
        awaitCommits();
        for (List<Member> all : members.values()) {
            all.remove(0).close();
        }
        producer.close();
        return total(log) - before;
    }
}
