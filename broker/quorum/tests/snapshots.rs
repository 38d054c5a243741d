//! Snapshots: the log is purged after them, and nodes that are far behind get them instead of the log.

mod common;

use common::{Cluster, Disk, propose_all, until};
use fjord_quorum::{QuorumConfig, QuorumMetrics};

fn small() -> QuorumConfig {
    QuorumConfig {
        snapshot_after_entries: 50,
        keep_entries: 10,
        ..QuorumConfig::default()
    }
}

fn cluster() -> Cluster {
    Cluster::founded_on(small(), |_| Disk::directory())
}

/// Waits until the node's log begins after `index`.
fn purged(cluster: &Cluster, id: u64, index: u64) -> QuorumMetrics {
    let metrics = || cluster.node(id).quorum().metrics();
    until("the log is purged", || {
        metrics().purged_index >= Some(index)
    });
    metrics()
}

#[test]
fn the_log_is_purged_after_a_snapshot_and_a_restart_begins_with_it() {
    let mut cluster = cluster();
    let commands = propose_all(cluster.node(1), 0..170);
    for id in 1..=3 {
        let metrics = purged(&cluster, id, 100);
        assert!(metrics.snapshot_index >= Some(100), "{metrics:?}");
        assert!(metrics.purged_index < metrics.snapshot_index, "{metrics:?}");
    }
    for node in cluster.nodes.values_mut() {
        node.kill();
    }
    for node in cluster.nodes.values_mut() {
        node.start();
        assert!(node.recorded().restores() > 0, "from the snapshot");
    }
    cluster.agree_on(&commands);
}

#[test]
fn a_node_that_is_far_behind_gets_a_snapshot() {
    let mut cluster = cluster();
    let away = cluster.followers()[0];
    let mut commands = propose_all(cluster.node(1), 0..20);
    cluster.agree_on(&commands);
    cluster.node_mut(away).kill();
    let leader = cluster.leader_of_any();
    commands.extend(propose_all(cluster.node(leader), 20..170));
    purged(&cluster, leader, 100);
    cluster.node_mut(away).start();
    let before = cluster.node(away).recorded().restores();
    cluster.agree_on(&commands);
    assert!(
        cluster.node(away).recorded().restores() > before,
        "by a snapshot"
    );

    // What it was given is on its disk, and it can lead with it.
    cluster.node_mut(away).kill();
    cluster.node_mut(away).start();
    cluster.leader();
    cluster
        .node(away)
        .run(async move |quorum| quorum.transfer_leader(Some(away)).await)
        .unwrap();
    commands.extend(propose_all(cluster.node(away), 170..180));
    cluster.agree_on(&commands);
}

#[test]
fn a_new_node_gets_a_snapshot_of_many_pieces() {
    let mut cluster = cluster();
    let megabyte = "x".repeat(1 << 20);
    let mut commands: Vec<_> = (0..5).map(|number| format!("{number}{megabyte}")).collect();
    for command in &commands {
        cluster.node(1).propose(command).unwrap();
    }
    commands.extend(propose_all(cluster.node(1), 0..60));
    purged(&cluster, cluster.leader(), 20);
    cluster.add_empty(4);
    let address = cluster.node(4).address.to_string();
    cluster
        .node(1)
        .run(async move |quorum| quorum.add_voter(4, &address).await)
        .unwrap();
    commands.extend(propose_all(cluster.node(4), 60..65));
    cluster.agree_on(&commands);
    assert!(cluster.node(4).recorded().restores() > 0);
}

#[test]
fn a_snapshot_can_be_asked_for() {
    let cluster = Cluster::founded();
    propose_all(cluster.node(1), 0..5);
    let leader = cluster.node(cluster.leader());
    assert_eq!(leader.quorum().metrics().snapshot_index, None);
    leader
        .run(async move |quorum| quorum.snapshot().await)
        .unwrap();
    until("it is there", || {
        leader.quorum().metrics().snapshot_index >= Some(6)
    });
}
