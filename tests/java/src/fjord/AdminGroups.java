package fjord;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.UnknownMemberIdException;

/** Consumer groups and their offsets through the admin client, empty and while a member is in them. */
final class AdminGroups {
    private static final String TOPIC = "java-admin-groups";

    private final Cluster cluster;
    private final Admin admin;
    private final TopicPartition zero = new TopicPartition(TOPIC, 0);
    private final TopicPartition one = new TopicPartition(TOPIC, 1);

    AdminGroups(Cluster cluster) {
        this.cluster = cluster;
        this.admin = cluster.admin;
    }

    void register(Map<String, Driver.Case> cases) {
        cases.put("groups.empty", this::emptyGroup);
        cases.put("groups.after_restart", this::afterRestart);
        cases.put("groups.live", this::liveGroup);
        cases.put("groups.delete", this::delete);
    }

    private Map<TopicPartition, OffsetAndMetadata> offsets(String group) throws Exception {
        return Check.get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
    }

    private ConsumerGroupDescription describe(String group) throws Exception {
        return Check.get(admin.describeConsumerGroups(List.of(group)).all()).get(group);
    }

    private List<String> listed(ListGroupsOptions options) throws Exception {
        return Check.get(admin.listGroups(options).all()).stream().map(GroupListing::groupId)
                .filter(group -> group.startsWith("java-admin-")).sorted().toList();
    }

    /** A group that has offsets and never had a member. */
    private Object emptyGroup(JsonNode args) throws Exception {
        cluster.createTopic(TOPIC, 2);
        try (KafkaProducer<String, String> producer = cluster.producer()) {
            for (int index = 0; index < 20; index++) {
                producer.send(new ProducerRecord<>(TOPIC, index % 2, null, "v" + index));
            }
        }
        Map<TopicPartition, OffsetAndMetadata> set = new HashMap<>(Map.of(
                zero, new OffsetAndMetadata(4, Optional.of(0), "why: größe"), one, new OffsetAndMetadata(7)));
        Check.get(admin.alterConsumerGroupOffsets("java-admin-empty", set).all());
        Check.get(admin.alterConsumerGroupOffsets("java-admin-other", Map.of(one, new OffsetAndMetadata(1))).all());
        Check.equal(set, offsets("java-admin-empty"), "offsets as they were set");

        Check.equal(List.of("java-admin-empty", "java-admin-other"), listed(new ListGroupsOptions()), "groups");
        Check.equal(List.of("java-admin-empty", "java-admin-other"),
                listed(new ListGroupsOptions().inGroupStates(Set.of(GroupState.EMPTY))), "empty groups");
        Check.equal(List.of(), listed(new ListGroupsOptions().inGroupStates(Set.of(GroupState.STABLE))), "stable");
        Check.equal(GroupState.EMPTY, describe("java-admin-empty").groupState(), "state");
        Check.fails(GroupIdNotFoundException.class, admin.describeConsumerGroups(List.of("java-admin-no")).all());

        var both = admin.listConsumerGroupOffsets(Map.of(
                "java-admin-empty", new ListConsumerGroupOffsetsSpec().topicPartitions(List.of(zero)),
                "java-admin-other", new ListConsumerGroupOffsetsSpec()));
        Check.equal(Map.of(zero, set.get(zero)),
                Check.get(both.partitionsToOffsetAndMetadata("java-admin-empty")), "chosen offsets");
        Check.equal(Map.of(one, new OffsetAndMetadata(1)),
                Check.get(both.partitionsToOffsetAndMetadata("java-admin-other")), "offsets of the other group");

        Check.get(admin.deleteConsumerGroupOffsets("java-admin-empty", Set.of(one)).all());
        set.remove(one);
        Check.equal(set, offsets("java-admin-empty"), "offsets after one was deleted");
        return null;
    }

    private Object afterRestart(JsonNode args) throws Exception {
        Check.equal(Map.of(zero, new OffsetAndMetadata(4, Optional.of(0), "why: größe")),
                offsets("java-admin-empty"), "offsets after a restart");
        Check.equal(Map.of(one, new OffsetAndMetadata(1)), offsets("java-admin-other"), "of the other group");
        return null;
    }

    /** A group with a member: where it begins, what is shown of it, and what is refused meanwhile. */
    private Object liveGroup(JsonNode args) throws Exception {
        String group = "java-admin-empty";
        try (KafkaConsumer<String, String> consumer = cluster.consumer("group.id", group, "client.id", "live",
                "group.protocol", "classic", "auto.offset.reset", "earliest", "enable.auto.commit", false)) {
            consumer.subscribe(List.of(TOPIC));
            Check.eventually(true, () -> {
                consumer.poll(Duration.ofMillis(100));
                return consumer.assignment().size() == 2 && consumer.position(zero) + consumer.position(one) == 20;
            }, "both partitions were read to their ends");
            Check.equal(4L, consumer.committed(Set.of(zero)).get(zero).offset(), "committed before");
            var commit = Map.of(zero, new OffsetAndMetadata(9, "kept"), one, new OffsetAndMetadata(10));
            consumer.commitSync(commit);
            Check.equal("kept", consumer.committed(Set.of(zero)).get(zero).metadata(), "metadata of the commit");

            ConsumerGroupDescription description = describe(group);
            Check.equal(GroupState.STABLE, description.groupState(), "state");
            Check.equal(GroupType.CLASSIC, description.type(), "type");
            Check.equal("range", description.partitionAssignor(), "assignor");
            var member = description.members().iterator().next();
            Check.equal("live", member.clientId(), "client id");
            Check.that(member.host().contains("127.0.0.1"), "host of the member: %s", member.host());
            Check.equal(Set.of(zero, one), member.assignment().topicPartitions(), "assignment");
            var classic = Check.get(admin.describeClassicGroups(List.of(group)).all()).get(group);
            Check.equal("consumer", classic.protocol(), "type of protocol");
            Check.equal(List.of(group),
                    listed(new ListGroupsOptions().inGroupStates(Set.of(GroupState.STABLE))), "stable groups");

            Check.fails(GroupNotEmptyException.class, admin.deleteConsumerGroups(List.of(group)).all());
            Check.fails(GroupSubscribedToTopicException.class,
                    admin.deleteConsumerGroupOffsets(group, Set.of(zero)).all());
            Check.fails(UnknownMemberIdException.class,
                    admin.alterConsumerGroupOffsets(group, Map.of(zero, new OffsetAndMetadata(0))).all());
        }
        Check.eventually(GroupState.EMPTY, () -> describe(group).groupState(), "state after the member left");
        Check.equal(9L, offsets(group).get(zero).offset(), "offset after the member left");
        return null;
    }

    private Object delete(JsonNode args) throws Exception {
        Check.get(admin.deleteConsumerGroups(List.of("java-admin-empty")).all());
        Check.fails(GroupIdNotFoundException.class, admin.deleteConsumerGroups(List.of("java-admin-empty")).all());
        Check.equal(Map.of(), offsets("java-admin-empty"), "offsets of a group that is gone");
        Check.equal(List.of("java-admin-other"), listed(new ListGroupsOptions()), "groups that are left");
        return null;
    }
}
