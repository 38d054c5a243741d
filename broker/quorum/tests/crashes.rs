//! Power cuts: what was not synced is gone, what was acknowledged is not.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{CLUSTER, Cluster, Disk, Node, until};
use fjord_quorum::proto::{self, peer_request::Body, peer_response::Body as Answer};
use fjord_quorum::store::ModelStore;
use fjord_quorum::{NodeId, QuorumConfig};

fn model(node: &Node) -> &ModelStore {
    match &node.disk {
        Disk::Model(model) => model,
        Disk::Directory(_) => panic!("not a model"),
    }
}

/// A node asked by a candidate for its vote in `term`, whatever else there is.
fn asks_for_vote(node: &Node, candidate: NodeId, term: u64) -> bool {
    let request = proto::PeerRequest {
        identity: Some(proto::Identity {
            cluster_id: CLUSTER.to_owned(),
            from_node: candidate,
            to_node: node.id,
            to_incarnation: 0,
        }),
        body: Some(Body::Vote(proto::VoteRequest {
            vote: Some(proto::Vote {
                term,
                node_id: candidate,
                committed: false,
            }),
            last_log_id: None,
            leadership_transfer: false,
        })),
    };
    let answer = node.run(async move |quorum| quorum.handler().handle(request).await);
    match answer.body {
        Some(Answer::Vote(vote)) => vote.granted,
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_vote_is_given_twice_in_a_term_whatever_a_crash_loses() {
    for disk in [Disk::model(), Disk::directory()] {
        let network = Arc::default();
        let mut node = Node::new(1, disk, QuorumConfig::default(), &network);
        node.start();
        assert!(asks_for_vote(&node, 2, 10));
        assert!(!asks_for_vote(&node, 3, 10), "it has voted");
        node.kill();
        if let Disk::Model(model) = &node.disk {
            model.crash(0);
        }
        node.start();
        assert!(
            !asks_for_vote(&node, 3, 10),
            "it has voted, before the crash"
        );
        assert!(!asks_for_vote(&node, 2, 9), "it has seen a later term");
        assert!(asks_for_vote(&node, 2, 10), "its vote can be heard again");
    }
}

/// A small generator, so that the rounds differ.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// Leaders by term, over all nodes and rounds.
#[derive(Default)]
struct Leaders(BTreeMap<u64, BTreeSet<NodeId>>);

impl Leaders {
    fn look(&mut self, cluster: &Cluster) {
        for state in cluster.up().map(Node::state) {
            if let Some(leader) = state.leader {
                self.0.entry(state.term).or_default().insert(leader);
            }
        }
        let two = self.0.iter().find(|(_, leaders)| leaders.len() > 1);
        assert_eq!(two, None, "two leaders in a term");
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_of_all_nodes_fails() {
    let mut cluster = Cluster::founded_on(QuorumConfig::default(), |_| Disk::model());
    let (mut dice, mut leaders) = (Dice(7), Leaders::default());
    let (mut acknowledged, mut next) = (Vec::new(), 0);
    for _ in 0..12 {
        cluster.leader();
        leaders.look(&cluster);
        let done = Arc::new(AtomicBool::new(false));
        let calls: Vec<_> = cluster
            .up()
            .map(|node| {
                next += 1000;
                let done = Arc::clone(&done);
                node.call(async move |quorum| {
                    let mut acknowledged = Vec::new();
                    for number in next..next + 1000 {
                        let command = number.to_string();
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                        match quorum.propose(command.clone()).await {
                            Ok(_) => acknowledged.push(command),
                            Err(_) => break,
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        // The disks of all nodes fail when the first one has done some writes.
        for node in cluster.up() {
            let writes = 5 + dice.below(60);
            model(node).fail_after(usize::try_from(writes).unwrap());
        }
        until("a disk fails", || {
            cluster.up().any(|node| model(node).failed())
        });
        for node in cluster.up() {
            model(node).fail_after(0);
        }
        done.store(true, Ordering::Relaxed);
        leaders.look(&cluster);
        for call in calls {
            acknowledged.extend(call.recv().unwrap());
        }
        for node in cluster.nodes.values_mut() {
            node.kill_and_wait();
            let kept = usize::try_from(dice.below(3)).unwrap();
            model(node).crash(kept);
        }
        for node in cluster.nodes.values_mut() {
            node.start();
        }
        let leader = cluster.leader();
        cluster.node(leader).read_index().unwrap();
        let taken = cluster.node(leader).recorded().commands();
        let set: BTreeSet<_> = taken.iter().collect();
        assert_eq!(set.len(), taken.len(), "something was taken twice");
        for command in &acknowledged {
            assert!(
                set.contains(command),
                "{command} was acknowledged and is lost"
            );
        }
        cluster.agree_on(&taken);
    }
    assert!(
        acknowledged.len() > 50,
        "only {} were acknowledged",
        acknowledged.len()
    );
    eprintln!(
        "{} acknowledged, {} terms",
        acknowledged.len(),
        leaders.0.len()
    );
}

#[test]
fn a_node_whose_disk_fails_stops_and_the_others_go_on() {
    let mut cluster = Cluster::founded_on(QuorumConfig::default(), |_| Disk::model());
    let leader = cluster.leader();
    model(cluster.node(leader)).fail_after(0);
    let lost = cluster.node(leader).propose("into the void");
    assert!(lost.is_err(), "{lost:?}");
    until("it says so", || {
        cluster.node(leader).state().role == fjord_quorum::Role::Stopped
    });
    let new = cluster.leader_but(leader);
    let commands = common::propose_all(cluster.node(new), 0..5);
    let node = cluster.node_mut(leader);
    node.kill_and_wait();
    model(node).crash(0);
    node.start();
    cluster.agree_on(&commands);
}
