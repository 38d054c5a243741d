//! What DescribeConfigs answers (versions 1 to 4): every config with its value, where the value comes
//! from, and the configs that it could have come from.

use std::collections::BTreeMap;

use super::broker::BrokerConfig;
use super::definition::{ConfigDef, ConfigType, Update};
use super::table::{broker_config, broker_configs, topic_configs};
use super::topic::default_value;
use super::value::Value;

/// Where a value comes from (KIP-226). Numbers are those of the DescribeConfigs response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// The topic's own configs.
    Topic = 1,
    /// Set for this broker while it runs.
    DynamicBroker = 2,
    /// Set for all brokers while they run.
    DynamicDefaultBroker = 3,
    /// Set before the start: file, environment or flags.
    StaticBroker = 4,
    /// Built in.
    Default = 5,
}

impl ConfigSource {
    /// The source's number in a DescribeConfigs response.
    pub fn wire_id(self) -> i8 {
        self as i8
    }
}

/// One config as DescribeConfigs tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConfig {
    /// Its name.
    pub name: &'static str,
    /// Its value; `None` if it has none, or must not be shown.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it can be changed at start only.
    pub read_only: bool,
    /// Whether its value must not be shown.
    pub sensitive: bool,
    /// Its type.
    pub config_type: ConfigType,
    /// What it does.
    pub documentation: &'static str,
    /// Every value that was set for it or for what it falls back to, the strongest first.
    pub synonyms: Vec<DescribedSynonym>,
}

/// A value that a config has, or would have without the stronger ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedSynonym {
    /// The config that the value was set for.
    pub name: &'static str,
    /// The value; `None` if it must not be shown.
    pub value: Option<String>,
    /// Where it was set.
    pub source: ConfigSource,
}

/// All configs of a topic with these overrides on a broker with this configuration.
///
/// Kafka leaves out what comes from the later ones of several broker configs (`retention.ms` from
/// `log.retention.hours`) and calls such a value a default even where it was set; here it is told.
pub fn describe_topic(
    overrides: &BTreeMap<String, String>,
    broker: &BrokerConfig,
) -> Vec<DescribedConfig> {
    let describe = |definition: &'static ConfigDef| {
        let own = overrides.get(definition.name);
        let own = own.and_then(|text| Value::parse(definition, text).ok());
        let mut synonyms = broker_synonyms(definition.synonyms, broker);
        if let Some(value) = &own {
            let source = ConfigSource::Topic;
            synonyms.insert(0, synonym(definition, value.to_text(), source));
        }
        let value = own.unwrap_or_else(|| default_value(definition, broker.sources()));
        described(definition, Some(value.to_text()), false, synonyms)
    };
    topic_configs().map(describe).collect()
}

/// All configs of the broker with this configuration.
pub fn describe_broker(broker: &BrokerConfig) -> Vec<DescribedConfig> {
    let describe = |definition: &'static ConfigDef| {
        let own = [definition.name];
        let names = if definition.synonyms.is_empty() {
            &own[..]
        } else {
            definition.synonyms
        };
        let mut synonyms = broker_synonyms(names, broker);
        // What stands before the config's own value belongs to a stronger config, and does not
        // decide what this one is set to.
        let first = synonyms
            .iter()
            .position(|synonym| synonym.name == definition.name);
        synonyms.drain(..first.unwrap_or(synonyms.len()));
        let value = broker
            .sources()
            .value(definition)
            .map(|value| value.to_text());
        described(
            definition,
            value,
            definition.update == Update::ReadOnly,
            synonyms,
        )
    };
    broker_configs().map(describe).collect()
}

/// The dynamic defaults of the whole cluster, which DescribeConfigs tells for the broker without a
/// name. Only what is set is told.
pub fn describe_cluster_defaults(broker: &BrokerConfig) -> Vec<DescribedConfig> {
    let dynamic = &broker.sources().dynamic.cluster;
    let describe = |(name, text): (&String, &String)| {
        let definition = broker_config(name)?;
        let source = ConfigSource::DynamicDefaultBroker;
        let synonyms = vec![synonym(definition, text.clone(), source)];
        let read_only = definition.update == Update::ReadOnly;
        Some(described(
            definition,
            Some(text.clone()),
            read_only,
            synonyms,
        ))
    };
    dynamic.iter().filter_map(describe).collect()
}

fn described(
    definition: &'static ConfigDef,
    value: Option<String>,
    read_only: bool,
    synonyms: Vec<DescribedSynonym>,
) -> DescribedConfig {
    let sensitive = definition.is_sensitive();
    DescribedConfig {
        name: definition.name,
        value: value.filter(|_| !sensitive),
        source: synonyms
            .first()
            .map_or(ConfigSource::Default, |synonym| synonym.source),
        read_only,
        sensitive,
        config_type: definition.config_type,
        documentation: definition.documentation,
        synonyms,
    }
}

fn synonym(definition: &ConfigDef, text: String, source: ConfigSource) -> DescribedSynonym {
    let value = Some(text).filter(|_| !definition.is_sensitive());
    DescribedSynonym {
        name: definition.name,
        value,
        source,
    }
}

/// What is set for the broker configs of these names: by source, and within one source by name.
fn broker_synonyms(names: &[&str], broker: &BrokerConfig) -> Vec<DescribedSynonym> {
    let sources = broker.sources();
    let definitions: Vec<&ConfigDef> = names
        .iter()
        .filter_map(|name| broker_config(name))
        .collect();
    let mut synonyms = Vec::new();
    let mut add = |source: ConfigSource, text: &dyn Fn(&ConfigDef) -> Option<String>| {
        for definition in &definitions {
            synonyms.extend(text(definition).map(|text| synonym(definition, text, source)));
        }
    };
    let dynamic = |map: &BTreeMap<String, String>, definition: &ConfigDef| {
        let text = map
            .get(definition.name)
            .filter(|_| definition.update == Update::Dynamic)?;
        Value::parse(definition, text)
            .ok()
            .map(|value| value.to_text())
    };
    add(ConfigSource::DynamicBroker, &|config| {
        dynamic(&sources.dynamic.broker, config)
    });
    add(ConfigSource::DynamicDefaultBroker, &|config| {
        dynamic(&sources.dynamic.cluster, config)
    });
    add(ConfigSource::StaticBroker, &|config| {
        sources
            .statics
            .get(config.name)
            .map(|value| value.text.clone())
    });
    add(ConfigSource::Default, &|config| {
        config.default.map(str::to_owned)
    });
    synonyms
}
