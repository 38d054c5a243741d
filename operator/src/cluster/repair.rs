//! Which broker is replaced by an empty one, and why none is. A function of values.
//!
//! What was on its volume is lost to it, but not to the cluster: the others have it, and a broker that comes back with
//! an empty volume copies it from them. So nothing may be missing anywhere else, and nothing may be only there. Where
//! two brokers are lost at once, a person decides.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use super::{lost::Loss, rollout};

/// A broker that has a pod and a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Broker {
    /// Whether it serves clients.
    pub ready: bool,
    /// Whether its pod is on its way out.
    pub deleting: bool,
    /// Whether somebody says that it is to be replaced.
    pub asked: bool,
    /// Whether its volume is lost.
    pub loss: Option<Loss>,
}

/// What is known of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How many brokers there should be.
    pub wanted: i32,
    /// How many pods the stateful set is to have now.
    pub pods: i32,
    /// The brokers, by number.
    pub brokers: BTreeMap<i32, Broker>,
    /// What the brokers say; nothing if none answers.
    pub said: Option<rollout::Brokers>,
    /// The time.
    pub now: Timestamp,
    /// How many seconds a volume has to be out of reach before it is lost.
    pub after_seconds: i32,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The volume may come back.
    Wait,
    /// The cluster cannot do without what the broker has, or might have.
    Blocked(Vec<String>),
    /// The broker is replaced by an empty one.
    Replace,
}

/// The broker that is to be replaced, or may have to be, if there is one. One that is away comes before one that runs:
/// for as long as it is away, no other one could be replaced.
#[must_use]
pub fn candidate(seen: &Seen) -> Option<i32> {
    let stays = seen.brokers.range(..seen.wanted);
    let candidates = stays.filter(|(_, broker)| broker.asked || broker.loss.is_some());
    let urgency = |(id, broker): &(&i32, &Broker)| {
        let doubtful = broker
            .loss
            .as_ref()
            .is_some_and(|loss| loss.doubt.is_some());
        (
            broker.ready,
            !broker.asked,
            !is_due(seen, broker),
            doubtful,
            **id,
        )
    };
    candidates.min_by_key(urgency).map(|(id, _)| *id)
}

/// What is done about the broker. `risks`: what the brokers say would be at risk without it.
#[must_use]
pub fn next(seen: &Seen, id: i32, risks: &[String]) -> Step {
    let Some(broker) = seen.brokers.get(&id) else {
        return Step::Wait;
    };
    if !is_due(seen, broker) {
        return Step::Wait;
    }
    let mut blockers = about(seen, id, broker);
    blockers.extend(risks.iter().cloned());
    let others = (0..seen.pods).filter(|other| *other != id);
    blockers.extend(others.filter_map(|other| missing(seen, other)));
    match blockers.is_empty() {
        true => Step::Replace,
        false => Step::Blocked(blockers),
    }
}

fn is_due(seen: &Seen, broker: &Broker) -> bool {
    let after = i64::from(seen.after_seconds);
    let gone = |loss: &Loss| seen.now.as_second() - loss.since.as_second() >= after;
    broker.asked || broker.loss.as_ref().is_some_and(gone)
}

/// What keeps the broker from being replaced that is about itself.
fn about(seen: &Seen, id: i32, broker: &Broker) -> Vec<String> {
    let mut blockers = Vec::new();
    if broker.deleting {
        blockers.push("its pod stops; if its node is gone for ever, delete the Node".to_owned());
    }
    if seen.said.is_none() {
        blockers.push("the brokers do not answer".to_owned());
    }
    if !broker.asked {
        let doubt = broker.loss.as_ref().and_then(|loss| loss.doubt.clone());
        blockers.extend(doubt);
        let fenced = |said: &rollout::Brokers| !is_known(said, id) || said.fenced.contains(&id);
        if !seen.said.as_ref().is_none_or(fenced) {
            blockers.push("the others still hear from it".to_owned());
        }
    }
    blockers
}

/// What is missing of another broker.
fn missing(seen: &Seen, id: i32) -> Option<String> {
    let Some(broker) = seen.brokers.get(&id) else {
        return Some(format!("broker {id} has no pod or no claim"));
    };
    if broker.deleting {
        return Some(format!("broker {id} stops"));
    }
    if !broker.ready {
        return Some(format!("broker {id} is not ready"));
    }
    let said = seen.said.as_ref()?;
    if said.fenced.contains(&id) || !is_known(said, id) {
        return Some(format!("the others do without broker {id}"));
    }
    let behind = said.out_of_sync.get(&id).filter(|behind| **behind > 0)?;
    Some(format!(
        "broker {id} catches up: {behind} of its replicas are not in sync"
    ))
}

fn is_known(said: &rollout::Brokers, id: i32) -> bool {
    said.out_of_sync.contains_key(&id)
}
