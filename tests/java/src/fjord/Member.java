package fjord;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;

/**
 * One member of a classic consumer group: polls in a thread of its own, notes every delivery in the group's
 * ledger and commits after every poll, and before it gives a partition away.
 */
final class Member implements ConsumerRebalanceListener {
    /** What a group was delivered, shared by its members: values by partition, in the order of delivery. */
    static final class Ledger {
        private final Map<TopicPartition, List<String>> delivered = new HashMap<>();

        synchronized void note(TopicPartition partition, List<ConsumerRecord<String, String>> records) {
            List<String> values = delivered.computeIfAbsent(partition, p -> new ArrayList<>());
            records.forEach(record -> values.add(record.value()));
        }

        synchronized Map<TopicPartition, List<String>> copy() {
            Map<TopicPartition, List<String>> copy = new HashMap<>();
            delivered.forEach((partition, values) -> copy.put(partition, List.copyOf(values)));
            return copy;
        }
    }

    /** How often partitions were assigned to this member, the first time included. */
    final AtomicInteger assignments = new AtomicInteger();

    private final KafkaConsumer<String, String> consumer;
    private final Ledger ledger;
    private final Set<TopicPartition> assigned = ConcurrentHashMap.newKeySet();
    private final Thread thread;
    private volatile boolean closing;
    /** Whether something was polled that no commit covers; only the member's thread uses it. */
    private boolean uncommitted;
    private volatile ConsumerGroupMetadata metadata;
    private volatile Throwable failure;

    Member(KafkaConsumer<String, String> consumer, String topic, Ledger ledger) {
        this.consumer = consumer;
        this.ledger = ledger;
        this.thread = new Thread(() -> run(topic), "member");
        this.thread.setDaemon(true);
        this.thread.start();
    }

    private void run(String topic) {
        try (consumer) {
            consumer.subscribe(List.of(topic), this);
            while (!closing) {
                var records = consumer.poll(Duration.ofMillis(100));
                metadata = consumer.groupMetadata();
                records.partitions().forEach(partition -> ledger.note(partition, records.records(partition)));
                uncommitted |= !records.isEmpty();
                commit();
            }
        } catch (Throwable thrown) {
            failure = thrown;
        }
    }

    /** Commits all positions; while the client moves into a new generation it can not, and the next turn does. */
    private void commit() {
        if (uncommitted) {
            try {
                consumer.commitSync();
                uncommitted = false;
            } catch (RebalanceInProgressException rebalancing) {
                uncommitted = true;
            }
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        assignments.incrementAndGet();
        assigned.addAll(partitions);
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        commit();
        assigned.removeAll(partitions);
    }

    /** Partitions that this member holds; throws what ended the member, if something did. */
    Set<TopicPartition> assigned() {
        Check.that(failure == null, "a member failed: %s", failure);
        return Set.copyOf(assigned);
    }

    /** The generation of the group that the member last polled in. */
    int generation() {
        Check.that(failure == null, "a member failed: %s", failure);
        return metadata == null ? -1 : metadata.generationId();
    }

    /** The id that the coordinator gave this member; a group that was forgotten would give it another one. */
    String id() {
        Check.that(failure == null, "a member failed: %s", failure);
        return metadata == null ? "" : metadata.memberId();
    }

    /** What ended the member, or null. */
    Throwable failure() {
        return failure;
    }

    /** Leaves the group as a client does that is closed; a static member stays in it. */
    void close() throws InterruptedException {
        closing = true;
        thread.join(Check.PATIENCE.toMillis());
        Check.that(!thread.isAlive(), "a member did not close");
    }
}
