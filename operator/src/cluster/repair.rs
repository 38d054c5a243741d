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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn running() -> Broker {
        Broker {
            ready: true,
            ..Broker::default()
        }
    }

    fn lost(since_second: i64) -> Broker {
        Broker {
            loss: Some(Loss {
                why: "gone".to_owned(),
                since: Timestamp::from_second(since_second).unwrap(),
                doubt: None,
            }),
            ..Broker::default()
        }
    }

    /// Three brokers at second 1,000, of which 1 is lost since second 0 and fenced.
    fn one_lost() -> Seen {
        Seen {
            wanted: 3,
            pods: 3,
            brokers: [(0, running()), (1, lost(0)), (2, running())].into(),
            said: Some(rollout::Brokers {
                leader: Some(0),
                out_of_sync: [(0, 0), (1, 9), (2, 0)].into(),
                fenced: vec![1],
            }),
            now: Timestamp::from_second(1000).unwrap(),
            after_seconds: 300,
        }
    }

    #[test]
    fn a_lost_broker_is_replaced_once_it_is_surely_lost() {
        let mut seen = one_lost();
        assert_eq!(candidate(&seen), Some(1));
        assert_eq!(next(&seen, 1, &[]), Step::Replace);
        seen.after_seconds = 1001;
        assert_eq!(next(&seen, 1, &[]), Step::Wait);
        seen.brokers.get_mut(&1).unwrap().asked = true;
        assert_eq!(next(&seen, 1, &[]), Step::Replace);
        seen.brokers.insert(1, running());
        assert_eq!(candidate(&seen), None);
    }

    #[test]
    fn what_blocks_is_told_by_name() {
        let check = |change: fn(&mut Seen), expected: &str| {
            let mut seen = one_lost();
            change(&mut seen);
            let step = next(&seen, 1, &[]);
            let told = |step: &Step| match step {
                Step::Blocked(told) => told.join("; "),
                other => format!("{other:?}"),
            };
            assert!(told(&step).contains(expected), "{step:?}");
        };
        let doubt = |seen: &mut Seen| {
            let loss = seen.brokers.get_mut(&1).unwrap().loss.as_mut();
            loss.unwrap().doubt = Some("perhaps".to_owned());
        };
        check(doubt, "perhaps");
        check(|seen| seen.said = None, "do not answer");
        check(
            |seen| seen.said.as_mut().unwrap().fenced.clear(),
            "still hear",
        );
        check(
            |seen| seen.brokers.get_mut(&1).unwrap().deleting = true,
            "delete the Node",
        );
        check(
            |seen| seen.brokers.insert(2, lost(900)).map_or((), drop),
            "2 is not ready",
        );
        check(|seen| seen.pods = 4, "broker 3 has no pod");
        let step = next(&one_lost(), 1, &["orders/3".to_owned()]);
        assert_eq!(step, Step::Blocked(vec!["orders/3".to_owned()]));
    }

    #[test]
    fn the_one_that_is_away_is_first() {
        let mut seen = one_lost();
        seen.brokers.get_mut(&0).unwrap().asked = true;
        assert_eq!(candidate(&seen), Some(1));
        seen.brokers.insert(1, running());
        assert_eq!(candidate(&seen), Some(0));
    }

    fn any_broker() -> impl Strategy<Value = Broker> {
        let often = || proptest::bool::weighted(0.8);
        let seldom = || proptest::bool::weighted(0.1);
        let loss = proptest::option::weighted(0.3, (0..2000_i64, seldom()));
        (often(), seldom(), seldom(), loss).prop_map(|(ready, deleting, asked, loss)| Broker {
            ready: ready && loss.is_none(),
            deleting,
            asked,
            loss: loss.map(|(since, doubted)| Loss {
                doubt: doubted.then(|| "perhaps".to_owned()),
                ..lost(since).loss.unwrap()
            }),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Nothing is missing elsewhere, nothing is at risk, and the loss is certain.
        #[test]
        fn only_when_all_others_are_well(
            brokers in proptest::collection::vec(any_broker(), 3..5),
            pods in 3..5_i32,
            behind in proptest::collection::btree_map(0..5_i32, 0..2_i32, 3..5),
            fenced in proptest::collection::vec(0..5_i32, 0..3),
            answers in proptest::bool::weighted(0.9),
            risks in proptest::collection::vec(Just("orders/1".to_owned()), 0..2),
        ) {
            let brokers: BTreeMap<i32, Broker> = (0..).zip(brokers).collect();
            let said = rollout::Brokers { leader: None, out_of_sync: behind.clone(), fenced: fenced.clone() };
            let seen = Seen {
                wanted: 3, pods, brokers: brokers.clone(), said: answers.then_some(said),
                ..one_lost()
            };
            let Some(id) = candidate(&seen) else { return Ok(()) };
            if next(&seen, id, &risks) != Step::Replace {
                return Ok(());
            }
            let replaced = &brokers[&id];
            prop_assert!(id < 3 && answers && risks.is_empty() && !replaced.deleting);
            for other in (0..pods).filter(|other| *other != id) {
                let broker = &brokers[&other];
                prop_assert!(broker.ready && !broker.deleting && broker.loss.is_none());
                prop_assert!(behind[&other] == 0 && !fenced.contains(&other));
            }
            if !replaced.asked {
                let loss = replaced.loss.as_ref().unwrap();
                prop_assert!(loss.since.as_second() <= 700 && loss.doubt.is_none());
                prop_assert!(fenced.contains(&id) || !behind.contains_key(&id));
            }
        }

        /// As soon as one is replaced, and until it has caught up, no other one is.
        #[test]
        fn never_two_at_once(
            brokers in proptest::collection::vec(any_broker(), 3),
            replicas in 1..9_i32,
            stage in 0..4,
        ) {
            let brokers: BTreeMap<i32, Broker> = (0..).zip(brokers).collect();
            let away = brokers.iter().filter(|(_, broker)| broker.loss.is_some());
            let fenced: Vec<i32> = away.map(|(id, _)| *id).collect();
            let said = rollout::Brokers { fenced, out_of_sync: (0..3).map(|id| (id, 0)).collect(), leader: None };
            let mut seen = Seen { brokers, said: Some(said), ..one_lost() };
            let Some(first) = candidate(&seen) else { return Ok(()) };
            if next(&seen, first, &[]) != Step::Replace {
                return Ok(());
            }
            let stopping = Broker { deleting: true, ..seen.brokers[&first].clone() };
            let said = seen.said.as_mut().unwrap();
            said.fenced.push(first);
            match stage {
                0 => { seen.brokers.insert(first, stopping); }
                1 => { seen.brokers.remove(&first); }
                2 => { seen.brokers.insert(first, Broker::default()); }
                _ => {
                    seen.brokers.insert(first, running());
                    said.fenced.retain(|id| *id != first);
                    said.out_of_sync.insert(first, replicas);
                }
            }
            let second = candidate(&seen);
            let step = second.map(|second| next(&seen, second, &[]));
            prop_assert_ne!(step, Some(Step::Replace));
        }
    }
}
