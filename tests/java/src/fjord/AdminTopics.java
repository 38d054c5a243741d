package fjord;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.CreatePartitionsOptions;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.ReplicaInfo;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Topics, partitions, log directories and the cluster through the admin client. */
final class AdminTopics {
    private final Cluster cluster;
    private final Admin admin;

    AdminTopics(Cluster cluster) {
        this.cluster = cluster;
        this.admin = cluster.admin;
    }

    void register(Map<String, Driver.Case> cases) {
        cases.put("topics.create", this::create);
        cases.put("topics.describe", this::describe);
        cases.put("topics.partitions", this::partitions);
        cases.put("topics.delete", this::delete);
        cases.put("topics.cluster", this::describeCluster);
        cases.put("topics.log_dirs", this::logDirs);
    }

    private KafkaFuture<Void> creating(NewTopic topic) {
        return admin.createTopics(List.of(topic)).all();
    }

    private boolean exists(String topic) throws Exception {
        return Check.get(admin.listTopics().names()).contains(topic);
    }

    private Object create(JsonNode args) throws Exception {
        NewTopic topic = new NewTopic("java-create", 3, (short) 1).configs(Map.of("retention.ms", "123456789"));
        Check.get(admin.createTopics(List.of(topic), new CreateTopicsOptions().validateOnly(true)).all());
        Check.that(!exists("java-create"), "validation created the topic");

        CreateTopicsResult made = admin.createTopics(List.of(topic));
        Check.equal(3, Check.get(made.numPartitions("java-create")), "partitions in the answer");
        Check.equal(1, Check.get(made.replicationFactor("java-create")), "replication factor in the answer");
        Check.that(!Check.get(made.topicId("java-create")).equals(Uuid.ZERO_UUID), "no topic id in the answer");
        Check.equal("123456789", Check.get(made.config("java-create")).get("retention.ms").value(), "config");
        Check.eventually(true, () -> exists("java-create"), "the topic is listed");

        CreateTopicsResult defaults = admin.createTopics(List.of(
                new NewTopic("java-create-defaults", Optional.empty(), Optional.empty())));
        int partitions = Check.get(defaults.numPartitions("java-create-defaults"));
        Check.equal(1, Check.get(defaults.replicationFactor("java-create-defaults")), "default replication factor");

        Check.fails(TopicExistsException.class, creating(topic));
        Check.fails(InvalidReplicationFactorException.class, creating(new NewTopic("java-bad", 1, (short) 3)));
        Check.fails(InvalidPartitionsException.class, creating(new NewTopic("java-bad", 0, (short) 1)));
        Check.fails(InvalidTopicException.class, creating(new NewTopic("not/a/name", 1, (short) 1)));
        Check.fails(InvalidTopicException.class, creating(new NewTopic("x".repeat(250), 1, (short) 1)));
        for (var config : Map.of("no.such.config", "1", "retention.ms", "soon", "cleanup.policy", "burn").entrySet()) {
            Check.fails(InvalidConfigurationException.class, creating(
                    new NewTopic("java-bad", 1, (short) 1).configs(Map.of(config.getKey(), config.getValue()))));
        }
        Check.that(!exists("java-bad"), "a refused topic was created");

        // One bad topic in a request does not harm the others.
        CreateTopicsResult mixed = admin.createTopics(List.of(
                new NewTopic("java-mixed-good", 1, (short) 1), new NewTopic("java-create", 1, (short) 1)));
        Check.get(mixed.values().get("java-mixed-good"));
        Check.fails(TopicExistsException.class, mixed.values().get("java-create"));
        return partitions;
    }

    private Object describe(JsonNode args) throws Exception {
        int node = Check.get(admin.describeCluster().nodes()).iterator().next().id();
        Check.get(creating(new NewTopic("java-describe", Map.of(0, List.of(node), 1, List.of(node)))));
        cluster.awaitLeaders("java-describe", 2);
        TopicDescription byName = Check.get(admin.describeTopics(List.of("java-describe")).allTopicNames())
                .get("java-describe");
        Check.equal(2, byName.partitions().size(), "partitions");
        Check.that(!byName.isInternal(), "a user's topic is internal");
        byName.partitions().forEach(partition -> {
            Check.equal(node, partition.leader().id(), "leader of partition %d", partition.partition());
            Check.equal(List.of(node), partition.replicas().stream().map(Node::id).toList(), "replicas");
            Check.equal(List.of(node), partition.isr().stream().map(Node::id).toList(), "in-sync replicas");
        });
        Uuid id = byName.topicId();
        TopicDescription byId = Check.get(admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds())
                .get(id);
        Check.equal("java-describe", byId.name(), "name by id");
        Check.equal(byName.partitions().size(), byId.partitions().size(), "partitions by id");

        cluster.createTopic("java-describe-paged", 7);
        var paged = new DescribeTopicsOptions().partitionSizeLimitPerResponse(2);
        Check.equal(7, Check.get(admin.describeTopics(List.of("java-describe-paged"), paged).allTopicNames())
                .get("java-describe-paged").partitions().size(), "partitions described in pages");

        Check.fails(UnknownTopicOrPartitionException.class,
                admin.describeTopics(List.of("java-nowhere")).allTopicNames());
        Check.fails(UnknownTopicIdException.class,
                admin.describeTopics(TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).allTopicIds());
        Check.that(!exists("java-nowhere"), "describing a topic created it");
        return null;
    }

    private Object partitions(JsonNode args) throws Exception {
        String topic = "java-partitions";
        cluster.createTopic(topic, 2);
        Check.get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5)),
                new CreatePartitionsOptions().validateOnly(true)).all());
        Check.equal(2, count(topic), "partitions after a validation");
        Check.get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all());
        Check.eventually(5, () -> count(topic), "partitions");
        for (int bad : new int[] {5, 1}) {
            Check.fails(InvalidPartitionsException.class,
                    admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(bad))).all());
        }
        Check.fails(UnknownTopicOrPartitionException.class,
                admin.createPartitions(Map.of("java-nowhere", NewPartitions.increaseTo(5))).all());
        try (KafkaProducer<String, String> producer = cluster.producer()) {
            for (int index = 0; index < 5; index++) {
                Check.equal(0L, Check.get(producer.send(new ProducerRecord<>(topic, index, null, "v"))).offset(),
                        "offset in partition %d", index);
            }
        }
        return null;
    }

    private int count(String topic) throws Exception {
        return Check.get(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().size();
    }

    private Object delete(JsonNode args) throws Exception {
        cluster.createTopic("java-delete-1", 1);
        cluster.createTopic("java-delete-2", 1);
        Uuid id = Check.get(admin.describeTopics(List.of("java-delete-2")).allTopicNames()).get("java-delete-2")
                .topicId();
        Check.get(admin.deleteTopics(List.of("java-delete-1")).all());
        Check.get(admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all());
        Check.eventually(false, () -> exists("java-delete-1") || exists("java-delete-2"), "topics are listed");
        Check.fails(UnknownTopicOrPartitionException.class, admin.deleteTopics(List.of("java-delete-1")).all());
        Check.fails(UnknownTopicIdException.class, admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all());
        return null;
    }

    private Object describeCluster(JsonNode args) throws Exception {
        DescribeClusterResult described = admin.describeCluster();
        Set<Node> nodes = Set.copyOf(Check.get(described.nodes()));
        Check.equal(1, nodes.size(), "nodes");
        Check.that(nodes.contains(Check.get(described.controller())), "the controller is not a node");
        String address = nodes.iterator().next().host() + ":" + nodes.iterator().next().port();
        Check.equal(cluster.bootstrap, address, "advertised address");
        return Check.get(described.clusterId());
    }

    private Object logDirs(JsonNode args) throws Exception {
        cluster.createTopic("java-log-dirs", 1);
        try (KafkaProducer<String, String> producer = cluster.producer()) {
            Check.get(producer.send(new ProducerRecord<>("java-log-dirs", "x".repeat(50_000))));
        }
        int node = Check.get(admin.describeCluster().nodes()).iterator().next().id();
        TopicPartition partition = new TopicPartition("java-log-dirs", 0);
        var dirs = Check.get(admin.describeLogDirs(List.of(node)).allDescriptions()).get(node);
        Check.equal(1, dirs.size(), "log directories");
        var dir = dirs.values().iterator().next();
        Check.equal(null, dir.error(), "error of the log directory");
        Check.that(dir.totalBytes().getAsLong() >= dir.usableBytes().getAsLong(), "sizes of the volume");
        ReplicaInfo replica = dir.replicaInfos().get(partition);
        Check.that(replica.size() >= 50_000 && replica.size() < 100_000, "size of the replica: %s", replica);
        Check.equal(0L, replica.offsetLag(), "lag of the replica");
        return null;
    }
}
