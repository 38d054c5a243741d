//! What a topic lacks of what its resource asks for, and what is done about it. Values in, a plan out.
//!
//! ```text
//!   resource (spec) ─┐
//!   status ──────────┼─► plan ─► steps      carried out by `carry_out`, one call to the brokers each
//!   what is there ───┘        ├─► drift      left as it is: the drift policy says so
//!                             └─► obstacles  asked for, and cannot be done
//! ```
//!
//! What protects data:
//!
//! - No step takes partitions away, deletes records, or deletes a topic.
//! - A topic that was there before its resource is *adopted*: configs that the resource does not name stay as they
//!   are (`keptConfigs`), so that nobody loses records to a default retention that he never asked for. Only what is
//!   set later, by others, is drift, and set back.
//! - A topic is known by its id. If another one has got its name, `Report` leaves it alone, and the deletion policy
//!   does not reach it. `Correct` adopts it as above.

use std::collections::BTreeMap;

use crate::api::topic::{CarriedOut, DriftPolicy, TopicSpec, TopicStatus};

mod configs;
mod words;

pub use configs::Configs;

/// What the brokers have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// How many brokers there are, those that are down among them.
    pub brokers: i32,
    /// The topic, if there is one of that name.
    pub topic: Option<Existing>,
}

/// A topic, as the brokers have it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Existing {
    /// Its id.
    pub id: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas each has.
    pub replication_factor: i32,
    /// Whether brokers keep their own state in it.
    pub internal: bool,
    /// How many partitions are on their way to other replicas.
    pub moving: i32,
    /// The configs that are set for the topic itself.
    pub configs: Configs,
}

/// One thing to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The topic is made, as the resource says.
    Create,
    /// The topic gets this many partitions.
    AddPartitions(i32),
    /// Configs are set, and set back.
    AlterConfigs {
        /// By name.
        set: Configs,
        /// By name.
        reset: Vec<String>,
    },
    /// Replicas are added or taken away, until each partition has this many.
    MoveReplicas(i32),
}

/// Something that is not as the resource says, and is left so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The topic was deleted.
    Missing,
    /// Another topic has its name.
    Replaced {
        /// The id of the topic that is there.
        id: String,
    },
    /// Another number of partitions.
    Partitions {
        /// How many there are.
        is: i32,
        /// How many there should be.
        asked: i32,
    },
    /// Another number of replicas.
    ReplicationFactor {
        /// How many there are.
        is: i32,
        /// How many there should be.
        asked: i32,
    },
    /// Another value of a config.
    Config {
        /// Its name.
        name: String,
        /// What is set for the topic.
        is: Option<String>,
        /// What should be.
        asked: Option<String>,
    },
}

/// Something that is asked for and cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Brokers keep their own state in the topic of that name.
    Internal,
    /// There are more partitions than asked for.
    PartitionsCannotShrink {
        /// How many there are.
        is: i32,
        /// How many there should be.
        asked: i32,
    },
    /// There are fewer brokers than replicas asked for.
    NotEnoughBrokers {
        /// How many there are.
        brokers: i32,
        /// How many replicas there should be.
        asked: i32,
    },
}

/// What is to be done about a topic, and what is not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// In this order. Each is tried, whatever becomes of those before.
    pub steps: Vec<Step>,
    /// What is left as it is.
    pub drift: Vec<Difference>,
    /// What cannot be done.
    pub obstacles: Vec<Obstacle>,
    /// Whether a topic is taken on that was not this resource's before.
    pub adopts: bool,
    /// What [`TopicStatus::kept_configs`] is to be.
    pub kept_configs: Vec<String>,
}

/// What is to be done. `was_moving` says whether replicas moved when the topic was last looked at: then it is asked
/// again whether all of them are where they should be.
#[must_use]
pub fn plan(spec: &TopicSpec, status: &TopicStatus, observed: &Observed, was_moving: bool) -> Plan {
    let corrects = spec.drift_policy == DriftPolicy::Correct;
    let mut plan = Plan::default();
    let known = status.topic_id.as_ref();
    match &observed.topic {
        Some(topic) if topic.internal => plan.obstacles.push(Obstacle::Internal),
        Some(topic) if known.is_some_and(|known| *known != topic.id) && !corrects => {
            let id = topic.id.clone();
            plan.drift.push(Difference::Replaced { id });
        }
        Some(topic) => {
            plan.adopts = known != Some(&topic.id);
            let before = status.carried_out.as_ref().filter(|_| !plan.adopts);
            let attribute = Attribute { corrects, before };
            plan.partitions(spec, topic, &attribute);
            plan.configs(spec, status, topic, &attribute);
            plan.replicas(spec, topic, observed.brokers, &attribute, was_moving);
        }
        None if known.is_some() && !corrects => plan.drift.push(Difference::Missing),
        None => match spec.replication_factor {
            Some(asked) if asked > observed.brokers => {
                plan.obstacles.push(not_enough(observed, asked));
            }
            _ => plan.steps.push(Step::Create),
        },
    }
    plan
}

/// The topic as it is after a step. `created` is what the brokers say of a topic that they have made.
#[must_use]
pub fn effect(step: &Step, spec: &TopicSpec, topic: Existing) -> Existing {
    match step {
        Step::Create => Existing {
            configs: spec.config.clone(),
            ..topic
        },
        Step::AddPartitions(partitions) => Existing {
            partitions: *partitions,
            ..topic
        },
        Step::AlterConfigs { set, reset } => {
            let mut configs = topic.configs;
            configs.retain(|name, _| !reset.contains(name));
            configs.extend(set.clone());
            Existing { configs, ..topic }
        }
        Step::MoveReplicas(replication_factor) => Existing {
            replication_factor: *replication_factor,
            ..topic
        },
    }
}

fn not_enough(observed: &Observed, asked: i32) -> Obstacle {
    Obstacle::NotEnoughBrokers {
        brokers: observed.brokers,
        asked,
    }
}

/// Whether a difference is put right: the policy says so, or it comes from a change of the resource.
struct Attribute<'a> {
    corrects: bool,
    before: Option<&'a CarriedOut>,
}

impl Attribute<'_> {
    fn is_put_right(&self, changed: impl Fn(&CarriedOut) -> bool) -> bool {
        self.corrects || self.before.is_some_and(changed)
    }
}

impl Plan {
    /// Whether the topic that is there, if one is, is none of this resource's business.
    #[must_use]
    pub fn leaves_alone(&self) -> bool {
        let is_others = |difference: &Difference| {
            matches!(
                difference,
                Difference::Missing | Difference::Replaced { .. }
            )
        };
        self.drift.iter().any(is_others) || self.obstacles.contains(&Obstacle::Internal)
    }

    fn partitions(&mut self, spec: &TopicSpec, topic: &Existing, attribute: &Attribute<'_>) {
        let Some(asked) = spec.partitions.filter(|asked| *asked != topic.partitions) else {
            return;
        };
        let is = topic.partitions;
        if !attribute.is_put_right(|before| before.partitions != spec.partitions) {
            self.drift.push(Difference::Partitions { is, asked });
        } else if asked < is {
            self.obstacles
                .push(Obstacle::PartitionsCannotShrink { is, asked });
        } else {
            self.steps.push(Step::AddPartitions(asked));
        }
    }

    fn configs(
        &mut self,
        spec: &TopicSpec,
        status: &TopicStatus,
        topic: &Existing,
        attribute: &Attribute<'_>,
    ) {
        let mut set = BTreeMap::new();
        let mut reset = Vec::new();
        for (name, asked) in &spec.config {
            let is = topic.configs.get(name);
            if is.is_some_and(|is| configs::is_same(is, asked)) {
                continue;
            }
            if attribute.is_put_right(|before| before.config.get(name) != Some(asked)) {
                set.insert(name.clone(), asked.clone());
            } else {
                self.drift.push(Difference::Config {
                    name: name.clone(),
                    is: is.cloned(),
                    asked: Some(asked.clone()),
                });
            }
        }
        for (name, is) in &topic.configs {
            if spec.config.contains_key(name) {
                continue;
            }
            if self.adopts || status.kept_configs.contains(name) {
                self.kept_configs.push(name.clone());
            } else if attribute.is_put_right(|before| before.config.contains_key(name)) {
                reset.push(name.clone());
            } else {
                self.drift.push(Difference::Config {
                    name: name.clone(),
                    is: Some(is.clone()),
                    asked: None,
                });
            }
        }
        if !set.is_empty() || !reset.is_empty() {
            self.steps.push(Step::AlterConfigs { set, reset });
        }
    }

    fn replicas(
        &mut self,
        spec: &TopicSpec,
        topic: &Existing,
        brokers: i32,
        attribute: &Attribute<'_>,
        was_moving: bool,
    ) {
        // While replicas move, some are counted twice.
        let Some(asked) = spec.replication_factor.filter(|_| topic.moving == 0) else {
            return;
        };
        let is = topic.replication_factor;
        let is_put_right =
            attribute.is_put_right(|before| before.replication_factor != spec.replication_factor);
        if is == asked && !(was_moving && is_put_right) {
            return;
        }
        if !is_put_right {
            self.drift.push(Difference::ReplicationFactor { is, asked });
        } else if asked > brokers {
            self.obstacles
                .push(Obstacle::NotEnoughBrokers { brokers, asked });
        } else {
            self.steps.push(Step::MoveReplicas(asked));
        }
    }
}

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;
