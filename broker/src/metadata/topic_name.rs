//! Kafka's rules for topic names (`org.apache.kafka.common.internals.Topic`).

use serde::{Deserialize, Serialize};

/// Committed offsets and group state.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// Transaction state.
pub const TRANSACTION_STATE: &str = "__transaction_state";
/// Share group state.
pub const SHARE_GROUP_STATE: &str = "__share_group_state";
/// The metadata itself; it is a partition of the log, but never a topic of the image.
pub const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Longest name, in characters; it leaves room for `-<partition>` in a file name of 255.
pub const MAX_LENGTH: usize = 249;

/// Why a name is refused; the message is Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum TopicNameError {
    /// No characters at all.
    #[error("Topic name is invalid: the empty string is not allowed")]
    Empty,
    /// A name that file systems give a meaning.
    #[error("Topic name is invalid: '{0}' is not allowed")]
    Dots(String),
    /// More than [`MAX_LENGTH`] characters.
    #[error(
        "Topic name is invalid: the length of '{0}' is longer than the max allowed length {MAX_LENGTH}"
    )]
    TooLong(String),
    /// A character outside `[a-zA-Z0-9._-]`.
    #[error(
        "Topic name is invalid: '{0}' contains one or more characters other than ASCII \
         alphanumerics, '.', '_' and '-'"
    )]
    Characters(String),
}

/// Checks that `name` may be the name of a topic.
pub fn validate(name: &str) -> Result<(), TopicNameError> {
    if name.is_empty() {
        return Err(TopicNameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(TopicNameError::Dots(name.to_owned()));
    }
    if name.chars().count() > MAX_LENGTH {
        return Err(TopicNameError::TooLong(name.to_owned()));
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !name.bytes().all(legal) {
        return Err(TopicNameError::Characters(name.to_owned()));
    }
    Ok(())
}

/// Whether the topic is one of those that the cluster keeps for itself.
pub fn is_internal(name: &str) -> bool {
    matches!(
        name,
        CONSUMER_OFFSETS | TRANSACTION_STATE | SHARE_GROUP_STATE
    )
}

/// The form under which names that differ only in `.` and `_` are the same, or `None` for a name
/// without either, which collides with nothing. Metric names cannot tell the two characters apart,
/// which is why Kafka keeps such names from existing side by side.
pub fn collision_form(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_kafka_does() {
        let longest = "a".repeat(MAX_LENGTH);
        let too_long = "a".repeat(MAX_LENGTH + 1);
        for name in [
            "a",
            "A-b_c.9",
            "...",
            "__consumer_offsets",
            longest.as_str(),
        ] {
            assert_eq!(validate(name), Ok(()), "{name}");
        }
        for name in ["", ".", "..", "a b", "a/b", "ä", "a\0", too_long.as_str()] {
            assert!(validate(name).is_err(), "{name}");
        }
        assert_eq!(
            validate("a+b").unwrap_err().to_string(),
            "Topic name is invalid: 'a+b' contains one or more characters other than ASCII \
             alphanumerics, '.', '_' and '-'"
        );
    }

    #[test]
    fn dots_and_underscores_collide() {
        assert_eq!(collision_form("a.b_c"), collision_form("a_b.c"));
        assert_ne!(collision_form("a.b"), collision_form("a.c"));
        assert_eq!(collision_form("ab-c"), None);
    }
}
