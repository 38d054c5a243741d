//! What clients may set while the broker runs: the checks of CreateTopics and of the two APIs that
//! alter configs. Pure functions; their errors become the messages of the responses.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::definition::{ConfigDef, Update};
use super::error::{explain_unknown_broker_config, explain_unknown_topic_config, value_hint};
use super::table::{broker_config, topic_config};
use super::value::Value;

/// Why a config is refused, for choosing the error code of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvalidConfigKind {
    /// There is no config of this name: INVALID_CONFIG.
    Unknown,
    /// The config is read at start only: INVALID_REQUEST, as Kafka answers.
    ReadOnly,
    /// The value is not valid: INVALID_CONFIG.
    Value,
}

/// A config that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{key} {reason}")]
pub struct InvalidConfig {
    /// Name of the config.
    pub key: String,
    /// What is wrong and what to do; reads on from the name.
    pub reason: String,
    /// What kind of mistake it is.
    pub kind: InvalidConfigKind,
}

impl InvalidConfig {
    fn new(key: &str, reason: String, kind: InvalidConfigKind) -> Self {
        Self {
            key: key.to_owned(),
            reason,
            kind,
        }
    }

    fn value(definition: &ConfigDef, value: &str, reason: &str) -> Self {
        let shown = if definition.is_sensitive() {
            "(hidden)"
        } else {
            value
        };
        let reason = format!("{reason} (\"{shown}\"); {}", value_hint(definition));
        Self::new(definition.name, reason, InvalidConfigKind::Value)
    }
}

/// Checks the whole of a topic's own configs, alone and together.
pub fn validate_topic_configs(configs: &BTreeMap<String, String>) -> Result<(), InvalidConfig> {
    let mut numbers = BTreeMap::new();
    for (name, text) in configs {
        let definition = known_topic_config(name)?;
        let value = Value::parse(definition, text)
            .map_err(|reason| InvalidConfig::value(definition, text, &reason))?;
        if let Value::Number(number) = value {
            numbers.insert(definition.name, number);
        }
    }
    let [low, high] = ["min.compaction.lag.ms", "max.compaction.lag.ms"];
    match (numbers.get(low), numbers.get(high)) {
        (Some(least), Some(most)) if least > most => Err(InvalidConfig::new(
            low,
            format!("must not be more than {high} ({least} is more than {most})"),
            InvalidConfigKind::Value,
        )),
        _ => Ok(()),
    }
}

/// Checks a broker config that is set while the broker runs, for one broker or for all.
pub fn validate_broker_config(name: &str, value: &str) -> Result<(), InvalidConfig> {
    let definition = known_broker_config(name)?;
    if definition.update == Update::ReadOnly {
        let reason = "cannot be changed while the broker runs; set it in the broker's \
                      configuration file and restart it";
        return Err(InvalidConfig::new(
            name,
            reason.to_owned(),
            InvalidConfigKind::ReadOnly,
        ));
    }
    match Value::parse(definition, value) {
        Ok(_) => Ok(()),
        Err(reason) => Err(InvalidConfig::value(definition, value, &reason)),
    }
}

/// The topic config of this name, or the error that refuses it.
pub fn known_topic_config(name: &str) -> Result<&'static ConfigDef, InvalidConfig> {
    topic_config(name).ok_or_else(|| {
        let (reason, fix) = explain_unknown_topic_config(name);
        InvalidConfig::new(name, format!("{reason}; {fix}"), InvalidConfigKind::Unknown)
    })
}

/// The broker config of this name, or the error that refuses it.
pub fn known_broker_config(name: &str) -> Result<&'static ConfigDef, InvalidConfig> {
    broker_config(name).ok_or_else(|| {
        let (reason, fix) = explain_unknown_broker_config(name);
        InvalidConfig::new(name, format!("{reason}; {fix}"), InvalidConfigKind::Unknown)
    })
}
