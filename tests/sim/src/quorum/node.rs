//! One node of the quorum, as a simulated host runs it from its start to its crash, and its clients.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use fjord_quorum::transport::{GrpcTransport, service};
use fjord_quorum::{NodeId, Options, ProposeError, Quorum, QuorumConfig};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tonic::transport::{Endpoint, Server};
use tracing::{debug, info};
use turmoil::net::TcpListener;

use super::disk::Disk;
use super::history::History;
use super::machine::{Chain, Machine};
use crate::dice::Dice;
use crate::net::{Connector, incoming};

/// The cluster's id.
pub const CLUSTER: &str = "simulated";
const PORT: u16 = 9095;
/// As the broker's transport has them.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Longest pauses of clients.
const PROPOSE_PAUSE_MS: u64 = 60;
const READ_PAUSE_MS: u64 = 200;
const FOUND_PAUSE: Duration = Duration::from_millis(200);

/// The address of a node.
pub fn address(name: &str) -> String {
    format!("{name}:{PORT}")
}

/// What a node's administrator wants.
pub enum Order {
    /// Hand leadership over.
    TransferLeader,
    /// Take a node whose disk was lost out of the quorum, and add it again with its new one.
    Replace(NodeId, String, UnderWay),
    /// Give a node a vote.
    Add(NodeId, String, UnderWay),
    /// Take a node's vote, and the node out of the quorum.
    Remove(NodeId, UnderWay),
}

/// A change of members: shared until it has come to an end, and set if that was a good one.
pub type UnderWay = Arc<AtomicBool>;

/// What a start of a node needs.
#[derive(Clone)]
pub struct Start {
    pub id: NodeId,
    pub founders: BTreeMap<NodeId, String>,
    pub disk: Arc<Disk>,
    pub history: Arc<History>,
    pub dice: Arc<Dice>,
    /// Numbers the commands, over all nodes and starts.
    pub commands: Arc<AtomicU64>,
}

/// Runs a node until it is crashed.
pub async fn run(start: Start, orders: mpsc::Receiver<Order>) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let machine = Machine {
        node: start.id,
        chain: Chain::default(),
        history: Arc::clone(&start.history),
    };
    let transport = GrpcTransport::new(Arc::new(|address: &str| {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        Ok(endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .connect_with_connector_lazy(Connector))
    }));
    let quorum = Quorum::start(Options {
        node_id: start.id,
        cluster_id: Some(CLUSTER.to_owned()),
        config: QuorumConfig {
            snapshot_after_entries: 60,
            keep_entries: 20,
            ..QuorumConfig::default()
        },
        store: start.disk.clone(),
        transport: Arc::new(transport),
        machine: Box::new(machine),
        seed: start.dice.number(0..=u64::MAX),
    })
    .await?;
    let server = Server::builder().add_service(service(quorum.handler()));
    tokio::spawn(server.serve_with_incoming(incoming(listener)));
    tokio::spawn(watch(start.clone(), quorum.clone()));
    tokio::spawn(found(start.clone(), quorum.clone()));
    tokio::spawn(propose(start.clone(), quorum.clone()));
    tokio::spawn(read(start.clone(), quorum.clone()));
    obey(quorum, orders).await;
    Ok(())
}

async fn watch(start: Start, quorum: Quorum) {
    let mut state = quorum.watch();
    loop {
        let now = state.borrow_and_update().clone();
        start.history.state(start.id, &now);
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// Node 1 founds the cluster, as soon as it can.
async fn found(start: Start, quorum: Quorum) {
    if start.id != 1 || start.history.newest_term() > 0 {
        return;
    }
    while let Err(error) = quorum.found(CLUSTER, &start.founders).await {
        debug!(%error, "not founded");
        sleep(FOUND_PAUSE).await;
    }
    info!("founded");
}

async fn propose(start: Start, quorum: Quorum) {
    loop {
        sleep(start.dice.milliseconds(0..=PROPOSE_PAUSE_MS)).await;
        let number = start.commands.fetch_add(1, SeqCst);
        let command = format!("{}-{number}", start.id);
        debug!(command, "proposed");
        let state = quorum.watch().borrow().clone();
        let here = state.leader == Some(start.id) && start.dice.happens(50);
        let proposed = match here {
            true => quorum.propose_here(state.term, command.clone()).await,
            false => quorum.propose(command.clone()).await,
        };
        match proposed {
            Ok(proposed) => start.history.acknowledged(&command, &proposed),
            Err(ProposeError::OutcomeUnknown(reason)) => debug!(command, reason, "not known"),
            Err(refused) => start.history.refused(&command, &refused),
        }
    }
}

async fn read(start: Start, quorum: Quorum) {
    loop {
        sleep(start.dice.milliseconds(0..=READ_PAUSE_MS)).await;
        let least = start.history.reads_at_least();
        if let Ok(index) = quorum.read_index().await {
            start.history.has_read(start.id, least, index);
        }
    }
}

async fn obey(quorum: Quorum, mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::TransferLeader => {
                let outcome = quorum.transfer_leader(None).await;
                info!(?outcome, "leadership was to be handed over");
            }
            Order::Replace(node, address, done) => {
                let outcome = quorum.replace_voter(node, node, &address).await;
                info!(node, ?outcome, "a node was to be replaced");
                done.store(outcome.is_ok(), SeqCst);
            }
            Order::Add(node, address, done) => {
                let outcome = quorum.add_voter(node, &address).await;
                info!(node, ?outcome, "a node was to get a vote");
                done.store(outcome.is_ok(), SeqCst);
            }
            Order::Remove(node, done) => {
                let outcome = quorum.remove_voter(node).await;
                info!(node, ?outcome, "a node was to be removed");
                done.store(outcome.is_ok(), SeqCst);
            }
        }
    }
    std::future::pending::<()>().await;
}
