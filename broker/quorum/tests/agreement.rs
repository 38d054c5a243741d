//! Three nodes agree, lose their leader, and come back from their disks.

mod common;

use std::time::Duration;

use common::{Cluster, Node, propose_all, until};
use fjord_quorum::{FoundError, ProposeError, Role};

#[test]
fn three_nodes_take_the_same_commands_in_the_same_order_whoever_proposes() {
    let cluster = Cluster::founded();
    let leader = cluster.node(cluster.leader());
    let follower = cluster.node(cluster.followers()[0]);
    let mut commands = propose_all(leader, 0..10);
    commands.extend(propose_all(follower, 10..20));
    cluster.agree_on(&commands);
    let all: Vec<_> = cluster.up().map(|node| node.recorded().all()).collect();
    assert!(
        all.iter().all(|of| *of == all[0]),
        "also the same positions"
    );

    let proposed = follower.propose("the last one").unwrap();
    assert_eq!(&proposed.reply[..], b"21");
    assert_eq!(proposed.position.term, leader.state().term);
    let read = follower.read_index().unwrap();
    assert!(read >= proposed.position.index);
    assert_eq!(
        follower.recorded().commands().len(),
        21,
        "a read sees what was committed"
    );
}

#[test]
fn proposals_from_many_tasks_share_syncs() {
    let cluster = Cluster::founded();
    let leader = cluster.node(cluster.leader());
    let before = leader.quorum().metrics();
    let calls: Vec<_> = (0..200)
        .map(|number| leader.call(async move |quorum| quorum.propose(number.to_string()).await))
        .collect();
    for call in calls {
        call.recv().unwrap().unwrap();
    }
    let after = leader.quorum().metrics();
    assert_eq!(after.appended_entries - before.appended_entries, 200);
    assert!(after.syncs - before.syncs < 100, "{before:?} {after:?}");
}

#[test]
fn a_proposal_of_a_node_that_does_not_lead_in_that_term_names_the_leader() {
    let cluster = Cluster::founded();
    let (leader, followers) = (cluster.leader(), cluster.followers());
    let term = cluster.node(leader).state().term;
    let propose = |node: &Node, term| {
        node.run(async move |quorum| quorum.propose_here(term, "decided here").await)
    };
    let refused = propose(cluster.node(followers[0]), term).unwrap_err();
    assert_eq!(
        refused,
        ProposeError::NotLeader {
            leader: Some(leader)
        }
    );
    assert_eq!(
        refused.to_string(),
        format!("this node is not the leader, node {leader} is")
    );
    let refused = propose(cluster.node(leader), term - 1).unwrap_err();
    assert!(
        matches!(refused, ProposeError::NotLeader { .. }),
        "{refused}"
    );
    let proposed = propose(cluster.node(leader), term).unwrap();
    assert_eq!(proposed.position.term, term);
    cluster.agree_on(&["decided here".to_owned()]);
}

#[test]
fn a_killed_leader_is_replaced_and_nothing_committed_is_lost() {
    let mut cluster = Cluster::founded();
    let mut commands = Vec::new();
    for round in 0..5 {
        let leader = cluster.leader();
        commands.extend(propose_all(
            cluster.node(leader),
            round * 10..round * 10 + 10,
        ));
        let other = if leader == 1 { 2 } else { 1 };
        let term = cluster.node(other).state().term;
        cluster.node_mut(leader).kill();
        until("there is a new leader", || {
            let state = cluster.node(other).state();
            state.term > term && state.leader.is_some()
        });
        commands.extend(propose_all(cluster.node(other), 1000 + round..1001 + round));
        cluster.node_mut(leader).start();
        cluster.agree_on(&commands);
    }
}

#[test]
fn all_nodes_come_back_from_their_disks() {
    let mut cluster = Cluster::founded();
    let commands = propose_all(cluster.node(1), 0..50);
    let term = cluster.node(1).state().term;
    for node in cluster.nodes.values_mut() {
        node.kill();
    }
    for node in cluster.nodes.values_mut() {
        node.start();
        assert_eq!(node.quorum().cluster_id().as_deref(), Some(common::CLUSTER));
    }
    let leader = cluster.leader();
    cluster.agree_on(&commands);
    assert!(
        cluster.node(leader).state().term > term,
        "a restarted leader must be elected again"
    );
    let voters = cluster.addresses();
    let again = cluster
        .node(leader)
        .run(async move |quorum| quorum.found(common::CLUSTER, &voters).await);
    assert_eq!(again, Err(FoundError::AlreadyFounded(leader)));
}

#[test]
fn a_node_that_was_away_takes_what_it_missed() {
    let mut cluster = Cluster::founded();
    let away = cluster.followers()[0];
    cluster.node_mut(away).kill();
    let commands = propose_all(cluster.node(cluster.leader()), 0..700);
    cluster.node_mut(away).start();
    cluster.agree_on(&commands);
    assert_eq!(
        cluster.node(away).recorded().restores(),
        0,
        "from the log, not a snapshot"
    );
}

#[test]
fn without_a_majority_nothing_is_committed_and_nothing_is_read() {
    let mut cluster = Cluster::founded();
    let commands = propose_all(cluster.node(1), 0..1);
    let followers = cluster.followers();
    for id in &followers {
        cluster.node_mut(*id).kill();
    }
    let leader = cluster.up().next().unwrap();
    let refused = leader.propose("alone").unwrap_err();
    assert!(
        matches!(
            refused,
            ProposeError::NoLeader | ProposeError::OutcomeUnknown(_)
        ),
        "{refused}"
    );
    assert!(leader.read_index().is_err());
    assert_eq!(leader.recorded().commands(), commands);
    let silence = leader.quorum().metrics().since_majority.unwrap();
    assert!(silence > Duration::from_secs(1), "{silence:?}");
    until("it does not lead any more", || {
        leader.state().leader.is_none()
    });
    assert_ne!(leader.state().role, Role::Leader);
    for id in &followers {
        cluster.node_mut(*id).start();
    }
    // What was proposed in vain may be committed yet: its outcome was unknown.
    let leader = cluster.leader();
    propose_all(cluster.node(leader), 1..2);
}

#[test]
fn a_node_that_was_shut_down_says_so_and_the_others_go_on() {
    let mut cluster = Cluster::founded();
    let leader = cluster.leader();
    let node = cluster.node(leader);
    node.run(async move |quorum| quorum.shutdown().await);
    until("it says so", || node.state().role == Role::Stopped);
    node.propose("too late").unwrap_err();
    cluster.node_mut(leader).kill();
    let next = cluster.leader_but(leader);
    let commands = propose_all(cluster.node(next), 0..3);
    cluster.node_mut(leader).start();
    cluster.agree_on(&commands);
}
