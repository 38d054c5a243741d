//! What makes a broker one of several: its quorum, its peers, its session.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::layers::Sources;
use super::listeners::{AdvertisedListener, ListenAddress, ListenerConfig};
use super::parts::node_id;
use super::value::{Value, split_list};

/// Longest id of a cluster.
const CLUSTER_ID_CHARS: usize = 64;

/// Where a peer listener is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerAddress {
    /// Host name or address without brackets.
    pub host: String,
    /// Port; never 0.
    pub port: u16,
}

impl PeerAddress {
    fn parse(text: &str) -> Result<Self, String> {
        let address = ListenAddress::parse(text)?;
        match address {
            ListenAddress {
                host: Some(host),
                port,
            } if port > 0 => Ok(Self { host, port }),
            _ => Err(format!(
                "needs a host and a port that others can reach, not '{text}'"
            )),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (Some(self.host.clone()), self.port);
        ListenAddress { host, port }.fmt(formatter)
    }
}

/// The cluster of a broker of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// `controller.quorum.voters`, by node id; empty for a broker that joins by `bootstrap`.
    pub voters: BTreeMap<i32, PeerAddress>,
    /// `controller.quorum.bootstrap.servers`.
    pub bootstrap: Vec<PeerAddress>,
    /// `fjord.cluster.id`; needed at the first start.
    pub cluster_id: Option<String>,
    /// `fjord.peer.listen`.
    pub peer_listen: ListenAddress,
    /// `fjord.peer.advertised`; nothing only if the peer listener has an address of its own with a port that the
    /// system chooses.
    pub peer_advertised: Option<PeerAddress>,
    /// `broker.session.timeout.ms`.
    pub session_timeout: Duration,
    /// `broker.heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `fjord.broker.connection.grace.ms`.
    pub connection_grace: Duration,
    /// `leader.imbalance.check.interval.seconds`; nothing without `auto.leader.rebalance.enable`.
    pub leader_rebalance: Option<Duration>,
}

/// A config that does not fit the others.
#[derive(Debug)]
pub(super) struct Wrong {
    pub name: &'static str,
    pub reason: String,
    pub fix: &'static str,
}

fn wrong(name: &'static str, reason: impl Into<String>, fix: &'static str) -> Wrong {
    let reason = reason.into();
    Wrong { name, reason, fix }
}

/// The cluster that the configs make; `None` for the only broker of one.
pub(super) fn cluster(sources: &Sources) -> Result<Option<ClusterConfig>, Wrong> {
    let text = |name: &str| sources.named(name).map(|value| value.to_text());
    let milliseconds = |name: &str| {
        let value = sources.named(name);
        value.map_or(Duration::ZERO, Value::into_milliseconds)
    };
    const VOTERS: &str = "controller.quorum.voters";
    const BOOTSTRAP: &str = "controller.quorum.bootstrap.servers";
    const LISTEN: &str = "fjord.peer.listen";
    const ADVERTISED: &str = "fjord.peer.advertised";
    let correct = "correct it";
    let voters = parse_voters(&text(VOTERS).unwrap_or_default());
    let voters = voters.map_err(|reason| wrong(VOTERS, reason, correct))?;
    let bootstrap = parse_peers(&text(BOOTSTRAP).unwrap_or_default());
    let bootstrap = bootstrap.map_err(|reason| wrong(BOOTSTRAP, reason, correct))?;
    if voters.is_empty() && bootstrap.is_empty() {
        return Ok(None);
    }
    let own = voters.get(&node_id(sources));
    if own.is_none() && bootstrap.is_empty() {
        let id = node_id(sources);
        let reason = format!("does not hold this broker, whose node.id is {id}");
        let fix = "add the broker, or name peers to join by in controller.quorum.bootstrap.servers";
        return Err(wrong(VOTERS, reason, fix));
    }
    let peer_listen = match (text(LISTEN), own) {
        (Some(listen), _) => {
            ListenAddress::parse(&listen).map_err(|reason| wrong(LISTEN, reason, correct))?
        }
        (None, Some(own)) => ListenAddress {
            host: None,
            port: own.port,
        },
        (None, None) => {
            let reason = "must be set for a broker that is none of the voters";
            return Err(wrong(LISTEN, reason, "set it to HOST:PORT"));
        }
    };
    let peer_advertised = match (text(ADVERTISED), own) {
        (Some(advertised), _) => {
            let parsed = PeerAddress::parse(&advertised);
            Some(parsed.map_err(|reason| wrong(ADVERTISED, reason, correct))?)
        }
        (None, Some(own)) => Some(own.clone()),
        (None, None) if peer_listen.is_wildcard() => {
            let reason = "must be set where fjord.peer.listen is every interface";
            return Err(wrong(ADVERTISED, reason, "set it to HOST:PORT"));
        }
        (None, None) => PeerAddress::parse(&peer_listen.to_string()).ok(),
    };
    let seconds = sources
        .named("leader.imbalance.check.interval.seconds")
        .map_or(0, Value::into_number);
    let rebalances = sources
        .named("auto.leader.rebalance.enable")
        .is_some_and(Value::into_boolean);
    Ok(Some(ClusterConfig {
        voters,
        bootstrap,
        cluster_id: text("fjord.cluster.id"),
        peer_listen,
        peer_advertised,
        session_timeout: milliseconds("broker.session.timeout.ms"),
        heartbeat_interval: milliseconds("broker.heartbeat.interval.ms"),
        connection_grace: milliseconds("fjord.broker.connection.grace.ms"),
        leader_rebalance: rebalances.then(|| Duration::from_secs(seconds.unsigned_abs())),
    }))
}

/// Checks what a broker of several needs of its other configs.
pub(super) fn check(sources: &Sources, listeners: &[ListenerConfig]) -> Result<(), Wrong> {
    let Some(cluster) = cluster(sources)? else {
        return Ok(());
    };
    if cluster.heartbeat_interval * 2 >= cluster.session_timeout {
        let session = cluster.session_timeout.as_millis();
        let reason =
            format!("must be less than half of broker.session.timeout.ms, which is {session}");
        return Err(wrong(
            "broker.heartbeat.interval.ms",
            reason,
            "lower it, or raise the other",
        ));
    }
    let has_no_port = |listener: &&ListenerConfig| match &listener.advertised {
        AdvertisedListener::Fixed { port: Some(_), .. } => false,
        _ => listener.bind.port == 0,
    };
    match listeners.iter().find(has_no_port) {
        Some(listener) => {
            let reason = format!(
                "gives {} a port that the system chooses, which other brokers cannot tell their clients",
                listener.name
            );
            Err(wrong(
                "listeners",
                reason,
                "name a port, there or in advertised.listeners",
            ))
        }
        None => Ok(()),
    }
}

fn parse_voters(text: &str) -> Result<BTreeMap<i32, PeerAddress>, String> {
    let mut voters = BTreeMap::new();
    for entry in split_list(text) {
        let Some((id, address)) = entry.split_once('@') else {
            return Err(format!("needs ID@HOST:PORT, not '{entry}'"));
        };
        let id: i32 = match id.parse() {
            Ok(id) if id >= 0 => id,
            _ => return Err(format!("needs a node.id before the @, not '{id}'")),
        };
        let address = PeerAddress::parse(address)?;
        if voters.values().any(|known| *known == address) {
            return Err(format!("has the address {address} twice"));
        }
        if voters.insert(id, address).is_some() {
            return Err(format!("has the id {id} twice"));
        }
    }
    Ok(voters)
}

fn parse_peers(text: &str) -> Result<Vec<PeerAddress>, String> {
    split_list(text)
        .iter()
        .map(|entry| PeerAddress::parse(entry))
        .collect()
}

pub(super) fn check_voters(text: &str) -> Result<(), String> {
    parse_voters(text).map(|_| ())
}

pub(super) fn check_bootstrap(text: &str) -> Result<(), String> {
    parse_peers(text).map(|_| ())
}

pub(super) fn check_peer(text: &str) -> Result<(), String> {
    PeerAddress::parse(text).map(|_| ())
}

pub(super) fn check_address(text: &str) -> Result<(), String> {
    ListenAddress::parse(text).map(|_| ())
}

pub(super) fn check_cluster_id(text: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    match !text.is_empty() && text.len() <= CLUSTER_ID_CHARS && text.bytes().all(fits) {
        true => Ok(()),
        false => Err(format!(
            "needs 1 to {CLUSTER_ID_CHARS} letters, digits, '-' and '_', not '{text}'"
        )),
    }
}
