//! The conditions of a Topic.
//!
//! - `Ready`: the topic is there, nothing that was asked for is refused, and all partitions have leaders. Replicas that
//!   are behind, and drift that the policy leaves alone, do not matter.
//! - `InSync`: the topic is as the resource says.
//! - `Progressing`: replicas move.

use super::{
    carry_out::Failure,
    health::Health,
    plan::{Difference, Existing, Plan},
};
use crate::api::conditions::Finding;

/// How many differences a message names.
const NAMED: usize = 5;

/// What keeps the operator from looking at the topic at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldUp {
    /// An older resource has the topic.
    NameConflict {
        /// `NAMESPACE/NAME` of that resource.
        owner: String,
    },
    /// The Cluster does not allow the resource's namespace.
    NotAllowed {
        /// `NAMESPACE/NAME` of the Cluster.
        cluster: String,
    },
    /// There is no such Cluster.
    ClusterNotFound {
        /// `NAMESPACE/NAME` of the Cluster.
        cluster: String,
    },
    /// The brokers do not answer.
    ClusterUnreachable {
        /// Where they should be.
        address: String,
        /// Whether the topic is to be deleted.
        deleting: bool,
    },
    /// The brokers say no.
    Refused {
        /// The reason of the condition.
        reason: &'static str,
        /// What they say.
        message: String,
    },
}

impl HeldUp {
    /// The conditions. While the brokers do not answer, nobody knows, and whether replicas move stays as it was.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let (reason, message) = match self {
            Self::NameConflict { owner } => (
                "NameConflict",
                format!("the topic is that of Topic {owner}, which is older"),
            ),
            Self::NotAllowed { cluster } => (
                "NotAllowed",
                format!("topicNamespaces of Cluster {cluster} does not have this namespace"),
            ),
            Self::ClusterNotFound { cluster } => (
                "ClusterNotFound",
                format!("there is no Cluster {cluster}, or its namespace is not watched"),
            ),
            Self::ClusterUnreachable { address, deleting } => {
                let unreachable = format!("the brokers do not answer at {address}");
                let message = match deleting {
                    true => format!(
                        "{unreachable}; the topic is deleted once they do, or stays if deletionPolicy is set to Retain"
                    ),
                    false => unreachable,
                };
                ("ClusterUnreachable", message)
            }
            Self::Refused { reason, message } => (*reason, message.clone()),
        };
        let finding = |type_, holds| Finding {
            type_,
            holds,
            reason,
            message: message.clone(),
        };
        match self {
            Self::ClusterUnreachable { .. } => {
                vec![finding("Ready", None), finding("InSync", None)]
            }
            Self::Refused { .. } => {
                vec![finding("Ready", Some(false)), finding("InSync", None)]
            }
            _ => vec![
                finding("Ready", Some(false)),
                finding("InSync", Some(false)),
                finding("Progressing", Some(false)),
            ],
        }
    }
}

/// What became of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The steps that failed.
    pub failures: &'a [Failure],
    /// The topic after the steps, if there is one.
    pub topic: Option<&'a Existing>,
    /// How well it is.
    pub health: &'a Health,
}

impl Outcome<'_> {
    /// The conditions.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        vec![self.ready(), self.in_sync(), self.progressing()]
    }

    fn ready(&self) -> Finding {
        let (holds, reason, message) = if let Some((reason, message)) = self.trouble() {
            (false, reason, message)
        } else if let Some(difference) = self.plan.drift.iter().find(|d| is_fatal(d)) {
            let reason = match difference {
                Difference::Missing => "TopicMissing",
                _ => "TopicReplaced",
            };
            (false, reason, difference.to_string())
        } else if self.health.offline > 0 {
            let message = format!("{} partitions have no leader", self.health.offline);
            (false, "PartitionsOffline", message)
        } else {
            let message = self.topic.map_or_else(String::new, |topic| {
                let (partitions, factor) = (topic.partitions, topic.replication_factor);
                format!("{partitions} partitions of {factor} replicas")
            });
            (true, "TopicReady", message)
        };
        Finding {
            type_: "Ready",
            holds: Some(holds),
            reason,
            message,
        }
    }

    fn in_sync(&self) -> Finding {
        let (holds, reason, message) = if let Some((reason, message)) = self.trouble() {
            (false, reason, message)
        } else if !self.plan.drift.is_empty() {
            (false, "Drift", listed(&self.plan.drift))
        } else if self.moving() > 0 {
            let message = "replicas are on their way".to_owned();
            (false, "ReplicasMoving", message)
        } else if self.plan.kept_configs.is_empty() {
            (true, "AsAsked", "the topic is as it should be".to_owned())
        } else {
            let kept = listed(&self.plan.kept_configs);
            let message = format!("configs that were there before the resource are kept: {kept}");
            (true, "AsAsked", message)
        };
        Finding {
            type_: "InSync",
            holds: Some(holds),
            reason,
            message,
        }
    }

    fn progressing(&self) -> Finding {
        let (reason, message) = match self.moving() {
            0 => ("Settled", "no replicas move".to_owned()),
            moving => (
                "ReplicasMoving",
                format!("{moving} partitions are on their way to other replicas"),
            ),
        };
        Finding {
            type_: "Progressing",
            holds: Some(self.moving() > 0),
            reason,
            message,
        }
    }

    fn moving(&self) -> i32 {
        self.topic.map_or(0, |topic| topic.moving)
    }

    /// What was asked for and is not done.
    fn trouble(&self) -> Option<(&'static str, String)> {
        let refused = self.failures.iter().find_map(|failure| match failure {
            Failure::Refused { reason, message } => Some((*reason, message.clone())),
            Failure::Stale => None,
        });
        let obstacle = self.plan.obstacles.first();
        refused.or_else(|| Some((obstacle?.reason(), obstacle?.to_string())))
    }
}

/// Whether the topic is not there at all.
fn is_fatal(difference: &Difference) -> bool {
    matches!(
        difference,
        Difference::Missing | Difference::Replaced { .. }
    )
}

fn listed<T: ToString>(things: &[T]) -> String {
    let mut named: Vec<String> = things.iter().take(NAMED).map(T::to_string).collect();
    if things.len() > NAMED {
        named.push(format!("and {} more", things.len() - NAMED));
    }
    named.join(", ")
}

#[cfg(test)]
mod tests;
