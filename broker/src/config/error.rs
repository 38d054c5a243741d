//! What is wrong with a configuration, said so that it can be put right in one go.

use std::fmt;

use super::definition::ConfigDef;
use super::layers::{Origin, Setting};
use super::table::{broker_config, broker_configs, is_kafka_config, topic_config};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The config, or the file or variable where no config can be named.
    pub name: String,
    /// The value that is wrong, if it is one.
    pub value: Option<String>,
    /// Who set it, if anyone did.
    pub origin: Option<Origin>,
    /// Why it is wrong; reads on from the name.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.reason)?;
        match (&self.value, &self.origin) {
            (Some(value), Some(origin)) => write!(formatter, " (\"{value}\" from {origin})")?,
            (Some(value), None) => write!(formatter, " (\"{value}\")")?,
            (None, Some(origin)) => write!(formatter, " (from {origin})")?,
            (None, None) => {}
        }
        write!(formatter, "; {}", self.fix)
    }
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 { "error" } else { "errors" };
        write!(formatter, "the configuration has {count} {noun}:")?;
        for error in &self.0 {
            write!(formatter, "\n  {error}")?;
        }
        Ok(())
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl ConfigError {
    pub(super) fn new(
        setting: &Setting,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            name: setting.name.clone(),
            value: Some(setting.value.clone()),
            origin: Some(setting.origin.clone()),
            reason: reason.into(),
            fix: fix.into(),
        }
    }

    pub(super) fn bad_value(setting: &Setting, definition: &ConfigDef, reason: String) -> Self {
        let mut error = Self::new(setting, reason, value_hint(definition));
        if definition.is_sensitive() {
            error.value = None;
        }
        error
    }

    pub(super) fn unknown(setting: &Setting) -> Self {
        let (reason, fix) = explain_unknown_broker_config(&setting.name);
        Self::new(setting, reason, fix)
    }
}

/// What a valid value of the config is, as an advice.
pub(super) fn value_hint(definition: &ConfigDef) -> String {
    let valid = definition.valid_values();
    let valid = if valid.is_empty() {
        valid
    } else {
        format!(" of {valid}")
    };
    let otherwise = match definition.default {
        Some("") => "an empty value".to_owned(),
        Some(default) => format!("the default {default}"),
        None => "no value".to_owned(),
    };
    let type_name = definition.config_type.name();
    let article = if type_name == "int" { "an" } else { "a" };
    format!("set it to {article} {type_name}{valid}, or leave it out for {otherwise}")
}

/// Why a broker config of this name is refused, and what to do.
pub(super) fn explain_unknown_broker_config(name: &str) -> (&'static str, String) {
    if let Some(definition) = topic_config(name) {
        let default = definition.synonyms.first().copied().unwrap_or_default();
        return (
            "is a topic config, not a broker config",
            format!("set it on a topic, or set the default of all topics with {default}"),
        );
    }
    if is_kafka_config("broker", name) {
        return (
            "is a config of Apache Kafka that has no meaning here",
            "remove it".to_owned(),
        );
    }
    let known = broker_configs().map(|definition| definition.name);
    ("is not a config of this broker", suggest(name, known))
}

/// Why a topic config of this name is refused, and what to do.
pub(super) fn explain_unknown_topic_config(name: &str) -> (&'static str, String) {
    if broker_config(name).is_some() {
        let topic = super::table::topic_configs().find(|topic| topic.synonyms.contains(&name));
        let fix = match topic {
            Some(topic) => format!("the topic's own config is {}", topic.name),
            None => "it can be set for the broker only".to_owned(),
        };
        return ("is a broker config, not a topic config", fix);
    }
    if is_kafka_config("topic", name) {
        return (
            "is a config of Apache Kafka that has no meaning here",
            "remove it".to_owned(),
        );
    }
    let known = super::table::topic_configs().map(|definition| definition.name);
    ("is not a topic config", suggest(name, known))
}

/// An advice that names the known name nearest to `name`, if one is near.
pub(super) fn suggest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    // More than a third of the letters wrong is a different name, not a slip.
    let limit = (name.len() / 3).clamp(1, 6);
    let nearest = known
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= limit);
    match nearest {
        Some((_, candidate)) => format!("did you mean {candidate}?"),
        None => "remove it; docs/configuration.md lists what there is".to_owned(),
    }
}

/// Insertions, deletions and replacements of bytes that make `left` into `right`.
fn edit_distance(left: &str, right: &str) -> usize {
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, left_byte) in left.bytes().enumerate() {
        let mut current = vec![row + 1];
        for (column, right_byte) in right.bytes().enumerate() {
            let replaced = previous[column] + usize::from(left_byte != right_byte);
            let nearer = previous[column + 1].min(current[column]) + 1;
            current.push(replaced.min(nearer));
        }
        previous = current;
    }
    previous[right.len()]
}

#[cfg(test)]
mod tests {
    use super::edit_distance;

    #[test]
    fn edit_distances() {
        for (left, right, distance) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(edit_distance(left, right), distance, "{left} {right}");
        }
    }
}
