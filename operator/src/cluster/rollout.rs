//! Which broker is restarted next, and why none is. A function of values.
//!
//! One at a time, and never while another one is away or has not caught up; the leader of the quorum last, for
//! whoever restarts it first hands it over twice. A pod that cannot come up is replaced as soon as there is something
//! else to make it from: waiting for it would never end.

use std::collections::BTreeMap;

use fjord_client::proto::{CheckRestartResponse, RestartRisk, RestartRiskKind};

/// A broker's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its unique id.
    pub uid: String,
    /// Whether it serves clients.
    pub ready: bool,
    /// Whether it is on its way out.
    pub deleting: bool,
    /// Why it does not come up, if it does not.
    pub failing: Option<String>,
    /// In what it is not as it should be.
    pub difference: Vec<String>,
}

/// What the brokers say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brokers {
    /// The leader of the quorum.
    pub leader: Option<i32>,
    /// The brokers without which the others do, and how many replicas of each are not in sync.
    pub out_of_sync: BTreeMap<i32, i32>,
    /// The brokers without which the others do.
    pub fenced: Vec<i32>,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// All brokers are as they should be.
    Nothing,
    /// Something has to happen first.
    Wait(String),
    /// A broker is restarted.
    Restart {
        /// Which.
        broker: i32,
        /// The pod that is meant.
        uid: String,
        /// Whether it serves, so that the others have to be asked first whether they can do without it.
        serves: bool,
        /// Why.
        difference: Vec<String>,
    },
}

/// The next step. `brokers`: what they say; nothing if none answers.
#[must_use]
pub fn next(pods: &BTreeMap<i32, Pod>, replicas: i32, brokers: Option<&Brokers>) -> Step {
    let outdated = |pod: &Pod| !pod.difference.is_empty();
    if !pods.values().any(outdated) {
        return Step::Nothing;
    }
    if let Some((broker, _)) = pods.iter().find(|(_, pod)| pod.deleting) {
        return Step::Wait(format!("broker {broker} stops"));
    }
    if let Some(broker) = (0..replicas).find(|broker| !pods.contains_key(broker)) {
        return Step::Wait(format!("broker {broker} has no pod"));
    }
    let restart = |broker: i32, pod: &Pod| Step::Restart {
        broker,
        uid: pod.uid.clone(),
        serves: pod.ready,
        difference: pod.difference.clone(),
    };
    let hopeless = |pod: &Pod| !pod.ready && pod.failing.is_some();
    if let Some((broker, pod)) = pods.iter().find(|(_, pod)| hopeless(pod) && outdated(pod)) {
        return restart(*broker, pod);
    }
    if let Some((broker, pod)) = pods.iter().find(|(_, pod)| !pod.ready) {
        let why = pod.failing.as_deref().unwrap_or("it starts");
        return Step::Wait(format!("broker {broker} is not ready: {why}"));
    }
    let Some(brokers) = brokers else {
        return Step::Wait("the brokers do not answer".to_owned());
    };
    let ours = |broker: &&i32| pods.contains_key(broker);
    if let Some(broker) = brokers.fenced.iter().find(ours) {
        return Step::Wait(format!("the others do without broker {broker}"));
    }
    let behind = brokers.out_of_sync.iter();
    let mut behind = behind.filter(|(broker, replicas)| ours(broker) && **replicas > 0);
    if let Some((broker, replicas)) = behind.next() {
        return Step::Wait(format!(
            "broker {broker} catches up: {replicas} of its replicas are not in sync"
        ));
    }
    let mut outdated: Vec<_> = pods.iter().filter(|(_, pod)| outdated(pod)).collect();
    outdated.sort_by_key(|(broker, _)| (brokers.leader == Some(**broker), **broker));
    match outdated.first() {
        Some((broker, pod)) => restart(**broker, pod),
        None => Step::Nothing,
    }
}

/// What would be at risk, in words; nothing if the brokers can be restarted.
#[must_use]
pub fn risks(check: &CheckRestartResponse) -> Vec<String> {
    let mut told: Vec<String> = check.risks.iter().map(risk).collect();
    let total = usize::try_from(check.risk_count).unwrap_or_default();
    if total > told.len() {
        told.push(format!("{} more", total - told.len()));
    }
    told
}

fn risk(risk: &RestartRisk) -> String {
    let partition = format!("{}/{}", risk.topic, risk.partition);
    let (left, needed) = (risk.left.len(), risk.needed);
    match risk.kind() {
        RestartRiskKind::NoQuorum => {
            format!("the quorum would have {left} voters of {needed} that it needs")
        }
        RestartRiskKind::NoLeader => format!("{partition} would have no leader"),
        RestartRiskKind::LostRecords => {
            format!("{partition} has no other replica in sync, and would lose records")
        }
        RestartRiskKind::UnderMinInSync | RestartRiskKind::Unspecified => {
            format!("{partition} would have {left} replicas in sync of {needed} that it needs")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pod(ready: bool, failing: bool, outdated: bool) -> Pod {
        Pod {
            uid: "u".to_owned(),
            ready,
            deleting: false,
            failing: failing.then(|| "CrashLoopBackOff".to_owned()),
            difference: outdated
                .then(|| "image: 1 -> 2".to_owned())
                .into_iter()
                .collect(),
        }
    }

    fn restarted(step: &Step) -> Option<i32> {
        match step {
            Step::Restart { broker, .. } => Some(*broker),
            _ => None,
        }
    }

    #[test]
    fn the_leader_of_the_quorum_is_last() {
        let mut pods: BTreeMap<i32, Pod> = (0..3).map(|id| (id, pod(true, false, true))).collect();
        let brokers = Brokers {
            leader: Some(0),
            ..Brokers::default()
        };
        for expected in [1, 2, 0] {
            let step = next(&pods, 3, Some(&brokers));
            assert_eq!(restarted(&step), Some(expected));
            pods.insert(expected, pod(true, false, false));
        }
        assert_eq!(next(&pods, 3, Some(&brokers)), Step::Nothing);
    }

    #[test]
    fn what_cannot_come_up_is_replaced_first_and_only_that() {
        let pods = [
            (0, pod(true, false, true)),
            (1, pod(false, true, true)),
            (2, pod(true, false, true)),
        ];
        let step = next(&pods.clone().into(), 3, None);
        assert_eq!(restarted(&step), Some(1));
        let mut pods = BTreeMap::from(pods);
        pods.insert(1, pod(false, true, false));
        let step = next(&pods, 3, Some(&Brokers::default()));
        assert!(matches!(step, Step::Wait(reason) if reason.contains("CrashLoopBackOff")));
    }

    /// Mostly well, or else nobody would ever be restarted.
    fn any_pod() -> impl Strategy<Value = Pod> {
        let mostly = proptest::bool::weighted(0.85);
        let seldom = proptest::bool::weighted(0.05);
        (mostly, any::<bool>(), any::<bool>(), seldom).prop_map(
            |(ready, failing, outdated, deleting)| Pod {
                deleting,
                ..pod(ready, failing && !ready, outdated)
            },
        )
    }

    proptest! {
        /// A broker that serves is restarted only while all others are there and have caught up.
        #[test]
        fn one_at_a_time(
            pods in proptest::collection::vec(any_pod(), 4..6),
            leader in proptest::option::of(0..5_i32),
            behind in proptest::collection::btree_map(0..7_i32, 0..2_i32, 0..2),
            fenced in proptest::collection::vec(0..7_i32, 0..2),
            answers in any::<bool>(),
        ) {
            let pods: BTreeMap<i32, Pod> = (0..).zip(pods).collect();
            let brokers = Brokers { leader, out_of_sync: behind.clone(), fenced: fenced.clone() };
            let step = next(&pods, 5, answers.then_some(&brokers));
            if let Step::Restart { broker, serves, difference, .. } = step {
                prop_assert!(!difference.is_empty());
                prop_assert_eq!(serves, pods[&broker].ready);
                prop_assert!(pods.values().all(|pod| !pod.deleting));
                prop_assert_eq!(pods.len(), 5);
                if serves {
                    prop_assert!(answers);
                    prop_assert!(pods.values().all(|pod| pod.ready));
                    prop_assert!(behind.iter().all(|(id, n)| *n == 0 || !pods.contains_key(id)));
                    prop_assert!(fenced.iter().all(|id| !pods.contains_key(id)));
                } else {
                    prop_assert!(pods[&broker].failing.is_some());
                }
            }
        }
    }
}
