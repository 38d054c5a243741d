package fjord;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConfigEntry.ConfigSource;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Configs of topics and brokers: values, sources, the four operations, and what is refused. */
final class AdminConfigs {
    private final Cluster cluster;
    private final Admin admin;

    AdminConfigs(Cluster cluster) {
        this.cluster = cluster;
        this.admin = cluster.admin;
    }

    void register(Map<String, Driver.Case> cases) {
        cases.put("configs.topic", this::topic);
        cases.put("configs.refused", this::refused);
        cases.put("configs.broker", this::broker);
        cases.put("configs.described", this::described);
    }

    private static ConfigResource topicResource(String name) {
        return new ConfigResource(ConfigResource.Type.TOPIC, name);
    }

    private ConfigEntry entry(ConfigResource resource, String name) throws Exception {
        return Check.get(admin.describeConfigs(List.of(resource)).all()).get(resource).get(name);
    }

    private void awaitEntry(ConfigResource resource, String name, String value, ConfigSource source)
            throws Exception {
        Check.eventually(List.of(value, source), () -> {
            ConfigEntry entry = entry(resource, name);
            return List.of(entry.value(), entry.source());
        }, "%s of %s", name, resource);
    }

    private KafkaFuture<Void> altering(ConfigResource resource, AlterConfigsOptions options, AlterConfigOp... ops) {
        return admin.incrementalAlterConfigs(Map.of(resource, Arrays.asList(ops)), options).all();
    }

    private KafkaFuture<Void> altering(ConfigResource resource, AlterConfigOp... ops) {
        return altering(resource, new AlterConfigsOptions(), ops);
    }

    private static AlterConfigOp op(OpType type, String name, String value) {
        return new AlterConfigOp(new ConfigEntry(name, value), type);
    }

    private Object topic(JsonNode args) throws Exception {
        cluster.createTopic("java-configs", 1, "retention.bytes", "1000000");
        ConfigResource topic = topicResource("java-configs");
        awaitEntry(topic, "retention.bytes", "1000000", ConfigSource.DYNAMIC_TOPIC_CONFIG);
        awaitEntry(topic, "cleanup.policy", "delete", ConfigSource.DEFAULT_CONFIG);
        awaitEntry(topic, "retention.ms", "604800000", ConfigSource.DEFAULT_CONFIG);

        Check.get(altering(topic, new AlterConfigsOptions().validateOnly(true),
                op(OpType.SET, "retention.ms", "5000000")));
        awaitEntry(topic, "retention.ms", "604800000", ConfigSource.DEFAULT_CONFIG);

        Check.get(altering(topic, op(OpType.SET, "retention.ms", "5000000"), op(OpType.DELETE, "retention.bytes", ""),
                op(OpType.APPEND, "cleanup.policy", "compact")));
        awaitEntry(topic, "retention.ms", "5000000", ConfigSource.DYNAMIC_TOPIC_CONFIG);
        awaitEntry(topic, "retention.bytes", "-1", ConfigSource.DEFAULT_CONFIG);
        awaitEntry(topic, "cleanup.policy", "delete,compact", ConfigSource.DYNAMIC_TOPIC_CONFIG);

        Check.get(altering(topic, op(OpType.SUBTRACT, "cleanup.policy", "delete")));
        awaitEntry(topic, "cleanup.policy", "compact", ConfigSource.DYNAMIC_TOPIC_CONFIG);
        awaitEntry(topic, "retention.ms", "5000000", ConfigSource.DYNAMIC_TOPIC_CONFIG);
        return null;
    }

    private Object refused(JsonNode args) throws Exception {
        cluster.createTopic("java-configs-refused", 1);
        ConfigResource topic = topicResource("java-configs-refused");
        var bad = Check.fails(InvalidConfigurationException.class,
                altering(topic, op(OpType.SET, "no.such.config", "1")));
        Check.that(bad.getMessage().contains("no.such.config"), "the error names no config: %s", bad.getMessage());
        Check.fails(InvalidConfigurationException.class, altering(topic, op(OpType.SET, "retention.ms", "soon")));
        Check.fails(InvalidConfigurationException.class, altering(topic, op(OpType.SET, "cleanup.policy", "burn")));
        Check.fails(InvalidConfigurationException.class,
                altering(topic, op(OpType.SET, "min.cleanable.dirty.ratio", "1.5")));
        Check.fails(UnknownTopicOrPartitionException.class,
                altering(topicResource("java-nowhere"), op(OpType.SET, "retention.ms", "1000")));
        Check.fails(UnknownTopicOrPartitionException.class,
                admin.describeConfigs(List.of(topicResource("java-nowhere"))).all());
        awaitEntry(topic, "retention.ms", "604800000", ConfigSource.DEFAULT_CONFIG);
        return null;
    }

    /** A default for all brokers, and a value for one broker over it; topics follow both. */
    private Object broker(JsonNode args) throws Exception {
        cluster.createTopic("java-configs-broker", 1);
        ConfigResource topic = topicResource("java-configs-broker");
        String node = Check.get(admin.describeCluster().nodes()).iterator().next().idString();
        ConfigResource one = new ConfigResource(ConfigResource.Type.BROKER, node);
        ConfigResource all = new ConfigResource(ConfigResource.Type.BROKER, "");

        Check.get(altering(all, op(OpType.SET, "message.max.bytes", "2000000")));
        awaitEntry(one, "message.max.bytes", "2000000", ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG);
        awaitEntry(topic, "max.message.bytes", "2000000", ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG);

        Check.get(altering(one, op(OpType.SET, "message.max.bytes", "3000000")));
        awaitEntry(one, "message.max.bytes", "3000000", ConfigSource.DYNAMIC_BROKER_CONFIG);
        awaitEntry(topic, "max.message.bytes", "3000000", ConfigSource.DYNAMIC_BROKER_CONFIG);

        Check.get(altering(one, op(OpType.DELETE, "message.max.bytes", "")));
        Check.get(altering(all, op(OpType.DELETE, "message.max.bytes", "")));
        awaitEntry(topic, "max.message.bytes", "1048588", ConfigSource.DEFAULT_CONFIG);
        return null;
    }

    /** What user interfaces show: types, synonyms, documentation, and which values can be written. */
    private Object described(JsonNode args) throws Exception {
        cluster.createTopic("java-configs-described", 1);
        ConfigResource topic = topicResource("java-configs-described");
        var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        var config = Check.get(admin.describeConfigs(List.of(topic), options).all()).get(topic);
        ConfigEntry retention = config.get("retention.ms");
        Check.equal(ConfigEntry.ConfigType.LONG, retention.type(), "type of retention.ms");
        Check.that(!retention.documentation().isBlank(), "retention.ms has no documentation");
        Check.that(!retention.isReadOnly() && !retention.isSensitive(), "retention.ms cannot be written");
        var synonyms = config.get("max.message.bytes").synonyms().stream().map(s -> s.name()).toList();
        Check.that(synonyms.contains("message.max.bytes"), "synonyms of max.message.bytes: %s", synonyms);
        Check.equal(ConfigEntry.ConfigType.LIST, config.get("cleanup.policy").type(), "type of cleanup.policy");
        return config.entries().stream().map(ConfigEntry::name).sorted().toList();
    }
}
