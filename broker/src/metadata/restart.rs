//! What is at risk while brokers restart: a pure function of the metadata and of who votes in its quorum.
//!
//! A risk is told only if waiting could end it. A partition with no more replicas than `min.insync.replicas` cannot be
//! spared by any order of restarts, so it must not keep brokers from ever being restarted; neither can the vote of
//! the only voter.
//!
//! Brokers that come back with empty disks are another matter: whatever only they have is told, also of those that
//! have been down for long.

use std::collections::BTreeSet;

use super::{
    Image,
    commands::{ElectionDefaults, min_in_sync_replicas},
};

/// Something that keeps brokers from being restarted safely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Risk {
    /// The quorum would have no majority.
    NoQuorum {
        /// Voters that would run.
        left: Vec<i32>,
        /// A majority.
        needed: usize,
    },
    /// A partition would be worse off than it may be.
    Partition {
        /// The topic's name.
        topic: String,
        /// The partition's index.
        index: usize,
        /// Replicas that would be in sync; if there are none, nobody could lead.
        left: Vec<i32>,
        /// `min.insync.replicas`.
        needed: usize,
    },
    /// No other replica of a partition is in sync: its records would be gone with the disks.
    LostRecords {
        /// The topic's name.
        topic: String,
        /// The partition's index.
        index: usize,
    },
}

/// The risks of restarting `brokers` at the same time, the worst first. `lost`: they come back with empty disks.
pub fn risks(
    image: &Image,
    brokers: &BTreeSet<i32>,
    lost: bool,
    voters: &[i32],
    defaults: ElectionDefaults,
) -> Vec<Risk> {
    let mut risks = Vec::from_iter(quorum_risk(image, brokers, lost, voters));
    let (mut leaderless, mut under_min) = (Vec::new(), Vec::new());
    for (topic, index, partition) in image.partitions() {
        let affected = |id: &i32| brokers.contains(id);
        if lost
            && partition.replicas.iter().any(affected)
            && partition.in_sync_replicas.iter().all(affected)
        {
            risks.push(Risk::LostRecords {
                topic: topic.name.to_string(),
                index,
            });
            continue;
        }
        if !partition.in_sync_replicas.iter().any(affected) {
            continue;
        }
        let needed = min_in_sync_replicas(image, topic, partition.replicas.len(), defaults);
        let left = remaining(&partition.in_sync_replicas, brokers);
        let risk = |left| Risk::Partition {
            topic: topic.name.to_string(),
            index,
            left,
            needed,
        };
        match left.len() {
            0 if partition.replicas.len() > 1 => leaderless.push(risk(left)),
            count if count < needed && needed < partition.replicas.len() => {
                under_min.push(risk(left));
            }
            _ => {}
        }
    }
    risks.append(&mut leaderless);
    risks.append(&mut under_min);
    risks
}

/// A voter that is only away comes back with its vote. One that has forgotten it has to be voted out by a majority.
fn quorum_risk(image: &Image, brokers: &BTreeSet<i32>, lost: bool, voters: &[i32]) -> Option<Risk> {
    let affected = |id: &&i32| brokers.contains(id);
    voters.iter().find(affected)?;
    let needed = voters.len() / 2 + 1;
    let runs = |id: &i32| image.broker(*id).is_some_and(|broker| !broker.fenced);
    let mut left = remaining(voters, brokers);
    left.retain(runs);
    (left.len() < needed && (lost || needed < voters.len()))
        .then_some(Risk::NoQuorum { left, needed })
}

fn remaining(ids: &[i32], without: &BTreeSet<i32>) -> Vec<i32> {
    let stays = |id: &i32| !without.contains(id);
    ids.iter().copied().filter(stays).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{
        commands::testing::{CONDITIONS, DEFAULTS, image_with_brokers, lost, new_topic},
        commands::{self, fence_broker},
        records::Record,
    };

    /// Four brokers, and a topic with one partition on these replicas.
    fn image(replicas: &[i32], min_in_sync: usize) -> Image {
        let image = image_with_brokers(4);
        let mut topic = new_topic("t");
        topic.assignments = vec![(0, replicas.to_vec())];
        topic.configs = vec![(
            "min.insync.replicas".to_owned(),
            Some(min_in_sync.to_string()),
        )];
        let created = commands::create_topics(&image, &[topic], DEFAULTS).unwrap();
        applied(&image, created.records)
    }

    fn applied(image: &Image, records: Vec<Record>) -> Image {
        records.into_iter().fold(image.clone(), Image::apply)
    }

    fn without(image: &Image, id: i32) -> Image {
        let epoch = image.broker(id).unwrap().epoch;
        let fenced = fence_broker(image, &lost(id, epoch), CONDITIONS.election).unwrap();
        applied(image, fenced.records)
    }

    fn check(image: &Image, brokers: &[i32], voters: &[i32]) -> Vec<String> {
        told(image, brokers, false, voters)
    }

    fn check_lost(image: &Image, brokers: &[i32], voters: &[i32]) -> Vec<String> {
        told(image, brokers, true, voters)
    }

    fn told(image: &Image, brokers: &[i32], lost: bool, voters: &[i32]) -> Vec<String> {
        let brokers = brokers.iter().copied().collect();
        let told = |risk: Risk| match risk {
            Risk::NoQuorum { left, needed } => format!("quorum {left:?} of {needed}"),
            Risk::Partition { left, needed, .. } => format!("t {left:?} of {needed}"),
            Risk::LostRecords { topic, index } => format!("{topic}/{index} lost"),
        };
        risks(image, &brokers, lost, voters, CONDITIONS.election)
            .into_iter()
            .map(told)
            .collect()
    }

    #[test]
    fn one_of_three_in_sync_replicas_may_restart_and_two_may_not() {
        let image = image(&[0, 1, 2], 2);
        assert!(check(&image, &[1], &[0, 1, 2]).is_empty());
        assert_eq!(check(&image, &[1, 3], &[0, 1, 3]), ["quorum [0] of 2"]);
        assert_eq!(check(&without(&image, 0), &[1], &[]), ["t [2] of 2"]);
        assert_eq!(
            check(&without(&without(&image, 0), 1), &[2], &[]),
            ["t [] of 2"]
        );
        assert!(check(&without(&image, 0), &[3], &[]).is_empty());
    }

    #[test]
    fn a_replica_that_is_not_in_sync_is_not_missed() {
        let image = without(&without(&image(&[0, 1, 2], 2), 0), 1);
        assert!(check(&image, &[0], &[]).is_empty());
    }

    #[test]
    fn what_no_order_of_restarts_could_spare_is_no_risk() {
        assert!(check(&image(&[1], 1), &[1], &[1]).is_empty());
        assert!(check(&image(&[1, 2], 2), &[1], &[1, 2]).is_empty());
    }

    #[test]
    fn voters_that_do_not_run_do_not_count() {
        let image = without(&image_with_brokers(4), 0);
        assert_eq!(check(&image, &[1], &[0, 1, 2]), ["quorum [2] of 2"]);
        assert!(check(&image, &[3], &[0, 1, 2]).is_empty());
    }

    #[test]
    fn what_only_a_lost_broker_has_is_told_whether_it_runs_or_not() {
        let in_sync = image(&[0, 1, 2], 2);
        assert!(check_lost(&in_sync, &[1], &[0, 1, 2]).is_empty());
        assert!(check_lost(&without(&in_sync, 1), &[1], &[0, 1, 2]).is_empty());
        let last = without(&without(&without(&in_sync, 0), 2), 1);
        assert!(check(&last, &[1], &[]).is_empty());
        assert_eq!(check_lost(&last, &[1], &[]), ["t/0 lost"]);
        let only = image(&[1], 1);
        assert_eq!(check_lost(&only, &[1], &[]), ["t/0 lost"]);
        assert_eq!(check_lost(&without(&only, 1), &[1], &[]), ["t/0 lost"]);
        assert!(check_lost(&without(&only, 1), &[2], &[]).is_empty());
    }

    #[test]
    fn a_forgotten_vote_takes_a_majority_of_the_others() {
        let image = without(&image_with_brokers(4), 1);
        assert!(check_lost(&image, &[1], &[0, 1, 2]).is_empty());
        assert_eq!(check_lost(&image, &[1], &[0, 1]), ["quorum [0] of 2"]);
        assert_eq!(check_lost(&image, &[1], &[1]), ["quorum [] of 1"]);
    }
}
