//! AlterConfigs (everything replaced) and IncrementalAlterConfigs (KIP-339), for topics and brokers.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{partition_change::change_record, update_features::has_several_brokers};
use crate::{
    config::{
        ConfigDef, ConfigType, InvalidConfig,
        validate::{
            known_broker_config, known_topic_config, validate_broker_config, validate_topic_configs,
        },
    },
    metadata::{
        Decision, Image, Partition, Topic,
        image::Configs,
        records::{BrokerConfigRecord, Record},
    },
};

/// The config that says when replicas are eligible to lead.
pub(super) const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// Largest value of a config, in bytes; Kafka's bound.
pub const MAX_CONFIG_VALUE_BYTES: usize = 32_767;

/// What configs belong to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConfigResource {
    /// The topic of this name.
    Topic(String),
    /// One broker, or with `None` the default of all.
    Broker(Option<i32>),
}

/// One change of one config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigOperation {
    /// The config gets this value.
    Set(String),
    /// The config gets its default again.
    Delete,
    /// These comma-separated values are added to a list.
    Append(String),
    /// These comma-separated values are taken from a list.
    Subtract(String),
}

/// How the configs of a resource change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Alteration {
    /// These are all overrides from now on.
    Replace(Configs),
    /// These are applied one by one.
    Incremental(Vec<(String, ConfigOperation)>),
}

/// A resource and its alteration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceAlteration {
    /// What the configs belong to.
    pub resource: ConfigResource,
    /// How they change.
    pub alteration: Alteration,
}

/// Why the configs of a resource are not altered; the messages are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum AlterConfigsError {
    /// There is no such topic.
    #[error("The topic '{0}' does not exist.")]
    UnknownTopic(String),
    /// Adding to or taking from something that is not a list.
    #[error("Can't {operation} to key {name} because its type is not LIST.")]
    NotAList {
        /// `APPEND` or `SUBTRACT`.
        operation: Cow<'static, str>,
        /// The config.
        name: String,
    },
    /// A value beyond [`MAX_CONFIG_VALUE_BYTES`].
    #[error(
        "The configuration value cannot be added because it exceeds the maximum value size of \
         {MAX_CONFIG_VALUE_BYTES} bytes."
    )]
    ValueTooLarge,
    /// `min.insync.replicas` of one broker: eligible leader replicas need one for all (KIP-966).
    #[error("Broker-level min.insync.replicas cannot be altered while ELR is enabled.")]
    MinInSyncOfBroker,
    /// No default of the cluster for `min.insync.replicas`, so that each broker would have its own.
    #[error("Cluster-level min.insync.replicas cannot be removed while ELR is enabled.")]
    MinInSyncRemoved,
    /// An unknown config, a value that is not valid, or one that cannot be changed at run time.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
}

/// Alters what can be altered. Each resource is altered as a whole or not at all. Outcomes are in the
/// order of the alterations, which name each resource at most once.
pub fn alter_configs(
    image: &Image,
    alterations: &[ResourceAlteration],
) -> Decision<Vec<Result<(), AlterConfigsError>>> {
    // A changed default changes partitions, which the record of a later topic must know.
    let mut working = image.clone();
    let mut records = Vec::new();
    let mut alter = |request: &ResourceAlteration| {
        let altered = alter_resource(&working, request)?;
        working = altered.iter().cloned().fold(working.clone(), Image::apply);
        records.extend(altered);
        Ok(())
    };
    let outcome = alterations.iter().map(&mut alter).collect();
    Decision { records, outcome }
}

/// KIP-966: which replicas are eligible was found by the old `min.insync.replicas`. With a lower one the
/// leader may go on without them, so they are eligible no more. Where nothing is in sync, nothing goes on.
fn without_eligible(partition: &Partition) -> Option<Partition> {
    let known = partition.eligible_leader_replicas.len()
        + partition.last_known_eligible_leader_replicas.len();
    if known == 0 || partition.in_sync_replicas.is_empty() {
        return None;
    }
    Some(Partition {
        eligible_leader_replicas: Vec::new(),
        last_known_eligible_leader_replicas: Vec::new(),
        partition_epoch: partition.partition_epoch + 1,
        ..partition.clone()
    })
}

/// The same for all topics that follow the default of the cluster.
fn clear_eligible_by_default(image: &Image) -> Vec<Record> {
    let follows = |topic: &Topic| !topic.configs.contains_key(MIN_INSYNC_REPLICAS);
    let partitions = image.partitions().filter(|(topic, _, _)| follows(topic));
    let cleared = partitions.filter_map(|(topic, index, partition)| {
        Some(change_record(topic, index, without_eligible(partition)?))
    });
    cleared.collect()
}

fn alter_resource(
    image: &Image,
    request: &ResourceAlteration,
) -> Result<Vec<Record>, AlterConfigsError> {
    match &request.resource {
        ConfigResource::Topic(name) => alter_topic(image, name, &request.alteration),
        ConfigResource::Broker(broker_id) => alter_broker(image, *broker_id, &request.alteration),
    }
}

fn alter_topic(
    image: &Image,
    name: &str,
    alteration: &Alteration,
) -> Result<Vec<Record>, AlterConfigsError> {
    let topic = image
        .topic(name)
        .ok_or_else(|| AlterConfigsError::UnknownTopic(name.to_owned()))?;
    let configs = altered(&topic.configs, alteration, known_topic_config)?;
    validate_topic_configs(&configs)?;
    if configs == topic.configs {
        return Ok(Vec::new());
    }
    let min_before = topic.configs.get(MIN_INSYNC_REPLICAS);
    let min_changed = min_before != configs.get(MIN_INSYNC_REPLICAS);
    let mut changed = Topic {
        configs,
        ..Topic::clone(topic)
    };
    for partition in changed.partitions.iter_mut().filter(|_| min_changed) {
        if let Some(cleared) = without_eligible(partition) {
            *partition = Arc::new(cleared);
        }
    }
    Ok(vec![changed.to_record()])
}

fn alter_broker(
    image: &Image,
    broker_id: Option<i32>,
    alteration: &Alteration,
) -> Result<Vec<Record>, AlterConfigsError> {
    let nothing = Configs::new();
    let current = match broker_id {
        None => image.broker_default_configs(),
        Some(id) => image.broker_configs(id).unwrap_or(&nothing),
    };
    let configs = altered(current, alteration, known_broker_config)?;
    for (name, value) in &configs {
        validate_broker_config(name, value)?;
    }
    if configs == *current {
        return Ok(Vec::new());
    }
    let min_changed = current.get(MIN_INSYNC_REPLICAS) != configs.get(MIN_INSYNC_REPLICAS);
    if min_changed && has_several_brokers(image) {
        if broker_id.is_some() && configs.contains_key(MIN_INSYNC_REPLICAS) {
            return Err(AlterConfigsError::MinInSyncOfBroker);
        }
        if broker_id.is_none() && !configs.contains_key(MIN_INSYNC_REPLICAS) {
            return Err(AlterConfigsError::MinInSyncRemoved);
        }
    }
    // Before the config: a log that ends between them has fewer eligible replicas than it might have, not more.
    let mut records = match broker_id {
        None if min_changed => clear_eligible_by_default(image),
        _ => Vec::new(),
    };
    let value = (!configs.is_empty()).then_some(BrokerConfigRecord { configs });
    records.push(Record::BrokerConfig { broker_id, value });
    Ok(records)
}

/// Finds the definition of a config by its name.
type Definitions = fn(&str) -> Result<&'static ConfigDef, InvalidConfig>;

/// The overrides after the alteration.
fn altered(
    current: &Configs,
    alteration: &Alteration,
    definitions: Definitions,
) -> Result<Configs, AlterConfigsError> {
    let configs = match alteration {
        Alteration::Replace(configs) => configs.clone(),
        Alteration::Incremental(operations) => {
            let mut configs = current.clone();
            for (name, operation) in operations {
                apply_operation(&mut configs, name, operation, definitions)?;
            }
            configs
        }
    };
    if configs
        .values()
        .any(|value| value.len() > MAX_CONFIG_VALUE_BYTES)
    {
        return Err(AlterConfigsError::ValueTooLarge);
    }
    Ok(configs)
}

fn apply_operation(
    configs: &mut Configs,
    name: &str,
    operation: &ConfigOperation,
    definitions: Definitions,
) -> Result<(), AlterConfigsError> {
    let current = configs.get(name).map(String::as_str);
    let value = match operation {
        ConfigOperation::Set(value) => value.clone(),
        // What is not there may be deleted, even if there is no such config.
        ConfigOperation::Delete => {
            configs.remove(name);
            return Ok(());
        }
        ConfigOperation::Append(values) => {
            let mut list = current_list(name, current, "APPEND", definitions)?;
            for value in split_list(values) {
                if !list.contains(&value) {
                    list.push(value);
                }
            }
            list.join(",")
        }
        ConfigOperation::Subtract(values) => {
            let mut list = current_list(name, current, "SUBTRACT", definitions)?;
            list.retain(|existing| !split_list(values).any(|value| value == *existing));
            list.join(",")
        }
    };
    configs.insert(name.to_owned(), value);
    Ok(())
}

/// What a list config holds: its override, or else its default.
fn current_list<'a>(
    name: &str,
    current: Option<&'a str>,
    operation: &'static str,
    definitions: Definitions,
) -> Result<Vec<&'a str>, AlterConfigsError> {
    let definition = definitions(name)?;
    if definition.config_type != ConfigType::List {
        return Err(AlterConfigsError::NotAList {
            operation: Cow::Borrowed(operation),
            name: name.to_owned(),
        });
    }
    Ok(split_list(current.or(definition.default).unwrap_or_default()).collect())
}

fn split_list(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::commands::testing::{create, image_with_brokers};

    fn alter(
        image: &Image,
        resource: ConfigResource,
        alteration: Alteration,
    ) -> Result<Image, AlterConfigsError> {
        let request = ResourceAlteration {
            resource,
            alteration,
        };
        let decision = alter_configs(image, &[request]);
        decision.outcome.into_iter().next().unwrap()?;
        Ok(decision
            .records
            .into_iter()
            .fold(image.clone(), Image::apply))
    }

    fn incremental(name: &str, operation: ConfigOperation) -> Alteration {
        Alteration::Incremental(vec![(name.to_owned(), operation)])
    }

    fn topic() -> ConfigResource {
        ConfigResource::Topic("t".into())
    }

    fn value<'a>(image: &'a Image, name: &str) -> Option<&'a str> {
        image
            .topic("t")
            .unwrap()
            .configs
            .get(name)
            .map(String::as_str)
    }

    #[test]
    fn configs_are_set_deleted_and_replaced() {
        let image = create(&image_with_brokers(1), "t");
        let set = incremental("retention.ms", ConfigOperation::Set("5".into()));
        let image = alter(&image, topic(), set).unwrap();
        assert_eq!(value(&image, "retention.ms"), Some("5"));
        let replaced = Configs::from([("segment.bytes".to_owned(), "1048576".to_owned())]);
        let image = alter(&image, topic(), Alteration::Replace(replaced)).unwrap();
        assert_eq!(value(&image, "retention.ms"), None);
        assert_eq!(value(&image, "segment.bytes"), Some("1048576"));
        let delete = incremental("segment.bytes", ConfigOperation::Delete);
        let image = alter(&image, topic(), delete).unwrap();
        assert_eq!(image.topic("t").unwrap().configs, Configs::new());
        assert_eq!(image.validate(), Ok(()));
    }

    #[test]
    fn lists_grow_from_their_default_and_shrink() {
        let image = create(&image_with_brokers(1), "t");
        let append = incremental(
            "cleanup.policy",
            ConfigOperation::Append("compact,delete".into()),
        );
        let image = alter(&image, topic(), append).unwrap();
        assert_eq!(value(&image, "cleanup.policy"), Some("delete,compact"));
        let subtract = incremental("cleanup.policy", ConfigOperation::Subtract("delete".into()));
        let image = alter(&image, topic(), subtract).unwrap();
        assert_eq!(value(&image, "cleanup.policy"), Some("compact"));
        let wrong = incremental("retention.ms", ConfigOperation::Append("1".into()));
        assert_eq!(
            alter(&image, topic(), wrong).unwrap_err().to_string(),
            "Can't APPEND to key retention.ms because its type is not LIST."
        );
    }

    #[test]
    fn what_the_rules_refuse_changes_nothing_and_is_named() {
        let image = create(&image_with_brokers(1), "t");
        let both = Alteration::Incremental(vec![
            ("retention.ms".into(), ConfigOperation::Set("5".into())),
            ("no.such.config".into(), ConfigOperation::Set("5".into())),
        ]);
        let error = alter(&image, topic(), both).unwrap_err();
        assert!(error.to_string().contains("no.such.config"), "{error}");
        let huge = "x".repeat(MAX_CONFIG_VALUE_BYTES + 1);
        let error = alter(
            &image,
            topic(),
            incremental("retention.ms", ConfigOperation::Set(huge)),
        );
        assert_eq!(error.unwrap_err(), AlterConfigsError::ValueTooLarge);
        let unknown = ConfigResource::Topic("u".into());
        let error = alter(&image, unknown, Alteration::Replace(Configs::new())).unwrap_err();
        assert_eq!(error, AlterConfigsError::UnknownTopic("u".into()));
    }

    #[test]
    fn brokers_have_their_own_configs_and_a_default() {
        let image = image_with_brokers(1);
        let set = |value: &str| incremental("log.retention.ms", ConfigOperation::Set(value.into()));
        let image = alter(&image, ConfigResource::Broker(None), set("1")).unwrap();
        let image = alter(&image, ConfigResource::Broker(Some(0)), set("2")).unwrap();
        assert_eq!(image.broker_default_configs()["log.retention.ms"], "1");
        assert_eq!(image.broker_configs(0).unwrap()["log.retention.ms"], "2");
        let at_start = incremental("node.id", ConfigOperation::Set("7".into()));
        let error = alter(&image, ConfigResource::Broker(Some(0)), at_start).unwrap_err();
        assert!(error.to_string().contains("node.id"), "{error}");
        let delete = incremental("log.retention.ms", ConfigOperation::Delete);
        let image = alter(&image, ConfigResource::Broker(Some(0)), delete).unwrap();
        assert_eq!(image.broker_configs(0), None);
    }
}
