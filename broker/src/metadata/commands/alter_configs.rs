//! AlterConfigs (everything replaced) and IncrementalAlterConfigs (KIP-339), for topics and brokers.

use crate::{
    config::{
        ConfigDef, ConfigType, InvalidConfig,
        validate::{
            known_broker_config, known_topic_config, validate_broker_config, validate_topic_configs,
        },
    },
    metadata::{
        Decision, Image, Topic,
        image::Configs,
        records::{BrokerConfigRecord, Record},
    },
};

/// Largest value of a config, in bytes; Kafka's bound.
pub const MAX_CONFIG_VALUE_BYTES: usize = 32_767;

/// What configs belong to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConfigResource {
    /// The topic of this name.
    Topic(String),
    /// One broker, or with `None` the default of all.
    Broker(Option<i32>),
}

/// One change of one config.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alteration {
    /// These are all overrides from now on.
    Replace(Configs),
    /// These are applied one by one.
    Incremental(Vec<(String, ConfigOperation)>),
}

/// A resource and its alteration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceAlteration {
    /// What the configs belong to.
    pub resource: ConfigResource,
    /// How they change.
    pub alteration: Alteration,
}

/// Why the configs of a resource are not altered; the messages are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlterConfigsError {
    /// There is no such topic.
    #[error("The topic '{0}' does not exist.")]
    UnknownTopic(String),
    /// Adding to or taking from something that is not a list.
    #[error("Can't {operation} to key {name} because its type is not LIST.")]
    NotAList {
        /// `APPEND` or `SUBTRACT`.
        operation: &'static str,
        /// The config.
        name: String,
    },
    /// A value beyond [`MAX_CONFIG_VALUE_BYTES`].
    #[error(
        "The configuration value cannot be added because it exceeds the maximum value size of \
         {MAX_CONFIG_VALUE_BYTES} bytes."
    )]
    ValueTooLarge,
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
    let mut records = Vec::new();
    let mut alter = |request: &ResourceAlteration| {
        records.extend(alter_resource(image, request)?);
        Ok(())
    };
    let outcome = alterations.iter().map(&mut alter).collect();
    Decision { records, outcome }
}

fn alter_resource(
    image: &Image,
    request: &ResourceAlteration,
) -> Result<Option<Record>, AlterConfigsError> {
    match &request.resource {
        ConfigResource::Topic(name) => {
            let topic = image
                .topic(name)
                .ok_or_else(|| AlterConfigsError::UnknownTopic(name.clone()))?;
            let configs = altered(&topic.configs, &request.alteration, known_topic_config)?;
            validate_topic_configs(&configs)?;
            let changed = configs != topic.configs;
            Ok(changed.then(|| {
                Topic {
                    configs,
                    ..Topic::clone(topic)
                }
                .to_record()
            }))
        }
        ConfigResource::Broker(broker_id) => {
            let nothing = Configs::new();
            let current = match broker_id {
                None => image.broker_default_configs(),
                Some(id) => image.broker_configs(*id).unwrap_or(&nothing),
            };
            let configs = altered(current, &request.alteration, known_broker_config)?;
            for (name, value) in &configs {
                validate_broker_config(name, value)?;
            }
            let changed = configs != *current;
            let value = (!configs.is_empty()).then_some(BrokerConfigRecord { configs });
            Ok(changed.then_some(Record::BrokerConfig {
                broker_id: *broker_id,
                value,
            }))
        }
    }
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
            operation,
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
