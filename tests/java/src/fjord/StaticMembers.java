package fjord;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;

/** Static membership (KIP-345): a member that restarts under its instance id takes its place back, unnoticed. */
final class StaticMembers {
    private static final String TOPIC = "java-static";
    private static final String GROUP = "java-static-group";
    private static final int PARTITIONS = 4;

    private final Cluster cluster;
    private final Member.Ledger ledger = new Member.Ledger();
    private Member first;
    private Member second;
    private int produced;
    private List<String> idsBefore;
    private int generationBefore;

    StaticMembers(Cluster cluster) {
        this.cluster = cluster;
    }

    void register(Map<String, Driver.Case> cases) {
        cases.put("static.start", this::start);
        cases.put("static.restart_member", this::restartMember);
        cases.put("static.before_broker_restart", this::beforeBrokerRestart);
        cases.put("static.after_broker_restart", this::afterBrokerRestart);
        cases.put("static.fence", this::fence);
        cases.put("static.remove", this::remove);
    }

    private Member join(String instance) {
        return new Member(cluster.consumer(
                "group.id", GROUP,
                "group.instance.id", instance,
                "group.protocol", "classic",
                "auto.offset.reset", "earliest",
                "enable.auto.commit", false,
                "session.timeout.ms", 60_000,
                "heartbeat.interval.ms", 500,
                "client.id", instance), TOPIC, ledger);
    }

    private void produceAndAwait() throws Exception {
        try (KafkaProducer<String, String> producer = cluster.producer()) {
            for (int index = 0; index < 40; index++, produced++) {
                producer.send(new ProducerRecord<>(TOPIC, index % PARTITIONS, null, "value-" + produced));
            }
        }
        Check.eventually(produced, () -> ledger.copy().values().stream().mapToInt(List::size).sum(), "deliveries");
    }

    private Object start(JsonNode args) throws Exception {
        cluster.createTopic(TOPIC, PARTITIONS);
        first = join("one");
        second = join("two");
        Check.eventually(List.of(2, 2), () -> List.of(first.assigned().size(), second.assigned().size()), "shares");
        Check.eventually(true, () -> first.generation() == second.generation(), "one generation");
        produceAndAwait();
        var members = Check.get(cluster.admin.describeConsumerGroups(List.of(GROUP)).all()).get(GROUP).members();
        Check.equal(Set.of("one", "two"),
                members.stream().map(member -> member.groupInstanceId().get()).collect(Collectors.toSet()),
                "instance ids");
        return null;
    }

    private Object restartMember(JsonNode args) throws Exception {
        int generation = first.generation();
        int assignmentsOfFirst = first.assignments.get();
        Set<TopicPartition> share = second.assigned();
        second.close();
        second = join("two");
        Check.eventually(share, second::assigned, "the share of the member that restarted");
        produceAndAwait();
        Check.equal(generation, second.generation(), "generation of the member that restarted");
        Check.equal(generation, first.generation(), "generation of the other member");
        Check.equal(assignmentsOfFirst, first.assignments.get(), "assignments that the other member saw");
        return generation;
    }

    private List<String> memberIds() {
        return List.of(first.id(), second.id());
    }

    private Object beforeBrokerRestart(JsonNode args) {
        idsBefore = memberIds();
        generationBefore = first.generation();
        return idsBefore;
    }

    /**
     * The group is in the coordinator's log, so its members keep their ids over a restart of the broker.
     *
     * <p>The generation may rise: a client that lost the broker forgets its metadata, and a leader whose view of
     * the topic changed asks for a rebalance.
     */
    private Object afterBrokerRestart(JsonNode args) throws Exception {
        produceAndAwait();
        Check.eventually(List.of(2, 2), () -> List.of(first.assigned().size(), second.assigned().size()), "shares");
        Check.equal(idsBefore, memberIds(), "ids of the members");
        Check.that(first.generation() >= generationBefore, "the group began again: %d", first.generation());
        return null;
    }

    /** The second client under one instance id throws the first one out. */
    private Object fence(JsonNode args) throws Exception {
        Member fenced = second;
        second = join("two");
        Check.eventually(true, () -> fenced.failure() instanceof FencedInstanceIdException, "fenced");
        Check.eventually(2, () -> second.assigned().size(), "share of the new client");
        produceAndAwait();
        return null;
    }

    private Object remove(JsonNode args) throws Exception {
        first.close();
        second.close();
        Check.equal(2, membersInGroup(), "static members stay after they close");
        Check.get(cluster.admin.removeMembersFromConsumerGroup(GROUP,
                new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove("one")))).all());
        Check.equal(1, membersInGroup(), "members after one was removed");
        Check.get(cluster.admin.removeMembersFromConsumerGroup(GROUP,
                new RemoveMembersFromConsumerGroupOptions()).all());
        Check.equal(0, membersInGroup(), "members after all were removed");
        return null;
    }

    private int membersInGroup() throws Exception {
        return Check.get(cluster.admin.describeConsumerGroups(List.of(GROUP)).all()).get(GROUP).members().size();
    }
}
