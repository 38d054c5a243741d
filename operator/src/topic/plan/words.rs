//! Differences and obstacles in words, for conditions and events.

use std::fmt::{Display, Formatter, Result};

use super::{Difference, Obstacle, Step};

impl Obstacle {
    /// The reason of a condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Internal => "InternalTopic",
            Self::PartitionsCannotShrink { .. } => "PartitionsCannotShrink",
            Self::NotEnoughBrokers { .. } => "NotEnoughBrokers",
        }
    }
}

impl Display for Obstacle {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Internal => {
                f.write_str("the brokers keep their own state in the topic of this name")
            }
            Self::PartitionsCannotShrink { is, asked } => {
                write!(
                    f,
                    "the topic has {is} partitions and cannot have {asked}: partitions are never taken away"
                )
            }
            Self::NotEnoughBrokers { brokers, asked } => {
                write!(
                    f,
                    "{asked} replicas are asked for, and there are {brokers} brokers"
                )
            }
        }
    }
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Missing => f.write_str("the topic was deleted"),
            Self::Replaced { id } => write!(f, "another topic has its name, with the id {id}"),
            Self::Partitions { is, asked } => {
                write!(f, "{is} partitions instead of {asked}")
            }
            Self::ReplicationFactor { is, asked } => {
                write!(f, "{is} replicas instead of {asked}")
            }
            Self::Config { name, is, asked } => match (is, asked) {
                (Some(is), Some(asked)) => write!(f, "{name} is {is} instead of {asked}"),
                (Some(is), None) => write!(f, "{name} is set to {is}"),
                (None, _) => write!(f, "{name} is not set"),
            },
        }
    }
}

impl Step {
    /// The reason of an event.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Create => "TopicCreated",
            Self::AddPartitions(_) => "PartitionsAdded",
            Self::AlterConfigs { .. } => "ConfigsChanged",
            Self::MoveReplicas(_) => "ReplicasMoving",
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Create => f.write_str("the topic was made"),
            Self::AddPartitions(partitions) => {
                write!(f, "the topic has {partitions} partitions now")
            }
            Self::AlterConfigs { set, reset } => {
                let set = set.iter().map(|(name, value)| format!("{name}={value}"));
                let reset = reset
                    .iter()
                    .map(|name| format!("{name} as the brokers say"));
                let changes: Vec<String> = set.chain(reset).collect();
                write!(f, "configs are {} now", changes.join(", "))
            }
            Self::MoveReplicas(factor) => {
                write!(
                    f,
                    "replicas are moved until each partition has {factor} of them"
                )
            }
        }
    }
}
