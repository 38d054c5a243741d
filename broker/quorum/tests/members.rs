//! Who belongs to the quorum: joining, replacing, and not founding a second cluster.

mod common;

use std::collections::BTreeMap;

use common::{CLUSTER, Cluster, Disk, Node, propose_all, until};
use fjord_quorum::{ChangeError, FoundError, QuorumConfig, Role, StartError};

fn voters(cluster: &Cluster) -> Vec<u64> {
    let leader = cluster.node(cluster.leader());
    leader.state().voters.into_iter().collect()
}

#[test]
fn an_empty_node_joins_as_a_learner_and_then_as_a_voter() {
    let mut cluster = Cluster::founded();
    let mut commands = propose_all(cluster.node(1), 0..20);
    cluster.add_empty(4);
    let address = cluster.node(4).address.to_string();

    let (id, to) = (cluster.followers()[0], address.clone());
    cluster
        .node(id)
        .run(async move |quorum| quorum.add_learner(4, &to).await)
        .unwrap();
    until("it has all", || {
        cluster.node(4).recorded().commands() == commands
    });
    let state = cluster.node(4).state();
    assert_eq!(state.role, Role::Learner);
    assert_eq!(voters(&cluster), [1, 2, 3]);
    assert_eq!(state.members[&4].address, address);
    commands.extend(propose_all(cluster.node(4), 20..30));

    cluster
        .node(4)
        .run(async move |quorum| quorum.add_voter(4, &address).await)
        .unwrap();
    assert_eq!(voters(&cluster), [1, 2, 3, 4]);
    // Now three of four are a majority, and the new one is needed for it.
    let away = cluster.followers().into_iter().find(|id| *id != 4).unwrap();
    cluster.node_mut(away).kill();
    commands.extend(propose_all(cluster.node(4), 30..40));
    cluster.agree_on(&commands);
}

#[test]
fn a_voter_is_removed_and_the_rest_goes_on() {
    let cluster = Cluster::founded();
    let mut commands = propose_all(cluster.node(1), 0..5);
    let leader = cluster.leader();
    cluster
        .node(cluster.followers()[0])
        .run(async move |quorum| quorum.remove_voter(leader).await)
        .unwrap();
    let next = cluster.leader_but(leader);
    assert!(!cluster.node(next).state().members.contains_key(&leader));
    commands.extend(propose_all(cluster.node(next), 5..10));
    for node in cluster.up().filter(|node| node.id != leader) {
        until("it has all", || node.recorded().commands() == commands);
    }
}

#[test]
fn a_voter_that_is_lost_for_ever_is_replaced_by_an_empty_one() {
    let mut cluster = Cluster::founded();
    let mut commands = propose_all(cluster.node(1), 0..20);
    let (lost, helper) = (cluster.leader(), cluster.followers()[0]);
    cluster.nodes.remove(&lost);
    commands.extend(propose_all(cluster.node(helper), 20..30));
    cluster.add_empty(4);
    let address = cluster.node(4).address.to_string();
    cluster
        .node(helper)
        .run(async move |quorum| quorum.replace_voter(lost, 4, &address).await)
        .unwrap();
    let expected: Vec<_> = cluster.nodes.keys().copied().collect();
    assert_eq!(voters(&cluster), expected);
    assert!(!cluster.node(helper).state().members.contains_key(&lost));
    commands.extend(propose_all(cluster.node(4), 30..40));
    cluster.agree_on(&commands);
    // The new one's vote counts: without it there would be no majority.
    let away = cluster.followers().into_iter().find(|id| *id != 4).unwrap();
    cluster.node_mut(away).kill();
    commands.extend(propose_all(cluster.node(4), 40..50));
    cluster.agree_on(&commands);
}

#[test]
fn a_voter_that_comes_back_with_an_empty_disk_has_no_vote_until_it_is_replaced_by_itself() {
    let mut cluster = Cluster::founded();
    let mut commands = propose_all(cluster.node(1), 0..20);
    let wiped = cluster.followers()[0];
    let node = cluster.node_mut(wiped);
    node.kill();
    node.disk = Disk::directory();
    node.start();
    let address = node.address.to_string();
    commands.extend(propose_all(cluster.node(cluster.leader()), 20..30));

    // It would be the majority's second half, if it were taken for the voter that it was.
    let other = cluster
        .followers()
        .into_iter()
        .find(|id| *id != wiped)
        .unwrap();
    cluster.node_mut(other).kill();
    let leader = cluster.leader_of_any();
    assert!(
        cluster
            .node(leader)
            .propose("not with a forgetful voter")
            .is_err()
    );
    let state = cluster.node(wiped).state();
    assert_eq!((state.role, state.members.len()), (Role::Learner, 0));
    assert_eq!(cluster.node(wiped).recorded().commands(), [""; 0]);

    cluster.node_mut(other).start();
    cluster.leader();
    cluster
        .node(other)
        .run(async move |quorum| quorum.replace_voter(wiped, wiped, &address).await)
        .unwrap();
    let taken = cluster.node(wiped).recorded();
    until("it has all", || taken.commands().starts_with(&commands));
    assert_eq!(voters(&cluster), [1, 2, 3]);
}

#[test]
fn a_node_with_an_empty_disk_never_founds_a_second_cluster() {
    let mut cluster = Cluster::founded();
    propose_all(cluster.node(1), 0..1);
    cluster.add_empty(4);
    let all = cluster.addresses();
    let alone = BTreeMap::from([(4, all[&4].clone())]);
    let found = |addresses: BTreeMap<u64, String>, cluster_id: &'static str| {
        let found =
            async move |quorum: fjord_quorum::Quorum| quorum.found(cluster_id, &addresses).await;
        cluster.node(4).run(found)
    };
    let refused = found(all.clone(), CLUSTER).unwrap_err();
    assert!(
        matches!(refused, FoundError::AlreadyFounded(1)),
        "{refused}"
    );
    assert_eq!(
        found(alone.clone(), "another").unwrap_err(),
        FoundError::OtherCluster(CLUSTER.to_owned())
    );
    let others = BTreeMap::from([(1, all[&1].clone())]);
    assert_eq!(
        found(others, CLUSTER).unwrap_err(),
        FoundError::NotAVoter(4)
    );
    // Left alone, it waits, for longer than any election takes, and after a restart too.
    for _ in 0..2 {
        std::thread::sleep(QuorumConfig::default().election_timeout_max * 2);
        let state = cluster.node(4).state();
        assert_eq!(
            (state.role, state.term, state.leader),
            (Role::Learner, 0, None)
        );
        cluster.node_mut(4).kill();
        cluster.node_mut(4).start();
    }
}

#[test]
fn founding_needs_all_voters_and_can_be_tried_again() {
    let network = Default::default();
    let config = QuorumConfig {
        call_timeout: std::time::Duration::from_secs(1),
        ..QuorumConfig::default()
    };
    let one = Node::started(1, &config, &network);
    let mut two = Node::new(2, Disk::directory(), config.clone(), &network);
    two.cluster = None;
    let voters = BTreeMap::from([(1, one.address.to_string()), (2, two.address.to_string())]);
    let found = || {
        let voters = voters.clone();
        one.run(async move |quorum| quorum.found(CLUSTER, &voters).await)
    };
    let refused = found().unwrap_err();
    assert!(
        matches!(refused, FoundError::Voter { node: 2, .. }),
        "{refused}"
    );
    two.start();
    let refused = found().unwrap_err().to_string();
    assert!(
        refused.contains("start it with the cluster id one"),
        "{refused}"
    );
    two.kill();
    two.cluster = Some(CLUSTER.to_owned());
    two.start();
    found().unwrap();
    until("there is a leader", || one.leads() || two.leads());
    let commands = propose_all(&one, 0..3);
    until("both have all", || two.recorded().commands() == commands);
}

#[test]
fn a_peer_of_another_cluster_is_refused_with_both_names() {
    let cluster = Cluster::founded();
    let mut stranger = Node::new(
        4,
        Disk::directory(),
        QuorumConfig::default(),
        &cluster.network,
    );
    stranger.cluster = Some("two".to_owned());
    stranger.start();
    let both = |text: &str| {
        assert!(text.contains("one") && text.contains("two"), "{text}");
    };
    let address = stranger.address.to_string();
    let refused = cluster
        .node(1)
        .run(async move |quorum| quorum.add_learner(4, &address).await);
    match refused.unwrap_err() {
        ChangeError::Node { node: 4, reason } => both(&reason),
        other => panic!("{other}"),
    }
    let mut voters = cluster.addresses();
    voters.insert(4, stranger.address.to_string());
    let refused = stranger.run(async move |quorum| quorum.found("two", &voters).await);
    match refused.unwrap_err() {
        FoundError::Voter { reason, .. } => both(&reason),
        other => panic!("{other}"),
    }
    assert_eq!(stranger.state().members.len(), 0);
}

#[test]
fn a_disk_of_another_cluster_or_node_is_refused_with_both_names() {
    let mut node = Node::started(1, &QuorumConfig::default(), &Default::default());
    node.kill();
    node.cluster = Some("two".to_owned());
    let refused = node.try_start().unwrap_err();
    let expected = StartError::OtherCluster {
        disk: CLUSTER.to_owned(),
        given: "two".to_owned(),
    };
    assert_eq!(refused, expected);
    assert!(refused.to_string().contains("cluster one"), "{refused}");
    assert!(refused.to_string().contains("cluster two"), "{refused}");
    node.cluster = None;
    node.id = 9;
    let refused = node.try_start().unwrap_err();
    assert_eq!(refused, StartError::OtherNode { disk: 1, given: 9 });
}

#[test]
fn an_address_that_now_is_another_nodes_is_found_out() {
    let cluster = Cluster::founded();
    let address = cluster.node(2).address.to_string();
    let refused = cluster
        .node(1)
        .run(async move |quorum| quorum.add_learner(4, &address).await);
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("looked for node 4 and found node 2"),
        "{refused}"
    );
}

/// A cluster that began with one node, which comes back with an empty disk: its log begins with a membership in which
/// it was the only voter, and it gets no further for a while.
#[test]
fn the_founder_with_an_empty_disk_does_not_elect_itself() {
    let mut cluster = Cluster::founded_alone();
    let mut commands = propose_all(cluster.node(1), 0..1000);
    for id in [2, 3] {
        cluster.add_empty(id);
        let address = cluster.node(id).address.to_string();
        let added = cluster
            .node(1)
            .run(async move |quorum| quorum.add_voter(id, &address).await);
        added.unwrap();
    }
    commands.extend(propose_all(cluster.node(1), 1000..1010));
    cluster.agree_on(&commands);
    cluster.node_mut(1).kill_and_wait();
    let leader = cluster.leader_but(1);
    let removed = cluster
        .node(leader)
        .run(async |quorum| quorum.remove_voter(1).await);
    removed.unwrap();

    cluster.network.stall(1);
    let (address, config) = (cluster.node(1).address, cluster.config.clone());
    let mut empty = Node::new(1, Disk::model(), config, &cluster.network);
    empty.address = address;
    empty.start();
    cluster.nodes.insert(1, empty);
    let address = address.to_string();
    let added = cluster
        .node(leader)
        .run(async move |quorum| quorum.add_learner(1, &address).await);
    added.unwrap();
    until("it has the first entries", || {
        cluster.node(1).quorum().metrics().last_log_index > Some(0)
    });
    assert_eq!(
        cluster
            .node(1)
            .state()
            .voters
            .into_iter()
            .collect::<Vec<_>>(),
        [1]
    );
    // Others are elected meanwhile: whoever might stand has had the time for it.
    let term = cluster.node(leader).state().term;
    let other = 5 - leader;
    cluster
        .node(leader)
        .run(async move |quorum| quorum.transfer_leader(Some(other)).await)
        .unwrap();
    assert_eq!(cluster.leader_but(leader), other);
    assert_eq!(
        cluster.node(1).state().leader.filter(|leader| *leader == 1),
        None
    );
    assert!(cluster.node(other).state().term > term);

    cluster.network.heal();
    commands.extend(propose_all(cluster.node(other), 1010..1020));
    cluster.agree_on(&commands);
    let address = cluster.node(1).address.to_string();
    cluster
        .node(other)
        .run(async move |quorum| quorum.add_voter(1, &address).await)
        .unwrap();
    cluster.node_mut(other).kill();
    let next = cluster.leader_but(other);
    commands.extend(propose_all(cluster.node(next), 1020..1030));
    cluster.agree_on(&commands);
}
