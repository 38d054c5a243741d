use super::*;
use crate::metadata::records::LeaderRecoveryState;

const LAG: Duration = Duration::from_millis(1000);

/// Broker 1 leads replicas 1, 2 and 3, of which those in `in_sync_replicas` are in sync.
fn partition(partition_epoch: i32, in_sync_replicas: &[i32]) -> Partition {
    Partition {
        incarnation: 7,
        replicas: vec![1, 2, 3],
        in_sync_replicas: in_sync_replicas.to_vec(),
        leader: 1,
        leader_epoch: 5,
        partition_epoch,
        eligible_leader_replicas: Vec::new(),
        last_known_eligible_leader_replicas: Vec::new(),
        last_known_leader: -1,
        leader_recovery_state: LeaderRecoveryState::Recovered,
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
    }
}

fn leader(in_sync_replicas: &[i32], min_in_sync: usize) -> InSync {
    let start = Start {
        own_end: 10,
        epoch_start: 10,
        high_watermark: 8,
        now_ms: 0,
    };
    InSync::new(1, partition(0, in_sync_replicas), min_in_sync, start)
}

fn all_active(id: i32) -> Option<i64> {
    Some(i64::from(id) * 100)
}

fn ids(proposal: Option<Proposal>) -> Option<Vec<i32>> {
    let ids = |proposal: Proposal| proposal.in_sync.iter().map(|(id, _)| *id).collect();
    proposal.map(ids)
}

#[test]
fn the_high_watermark_is_the_least_end_of_the_in_sync_replicas() {
    let mut leader = leader(&[1, 2, 3], 2);
    assert_eq!(leader.high_watermark(), 8);
    assert!(
        !leader.follower_at(2, 200, 10, 1),
        "3 has not been heard of"
    );
    assert!(leader.follower_at(3, 300, 9, 1));
    assert_eq!(leader.high_watermark(), 9);
    assert!(!leader.is_settled());
    assert!(leader.follower_at(3, 300, 10, 2));
    assert!(leader.is_settled());
    assert!(!leader.own(12));
    leader.follower_at(2, 200, 12, 3);
    assert_eq!(leader.high_watermark(), 10);
}

#[test]
fn it_settles_when_what_was_under_way_at_the_election_has_ended() {
    let start = Start {
        own_end: 8,
        epoch_start: 10,
        high_watermark: 8,
        now_ms: 0,
    };
    for (end, high_watermark) in [(10, 10), (9, 9)] {
        let mut leader = InSync::new(1, partition(0, &[1]), 1, start);
        assert!(!leader.is_settled());
        assert!(leader.begun(end));
        assert!(leader.is_settled());
        assert_eq!(leader.high_watermark(), high_watermark);
    }
}

#[test]
fn it_counts_the_leaders_own_disk() {
    let mut leader = leader(&[1, 2], 1);
    leader.follower_at(2, 200, 15, 1);
    assert_eq!(leader.high_watermark(), 10);
    assert!(leader.own(15));
}

#[test]
fn it_never_goes_back() {
    let mut leader = leader(&[1, 2], 1);
    leader.follower_at(2, 200, 10, 1);
    leader.follower_begins(2, 200, 4, 2);
    assert_eq!(leader.high_watermark(), 10);
}

#[test]
fn it_stands_still_while_too_few_are_in_sync() {
    let mut leader = leader(&[1], 2);
    leader.own(20);
    assert_eq!(leader.high_watermark(), 8);
    assert!(!leader.has_enough());
    assert!(leader.set_min_in_sync(1));
    assert_eq!(leader.high_watermark(), 20);
}

#[test]
fn a_leader_alone_in_sync_does_not_stall() {
    let mut leader = leader(&[1], 1);
    assert_eq!(leader.high_watermark(), 10);
    assert!(leader.own(11));
}

#[test]
fn a_follower_that_does_not_catch_up_in_time_leaves() {
    let mut leader = leader(&[1, 2, 3], 1);
    leader.follower_at(2, 200, 10, 0);
    leader.follower_at(3, 300, 10, 0);
    leader.own(20);
    leader.follower_at(2, 200, 20, 500);
    assert_eq!(leader.propose(900, LAG, all_active), None);
    assert_eq!(ids(leader.propose(1600, LAG, all_active)), Some(vec![1, 2]));
}

#[test]
fn one_that_is_always_a_little_behind_stays() {
    let mut leader = leader(&[1, 2], 1);
    leader.follower_at(2, 200, 10, 0);
    for step in 1u64..100 {
        leader.own(10 + step * 10);
        // What the leader had a step ago.
        leader.follower_at(2, 200, step * 10, step * 500);
        assert_eq!(leader.propose(step * 500, LAG, all_active), None, "{step}");
    }
}

#[test]
fn one_that_was_never_heard_of_leaves_too() {
    let mut leader = leader(&[1, 2], 1);
    assert_eq!(leader.propose(900, LAG, all_active), None);
    assert_eq!(ids(leader.propose(1100, LAG, all_active)), Some(vec![1]));
}

#[test]
fn a_shrink_counts_only_once_it_is_committed() {
    let mut leader = leader(&[1, 2], 1);
    leader.own(20);
    assert!(leader.propose(1100, LAG, all_active).is_some());
    assert_eq!(leader.high_watermark(), 8);
    assert!(leader.committed(&partition(1, &[1])));
    assert_eq!(leader.high_watermark(), 20);
}

#[test]
fn an_addition_counts_as_soon_as_it_is_asked_for() {
    let mut leader = leader(&[1], 1);
    leader.follower_at(2, 200, 10, 0);
    assert_eq!(ids(leader.propose(0, LAG, all_active)), Some(vec![1, 2]));
    leader.own(20);
    assert_eq!(leader.high_watermark(), 10, "2 may be in sync already");
    leader.follower_at(2, 200, 15, 1);
    assert_eq!(leader.high_watermark(), 15);
}

#[test]
fn only_one_change_is_under_way() {
    let mut leader = leader(&[1], 1);
    leader.follower_at(2, 200, 10, 0);
    let proposal = leader.propose(0, LAG, all_active).unwrap();
    leader.follower_at(3, 300, 10, 0);
    assert_eq!(leader.propose(0, LAG, all_active), None);
    leader.refused(&proposal, Refusal::Refused, 0);
    assert_eq!(leader.propose(50, LAG, all_active), None, "not at once");
    let again = ids(leader.propose(150, LAG, all_active));
    assert_eq!(again, Some(vec![1, 2, 3]));
}

#[test]
fn what_may_have_been_committed_is_asked_for_again_and_counts_until_then() {
    let mut leader = leader(&[1], 1);
    leader.follower_at(2, 200, 10, 0);
    let proposal = leader.propose(0, LAG, all_active).unwrap();
    leader.refused(&proposal, Refusal::Unknown, 0);
    leader.own(20);
    assert_eq!(leader.high_watermark(), 10);
    assert_eq!(leader.propose(150, LAG, all_active), None);
    assert_eq!(leader.unsettled(150, all_active), Some(proposal));
}

#[test]
fn nobody_joins_below_the_high_watermark_or_the_start_of_the_epoch() {
    let mut leader = leader(&[1], 2);
    leader.follower_at(2, 200, 9, 0);
    assert_eq!(leader.high_watermark(), 8);
    assert_eq!(
        leader.propose(0, LAG, all_active),
        None,
        "the epoch began at 10"
    );
    leader.follower_at(2, 200, 10, 0);
    assert_eq!(ids(leader.propose(0, LAG, all_active)), Some(vec![1, 2]));
}

#[test]
fn nobody_joins_who_is_fenced_or_of_an_older_registration() {
    let mut leader = leader(&[1], 1);
    leader.follower_at(2, 199, 10, 0);
    leader.follower_at(3, 300, 10, 0);
    let without_3 = |id| (id != 3).then(|| i64::from(id) * 100);
    assert_eq!(leader.propose(0, LAG, without_3), None);
}

#[test]
fn a_restarted_follower_is_taken_at_its_new_word() {
    let mut leader = leader(&[1, 2], 1);
    leader.follower_at(2, 200, 10, 0);
    leader.own(20);
    leader.follower_at(2, 201, 3, 1);
    leader.follower_at(2, 200, 20, 2);
    assert_eq!(
        leader.high_watermark(),
        10,
        "the old self says nothing any more"
    );
}

#[test]
fn a_leader_that_recovers_says_when_it_is_done() {
    let mut recovering = partition(0, &[1]);
    recovering.leader_recovery_state = LeaderRecoveryState::Recovering;
    let start = Start {
        own_end: 10,
        epoch_start: 10,
        high_watermark: 0,
        now_ms: 0,
    };
    let mut leader = InSync::new(1, recovering, 1, start);
    let proposal = leader.propose(0, LAG, all_active).unwrap();
    assert_eq!(proposal.in_sync, [(1, 100)]);
}
