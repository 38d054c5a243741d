//! Which brokers get the replicas of new partitions: a pure function of the brokers and their racks.
//!
//! As in Kafka, leaders go round the brokers with the racks taking turns, and the replicas of one
//! partition are on as many racks as there are. Among equals the broker is taken that has got the fewest
//! replicas or leaders of this placement, then that which had the fewest before.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A broker that may get replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The broker.
    pub broker_id: i32,
    /// Its rack; brokers without one share a rack of their own.
    pub rack: Option<String>,
    /// Whether it is fenced: it is taken only where there are not enough others, and never to lead.
    pub is_fenced: bool,
    /// Replicas that it has already.
    pub replica_count: usize,
    /// Partitions that it has already as their preferred leader.
    pub leader_count: usize,
}

/// Why no placement is possible; the messages are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PlacementError {
    /// Fewer brokers than replicas.
    #[error(
        "The target replication factor of {replication_factor} cannot be reached because only \
         {brokers} broker(s) are registered."
    )]
    TooFewBrokers {
        /// Replicas asked for.
        replication_factor: usize,
        /// Brokers there are.
        brokers: usize,
    },
    /// No broker that could lead.
    #[error("All brokers are currently fenced.")]
    AllFenced,
    /// A replication factor of 0.
    #[error("Invalid replication factor 0: the replication factor must be positive.")]
    NoReplicas,
}

/// Places `partitions` partitions of `replication_factor` replicas each. The first broker of a
/// partition leads it. `start` says where in the round of the brokers the first leader stands; the
/// number of partitions that exist already makes topics go on where the one before ended.
pub fn place(
    candidates: &[Candidate],
    partitions: usize,
    replication_factor: usize,
    start: usize,
) -> Result<Vec<Vec<i32>>, PlacementError> {
    if replication_factor == 0 {
        return Err(PlacementError::NoReplicas);
    }
    if candidates.len() < replication_factor {
        return Err(PlacementError::TooFewBrokers {
            replication_factor,
            brokers: candidates.len(),
        });
    }
    if candidates.iter().all(|candidate| candidate.is_fenced) {
        return Err(PlacementError::AllFenced);
    }
    let round = interleave_racks(candidates);
    let mut placed = vec![Placed::default(); round.len()];
    let placements = (0..partitions).map(|partition| {
        let turn = (start % round.len() + partition) % round.len();
        place_one(&round, &mut placed, turn, replication_factor)
    });
    Ok(placements.collect())
}

/// The brokers, the racks taking turns; within a rack by id.
fn interleave_racks(candidates: &[Candidate]) -> Vec<&Candidate> {
    let mut racks: BTreeMap<Option<&str>, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        racks
            .entry(candidate.rack.as_deref())
            .or_default()
            .push(candidate);
    }
    for rack in racks.values_mut() {
        rack.sort_by_key(|candidate| candidate.broker_id);
    }
    let longest = racks.values().map(Vec::len).max().unwrap_or(0);
    (0..longest)
        .flat_map(|turn| {
            racks
                .values()
                .filter_map(move |rack| rack.get(turn).copied())
        })
        .collect()
}

/// What one broker gets of this placement.
#[derive(Clone, Default)]
struct Placed {
    replicas: usize,
    leaders: usize,
}

fn place_one(
    round: &[&Candidate],
    placed: &mut [Placed],
    turn: usize,
    replication_factor: usize,
) -> Vec<i32> {
    // This placement is spread evenly first, since one topic is often all of the load; what does not
    // come out even goes to the brokers that have least.
    let leader = (0..round.len())
        .map(|distance| (turn + distance) % round.len())
        .filter(|place| !round[*place].is_fenced)
        .min_by_key(|place| (placed[*place].leaders, round[*place].leader_count))
        .expect("some broker is not fenced");
    let mut chosen = vec![leader];
    while chosen.len() < replication_factor {
        let replicas_on_rack = |place: usize| {
            chosen
                .iter()
                .filter(|other| round[**other].rack == round[place].rack)
                .count()
        };
        let next = (1..round.len())
            .map(|distance| (leader + distance) % round.len())
            .filter(|place| !chosen.contains(place))
            .min_by_key(|place| {
                let broker = round[*place];
                let already = (placed[*place].replicas, broker.replica_count);
                (broker.is_fenced, replicas_on_rack(*place), already)
            })
            .expect("there are at least as many brokers as replicas");
        chosen.push(next);
    }
    for place in &chosen {
        placed[*place].replicas += 1;
    }
    placed[leader].leaders += 1;
    chosen
        .into_iter()
        .map(|place| round[place].broker_id)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    fn cluster(racks: &[usize]) -> Vec<Candidate> {
        racks
            .iter()
            .enumerate()
            .map(|(id, rack)| Candidate {
                broker_id: i32::try_from(id).unwrap(),
                rack: (*rack > 0).then(|| format!("rack-{rack}")),
                is_fenced: false,
                replica_count: 0,
                leader_count: 0,
            })
            .collect()
    }

    #[test]
    fn one_broker_gets_everything() {
        assert_eq!(
            place(&cluster(&[0]), 3, 1, 7),
            Ok(vec![vec![0], vec![0], vec![0]])
        );
    }

    #[test]
    fn impossible_placements_say_why() {
        let error = place(&cluster(&[0]), 1, 3, 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "The target replication factor of 3 cannot be reached because only 1 broker(s) are registered."
        );
        assert_eq!(
            place(&cluster(&[0]), 1, 0, 0),
            Err(PlacementError::NoReplicas)
        );
    }

    #[test]
    fn equal_racks_share_replicas_evenly() {
        let brokers = cluster(&[1, 1, 2, 2, 3, 3]);
        let placements = place(&brokers, 60, 3, 0).unwrap();
        let mut counts: HashMap<i32, usize> = HashMap::new();
        for id in placements.iter().flatten() {
            *counts.entry(*id).or_default() += 1;
        }
        assert!(
            counts.values().all(|count| (29..=31).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn what_does_not_come_out_even_goes_to_the_broker_that_has_least() {
        let mut brokers = cluster(&[1, 2, 3]);
        brokers[0].leader_count = 5;
        brokers[1].leader_count = 4;
        brokers[0].replica_count = 9;
        brokers[1].replica_count = 2;
        brokers[2].replica_count = 9;
        assert_eq!(place(&brokers, 1, 2, 0), Ok(vec![vec![2, 1]]));
    }

    #[test]
    fn fenced_brokers_come_last_and_never_lead() {
        let mut brokers = cluster(&[1, 2, 3]);
        brokers[0].is_fenced = true;
        for placement in place(&brokers, 4, 2, 0).unwrap() {
            assert!(!placement.contains(&0), "{placement:?}");
        }
        for placement in place(&brokers, 4, 3, 0).unwrap() {
            assert_ne!(placement[0], 0);
        }
        for broker in &mut brokers {
            broker.is_fenced = true;
        }
        assert_eq!(place(&brokers, 1, 1, 0), Err(PlacementError::AllFenced));
    }

    proptest! {
        #[test]
        fn leaders_balance_replicas_differ_and_racks_spread(
            racks in proptest::collection::vec(0_usize..4, 1..12),
            partitions in 0_usize..40, replicas in 1_usize..5, start: usize,
        ) {
            let brokers = cluster(&racks);
            prop_assume!(replicas <= brokers.len());
            let placements = place(&brokers, partitions, replicas, start).unwrap();
            prop_assert_eq!(placements.len(), partitions);
            let mut leaders: HashMap<i32, usize> = HashMap::new();
            let rack_count = racks.iter().collect::<HashSet<_>>().len();
            for placement in &placements {
                *leaders.entry(placement[0]).or_default() += 1;
                let distinct: HashSet<i32> = placement.iter().copied().collect();
                prop_assert_eq!(distinct.len(), replicas);
                let used: HashSet<usize> =
                    placement.iter().map(|id| racks[usize::try_from(*id).unwrap()]).collect();
                prop_assert_eq!(used.len(), replicas.min(rack_count));
            }
            let most = leaders.values().max().copied().unwrap_or(0);
            prop_assert!(most <= partitions.div_ceil(brokers.len()));
        }
    }
}
