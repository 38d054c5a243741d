//! More brokers, or fewer: which step is next, and why none is. A function of values.
//!
//! ```text
//!   more:  pods ─► they join by themselves ─► votes, as many as there should be ─► a fair share of replicas
//!   fewer: cordoned ─► votes to others ─► replicas to others ─► pods go ─► forgotten by the others
//! ```
//!
//! Each step follows from what the brokers say, so that an operator that starts in the middle goes on, and a resource
//! that is changed back is followed back: brokers that stay after all are uncordoned.

use std::collections::{BTreeMap, BTreeSet};

use super::resources::config_map::voters;

/// A broker, as the others know it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Broker {
    /// Whether it is where its pod is. A broker's number alone does not say which pod it is in.
    pub in_its_pod: bool,
    /// Whether the others do without it.
    pub fenced: bool,
    /// Whether it is given no new replicas.
    pub cordoned: bool,
    /// How many replicas it has.
    pub replicas: i32,
}

/// What is known of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many brokers there should be.
    pub wanted: i32,
    /// How many pods the stateful set is to have now.
    pub pods: i32,
    /// The pods that are there.
    pub there: BTreeSet<i32>,
    /// The brokers.
    pub brokers: BTreeMap<i32, Broker>,
    /// Those that decide on metadata.
    pub voters: BTreeSet<i32>,
    /// How many partitions are on their way to other replicas.
    pub moving: usize,
    /// The highest replication factor of a topic.
    pub highest_replication: i32,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// There are as many brokers and voters as there should be.
    Nothing,
    /// Something has to happen first.
    Wait(String),
    /// What is asked for cannot be.
    Refuse(String),
    /// A broker is given no new replicas from now on.
    Cordon(i32),
    /// A broker is given replicas again.
    Uncordon(i32),
    /// A broker is to decide on metadata.
    AddVoter(i32),
    /// A broker is to decide no more.
    RemoveVoter(i32),
    /// These brokers give away what they have.
    Drain(Vec<i32>),
    /// The pods from `wanted` on go.
    RemovePods,
    /// A broker that is gone is forgotten.
    Unregister(i32),
}

/// The next step.
#[must_use]
pub fn next(seen: &Seen) -> Step {
    let stays = |broker: i32| broker < seen.wanted;
    if let Some((broker, _)) = seen
        .brokers
        .iter()
        .find(|(id, broker)| stays(**id) && broker.cordoned)
    {
        return Step::Uncordon(*broker);
    }
    let away = (0..seen.wanted.min(seen.pods)).find(|id| {
        let broker = seen.brokers.get(id);
        broker.is_none_or(|broker| broker.fenced)
    });
    if let Some(broker) = away {
        return Step::Wait(format!("broker {broker} is away"));
    }
    if seen.wanted < seen.pods {
        return fewer(seen);
    }
    votes(seen).unwrap_or_else(|| forget(seen))
}

fn fewer(seen: &Seen) -> Step {
    let wanted = seen.wanted;
    if seen.highest_replication > wanted {
        return Step::Refuse(format!(
            "there are topics with {} replicas, which {wanted} brokers cannot have",
            seen.highest_replication
        ));
    }
    let leaving = seen.brokers.range(wanted..seen.pods);
    let leaving: Vec<(i32, Broker)> = leaving.map(|(id, broker)| (*id, *broker)).collect();
    let stranger = |(_, broker): &&(i32, Broker)| !broker.in_its_pod && !broker.fenced;
    if let Some((id, _)) = leaving.iter().find(stranger) {
        return Step::Refuse(format!("broker {id} is not in the pod of that number"));
    }
    if let Some((id, _)) = leaving.iter().find(|(_, broker)| !broker.cordoned) {
        return Step::Cordon(*id);
    }
    if let Some(step) = votes(seen) {
        return step;
    }
    if seen.moving > 0 {
        return Step::Wait(format!("{} partitions move to other brokers", seen.moving));
    }
    let full = leaving.iter().filter(|(_, broker)| broker.replicas > 0);
    let full: Vec<i32> = full.map(|(id, _)| *id).collect();
    match full.is_empty() {
        true => Step::RemovePods,
        false => Step::Drain(full),
    }
}

/// A vote that has to be given or taken. Others get theirs before those that leave lose theirs.
fn votes(seen: &Seen) -> Option<Step> {
    let meant = usize::try_from(voters(seen.wanted)).unwrap_or_default();
    let staying: Vec<i32> = seen.voters.range(..seen.wanted).copied().collect();
    if staying.len() < meant {
        let candidate = seen
            .brokers
            .range(..seen.wanted)
            .find(|(id, broker)| !seen.voters.contains(id) && !broker.fenced && broker.in_its_pod);
        return Some(match candidate {
            Some((id, _)) => Step::AddVoter(*id),
            None => Step::Wait("waits for brokers that can have a vote".to_owned()),
        });
    }
    let leaving = seen.voters.range(seen.wanted..).next_back();
    let surplus = staying.get(meant..).and_then(<[i32]>::last);
    leaving.or(surplus).map(|id| Step::RemoveVoter(*id))
}

/// Brokers whose pods are gone for good are forgotten.
fn forget(seen: &Seen) -> Step {
    match seen.brokers.range(seen.wanted..).next() {
        None => Step::Nothing,
        Some((id, broker)) if broker.fenced && !seen.there.contains(id) => Step::Unregister(*id),
        Some((id, _)) => Step::Wait(format!("broker {id} stops")),
    }
}

/// By how many percent the fullest broker has more replicas than the mean. One replica more is no skew.
#[must_use]
pub fn skew_percent(replicas: &[i32]) -> i32 {
    let total: i64 = replicas.iter().map(|replicas| i64::from(*replicas)).sum();
    let count = i64::try_from(replicas.len()).unwrap_or(i64::MAX);
    let (least, most) = (replicas.iter().min(), replicas.iter().max());
    let (Some(least), Some(most)) = (least, most) else {
        return 0;
    };
    if most - least <= 1 || total == 0 {
        return 0;
    }
    let percent = (i64::from(*most) * count - total) * 100 / total;
    i32::try_from(percent).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A cluster that does what it is told, with `replicas` on each broker.
    fn cluster(pods: i32, wanted: i32, replicas: i32) -> Seen {
        let broker = Broker {
            in_its_pod: true,
            replicas,
            ..Broker::default()
        };
        Seen {
            wanted,
            pods,
            there: (0..pods).collect(),
            brokers: (0..pods).map(|id| (id, broker)).collect(),
            voters: (0..voters(pods)).collect(),
            moving: 0,
            highest_replication: 1,
        }
    }

    /// Does what the planner says, checking what must never be, until there is nothing to do.
    fn settle(mut seen: Seen) -> Result<Seen, TestCaseError> {
        for _ in 0..200 {
            let before = seen.clone();
            match next(&seen) {
                Step::Nothing => return Ok(seen),
                Step::Wait(reason) => {
                    seen.moving = 0;
                    for id in seen.pods..20 {
                        seen.there.remove(&id);
                        let Some(broker) = seen.brokers.get_mut(&id) else {
                            continue;
                        };
                        broker.fenced = true;
                    }
                    for id in 0..seen.pods {
                        let new = Broker {
                            in_its_pod: true,
                            ..Broker::default()
                        };
                        seen.brokers.entry(id).or_insert(new);
                    }
                    prop_assert_ne!(&before, &seen, "waits for ever: {}", reason);
                }
                Step::Refuse(reason) => return Err(TestCaseError::fail(reason)),
                Step::Cordon(id) => seen.brokers.get_mut(&id).unwrap().cordoned = true,
                Step::Uncordon(id) => seen.brokers.get_mut(&id).unwrap().cordoned = false,
                Step::AddVoter(id) => prop_assert!(seen.voters.insert(id)),
                Step::RemoveVoter(id) => {
                    prop_assert!(seen.voters.remove(&id));
                    prop_assert!(!seen.voters.is_empty());
                }
                Step::Drain(ids) => {
                    for id in ids {
                        prop_assert!(id >= seen.wanted);
                        seen.brokers.get_mut(&id).unwrap().replicas = 0;
                    }
                    seen.moving = 1;
                }
                Step::RemovePods => {
                    for (id, broker) in seen.brokers.range(seen.wanted..) {
                        prop_assert!(broker.cordoned && broker.replicas == 0);
                        prop_assert!(!seen.voters.contains(id));
                    }
                    prop_assert_eq!(seen.moving, 0);
                    seen.pods = seen.wanted;
                }
                Step::Unregister(id) => {
                    prop_assert!(!seen.there.contains(&id) && !seen.voters.contains(&id));
                    seen.brokers.remove(&id);
                }
            }
        }
        Err(TestCaseError::fail("never settles"))
    }

    proptest! {
        #[test]
        fn it_comes_to_what_is_wanted(from in 1..9_i32, to in 1..9_i32, back in 1..9_i32, stop_after in 0..30) {
            // On the way from one number to another one, the resource is changed once more.
            let mut seen = cluster(from.max(to), to, 3);
            for _ in 0..stop_after {
                match next(&seen) {
                    Step::Cordon(id) => seen.brokers.get_mut(&id).unwrap().cordoned = true,
                    Step::RemoveVoter(id) => { seen.voters.remove(&id); }
                    Step::AddVoter(id) => { seen.voters.insert(id); }
                    _ => break,
                }
            }
            seen.wanted = back;
            seen.pods = seen.pods.max(back);
            seen.there = (0..seen.pods).collect();
            let settled = settle(seen)?;
            prop_assert_eq!(settled.brokers.len(), usize::try_from(back).unwrap());
            prop_assert_eq!(settled.voters.len(), usize::try_from(voters(back)).unwrap());
            prop_assert!(settled.brokers.values().all(|broker| !broker.cordoned));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut seen = cluster(3, 1, 1);
        seen.highest_replication = 3;
        assert!(matches!(next(&seen), Step::Refuse(why) if why.contains("3 replicas")));
        let mut seen = cluster(3, 2, 1);
        seen.brokers.get_mut(&2).unwrap().in_its_pod = false;
        assert!(matches!(next(&seen), Step::Refuse(_)));
    }

    #[test]
    fn skew_is_told_in_percent() {
        assert_eq!(skew_percent(&[]), 0);
        assert_eq!(skew_percent(&[10, 10, 11]), 0);
        assert_eq!(skew_percent(&[10, 10, 0]), 50);
        assert_eq!(skew_percent(&[0, 0, 0]), 0);
    }
}
