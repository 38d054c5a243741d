//! Where values come from: layers that cover one another, and what wins.
//!
//! defaults < file < environment < flags < dynamic defaults of the cluster < dynamic of this broker

use std::collections::BTreeMap;
use std::fmt;

use super::definition::{ConfigDef, Update};
use super::table::broker_config;
use super::value::Value;

/// The place that set a value, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of the configuration file; the first line is 1.
    File {
        /// Path as it was given.
        path: String,
        /// Line of the value.
        line: u64,
    },
    /// An environment variable of this name.
    Environment(String),
    /// A flag, as it is written on the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(formatter, "{path} line {line}"),
            Self::Environment(variable) => write!(formatter, "environment variable {variable}"),
            Self::Flag(flag) => write!(formatter, "flag {flag}"),
        }
    }
}

/// One value that somebody set, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Name of the config, as Kafka spells it.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Who set it.
    pub origin: Origin,
}

/// Everything that was set before the start, a later field covering an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layers {
    /// From the configuration file.
    pub file: Vec<Setting>,
    /// From environment variables.
    pub environment: Vec<Setting>,
    /// From flags.
    pub flags: Vec<Setting>,
}

/// What was set while the broker runs (KIP-226), as the metadata holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DynamicConfigs {
    /// For this broker.
    pub broker: BTreeMap<String, String>,
    /// For every broker that has nothing of its own.
    pub cluster: BTreeMap<String, String>,
}

/// A value from before the start, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StaticValue {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// All that decides the broker configs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sources {
    pub(super) statics: BTreeMap<&'static str, StaticValue>,
    pub(super) dynamic: DynamicConfigs,
}

impl Sources {
    /// The value that holds for a broker config, `None` where there is none.
    ///
    /// A dynamic value that this version does not accept (the metadata may have been written by
    /// another one) is passed over, so that it cannot keep a broker from starting.
    pub(super) fn value(&self, definition: &ConfigDef) -> Option<Value> {
        let dynamic = [&self.dynamic.broker, &self.dynamic.cluster];
        if definition.update == Update::Dynamic {
            for map in dynamic {
                let text = map.get(definition.name);
                if let Some(Ok(value)) = text.map(|text| Value::parse(definition, text)) {
                    return Some(value);
                }
            }
        }
        let fixed = self
            .statics
            .get(definition.name)
            .map(|value| value.text.as_str());
        let text = fixed.or(definition.default)?;
        Some(
            Value::parse(definition, text)
                .expect("defaults are tested, static values were checked"),
        )
    }

    /// The value of a broker config that is in the table.
    pub(super) fn named(&self, name: &str) -> Option<Value> {
        self.value(broker_config(name).expect("only names of the table are asked for"))
    }
}
