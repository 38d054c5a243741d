//! Leaders that hand over, and leaders that are cut off.

mod common;

use std::time::{Duration, Instant};

use common::{Cluster, Disk, Network, propose_all, until};
use fjord_quorum::{ProposeError, QuorumConfig, ReadError};

#[test]
fn leadership_is_handed_over_at_once_and_nothing_is_lost() {
    let cluster = Cluster::founded();
    let mut commands = propose_all(cluster.node(1), 0..5);
    for target in cluster.followers() {
        let leader = cluster.leader();
        let term = cluster.node(leader).state().term;
        cluster
            .node(leader)
            .run(async move |quorum| quorum.transfer_leader(Some(target)).await)
            .unwrap();
        let number = 100 + target;
        commands.extend(propose_all(cluster.node(leader), number..=number));
        assert_eq!(cluster.leader(), target);
        assert_eq!(cluster.node(target).state().term, term + 1);
    }
    // Whoever is furthest, asked of a node that does not lead.
    let old = cluster.leader();
    cluster
        .node(cluster.followers()[0])
        .run(async move |quorum| quorum.transfer_leader(None).await)
        .unwrap();
    assert_ne!(cluster.leader_but(old), old);
    commands.extend(propose_all(cluster.node(1), 5..10));
    cluster.agree_on(&commands);
}

#[test]
fn leadership_is_not_handed_to_a_node_without_a_vote() {
    let mut cluster = Cluster::founded();
    cluster.add_empty(4);
    let refused = cluster
        .node(cluster.leader())
        .run(async move |quorum| quorum.transfer_leader(Some(4)).await);
    assert!(refused.is_err());
}

fn cluster() -> Cluster {
    let config = QuorumConfig {
        call_timeout: Duration::from_secs(2),
        ..QuorumConfig::default()
    };
    Cluster::founded_on(config, |_| Disk::directory())
}

/// Cuts the leader off by `cut`, in which the others elect another one; then heals the network.
fn cut_off(cut: impl Fn(&Network, u64, u64)) -> Duration {
    let cluster = cluster();
    let mut commands = propose_all(cluster.node(1), 0..5);
    let (old, followers) = (cluster.leader(), cluster.followers());
    let term = cluster.node(old).state().term;
    let start = Instant::now();
    for other in &followers {
        cut(&cluster.network, old, *other);
    }
    let new = cluster.leader_but(old);
    let elected = start.elapsed();
    commands.extend(propose_all(cluster.node(followers[0]), 5..10));
    commands.extend(propose_all(cluster.node(followers[1]), 10..15));
    assert!(followers.contains(&new));

    let read = cluster.node(old).read_index();
    assert!(
        matches!(read, Err(ReadError::NoLeader | ReadError::Behind(_))),
        "a leader that was cut off read {read:?}"
    );
    let refused = cluster
        .node(old)
        .run(async move |quorum| quorum.propose_here(term, "of an old leader").await);
    let refused = refused.expect_err("an old leader committed nothing");
    assert!(
        matches!(
            refused,
            ProposeError::NotLeader { .. } | ProposeError::OutcomeUnknown(_)
        ),
        "{refused}"
    );

    cluster.network.heal();
    until("it follows", || {
        cluster.node(old).state().leader.is_some_and(|id| id != old)
    });
    commands.extend(propose_all(cluster.node(old), 15..20));
    cluster.agree_on(&commands);
    assert!(cluster.node(old).read_index().is_ok());
    elected
}

#[test]
fn a_leader_that_was_cut_off_is_replaced_reads_nothing_and_comes_back() {
    let elected = cut_off(|network, leader, other| {
        network.cut(leader, other);
        network.cut(other, leader);
    });
    eprintln!("cut off both ways, replaced after {elected:?}");
}

#[test]
fn a_leader_that_nobody_hears_is_replaced_reads_nothing_and_comes_back() {
    let elected = cut_off(Network::cut);
    eprintln!("not heard, replaced after {elected:?}");
}

#[test]
fn a_leader_that_hears_nobody_is_replaced_reads_nothing_and_comes_back() {
    let elected = cut_off(|network, leader, other| network.cut(other, leader));
    eprintln!("hears nobody, replaced after {elected:?}");
}

#[test]
fn a_follower_that_was_cut_off_does_not_disturb_the_leader_when_it_comes_back() {
    let cluster = cluster();
    let (leader, away) = (cluster.leader(), cluster.followers()[0]);
    let term = cluster.node(leader).state().term;
    for other in cluster.nodes.keys().copied().filter(|id| *id != away) {
        cluster.network.cut(away, other);
        cluster.network.cut(other, away);
    }
    let commands = propose_all(cluster.node(leader), 0..5);
    // For long enough to stand for election several times.
    std::thread::sleep(QuorumConfig::default().election_timeout_max * 4);
    cluster.network.heal();
    cluster.agree_on(&commands);
    let state = cluster.node(away).state();
    assert_eq!((state.leader, state.term), (Some(leader), term));
}
