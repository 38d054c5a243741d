//! The configs of a broker of several.

use std::time::Duration;

use super::{config, resolve};

const VOTERS: (&str, &str) = ("controller.quorum.voters", "1@a:9001,2@b:9002,3@c:9003");

fn refusal(settings: &[(&str, &str)]) -> String {
    resolve(settings).expect_err("it is refused").to_string()
}

#[test]
fn without_voters_and_peers_a_broker_is_alone() {
    assert_eq!(config(&[]).cluster, None);
    assert_eq!(config(&[("fjord.cluster.id", "c")]).cluster, None);
}

#[test]
fn a_voter_listens_at_its_own_entry() {
    let cluster = config(&[VOTERS, ("node.id", "2")]).cluster.unwrap();
    assert_eq!(cluster.voters.len(), 3);
    assert_eq!(cluster.peer_listen.to_string(), ":9002");
    assert_eq!(cluster.peer_advertised.unwrap().to_string(), "b:9002");
    assert_eq!(cluster.session_timeout, Duration::from_secs(2));
    assert_eq!(cluster.leader_rebalance, Some(Duration::from_secs(300)));
}

#[test]
fn a_broker_that_is_no_voter_joins_by_others_and_says_where_it_is() {
    let bootstrap = ("controller.quorum.bootstrap.servers", "a:9001");
    let listen = ("fjord.peer.listen", "d:9004");
    let cluster = config(&[bootstrap, listen]).cluster.unwrap();
    assert_eq!(cluster.peer_advertised.unwrap().to_string(), "d:9004");
    assert!(refusal(&[bootstrap]).contains("fjord.peer.listen"));
    let everywhere = ("fjord.peer.listen", ":9004");
    assert!(refusal(&[bootstrap, everywhere]).contains("fjord.peer.advertised"));
    assert!(refusal(&[VOTERS, ("node.id", "4")]).contains("node.id is 4"));
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    for (name, value) in [
        ("controller.quorum.voters", "1@a:9001,1@b:9002"),
        ("controller.quorum.voters", "1@a:9001,2@a:9001"),
        ("controller.quorum.voters", "a:9001"),
        ("controller.quorum.voters", "1@:9001"),
        ("controller.quorum.bootstrap.servers", "a:0"),
        ("fjord.cluster.id", "with space"),
        ("fjord.peer.advertised", ":9001"),
    ] {
        assert!(refusal(&[(name, value)]).contains(name), "{name}={value}");
    }
    let slow = ("broker.heartbeat.interval.ms", "1000");
    assert!(refusal(&[VOTERS, slow]).contains("less than half"));
    let any_port = ("listeners", "PLAINTEXT://127.0.0.1:0");
    assert!(refusal(&[VOTERS, any_port]).contains("port that the system chooses"));
}
