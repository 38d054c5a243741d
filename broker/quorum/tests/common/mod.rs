//! Nodes of a quorum for tests: each in a runtime of its own, which can be killed, with gRPC over loopback.
#![allow(dead_code, reason = "each test file uses a part")]

mod network;
mod recorder;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use fjord_quorum::store::{FjallStore, ModelStore};
use fjord_quorum::transport::service;
use fjord_quorum::{
    NodeId, Options, ProposeError, Proposed, Quorum, QuorumConfig, QuorumState, Role, StartError,
    Store,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;

pub use network::{Network, Wire};
pub use recorder::{Recorded, Recorder};

pub const CLUSTER: &str = "one";
/// How long a condition may take. Only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Different seeds for every start.
static SEED: AtomicU64 = AtomicU64::new(0);

fn seed() -> u64 {
    let clock = std::time::SystemTime::UNIX_EPOCH.elapsed();
    let nanos = clock.map_or(0, |time| u64::from(time.subsec_nanos()));
    (nanos << 16) + SEED.fetch_add(1, Ordering::Relaxed)
}

/// Waits until `check` has something.
pub fn wait<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until `check` is true.
pub fn until(what: &str, mut check: impl FnMut() -> bool) {
    wait(what, || check().then_some(()));
}

/// A disk that outlives its node.
#[derive(Clone)]
pub enum Disk {
    Directory(Arc<TempDir>),
    Model(Arc<ModelStore>),
}

impl Disk {
    pub fn directory() -> Self {
        Self::Directory(Arc::new(tempfile::tempdir().expect("a directory")))
    }

    pub fn model() -> Self {
        Self::Model(Arc::default())
    }

    /// Opens it. The tasks of a killed node may still hold it for a moment.
    fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Model(model) => Arc::clone(model) as _,
            Self::Directory(directory) => wait("the store can be opened", || {
                let store = FjallStore::open(directory.path()).ok()?;
                Some(Arc::new(store) as Arc<dyn Store>)
            }),
        }
    }

    pub fn path(&self) -> &Path {
        match self {
            Self::Directory(directory) => directory.path(),
            Self::Model(_) => panic!("a model has no directory"),
        }
    }
}

/// What runs while a node is up.
struct Running {
    runtime: Runtime,
    quorum: Quorum,
    recorded: Recorded,
}

/// A node with its disk and its address, whether it is up or not.
pub struct Node {
    pub id: NodeId,
    pub address: SocketAddr,
    pub disk: Disk,
    pub cluster: Option<String>,
    config: QuorumConfig,
    network: Arc<Network>,
    running: Option<Running>,
}

impl Node {
    pub fn new(id: NodeId, disk: Disk, config: QuorumConfig, network: &Arc<Network>) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        Self {
            id,
            address: free.expect("a port"),
            disk,
            cluster: Some(CLUSTER.to_owned()),
            config,
            network: Arc::clone(network),
            running: None,
        }
    }

    pub fn started(id: NodeId, config: &QuorumConfig, network: &Arc<Network>) -> Self {
        let mut node = Self::new(id, Disk::directory(), config.clone(), network);
        node.start();
        node
    }

    pub fn start(&mut self) {
        self.try_start().expect("the node starts");
    }

    pub fn try_start(&mut self) -> Result<(), StartError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let (recorder, recorded) = Recorder::new();
        let options = Options {
            node_id: self.id,
            cluster_id: self.cluster.clone(),
            config: self.config.clone(),
            store: self.disk.open(),
            transport: Arc::new(Wire::new(self.id, &self.network)),
            machine: Box::new(recorder),
            seed: seed(),
        };
        let quorum = match runtime.block_on(Quorum::start(options)) {
            Ok(quorum) => quorum,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let address = self.address;
        let listener = wait("the port is free", || {
            runtime.block_on(TcpListener::bind(address)).ok()
        });
        let server = tonic::transport::Server::builder().add_service(service(quorum.handler()));
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        self.running = Some(Running {
            runtime,
            quorum,
            recorded,
        });
        Ok(())
    }

    /// Ends the node where it stands, as a kill of its process does.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.runtime.shutdown_background();
        }
    }

    /// Like [`Self::kill`], and waits until nothing of it runs any more.
    pub fn kill_and_wait(&mut self) {
        if let Some(running) = self.running.take() {
            drop(running.quorum);
            running.runtime.shutdown_timeout(PATIENCE);
        }
    }

    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the node is up")
    }

    pub fn quorum(&self) -> &Quorum {
        &self.running().quorum
    }

    /// What the state machine took.
    pub fn recorded(&self) -> &Recorded {
        &self.running().recorded
    }

    pub fn state(&self) -> QuorumState {
        self.quorum().watch().borrow().clone()
    }

    pub fn leads(&self) -> bool {
        self.is_up() && self.state().role == Role::Leader
    }

    /// Runs a call inside the node. What it returns is received, unless the node is killed meanwhile.
    pub fn call<T, F>(&self, call: impl FnOnce(Quorum) -> F) -> Receiver<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, receiver) = channel();
        let call = call(self.quorum().clone());
        self.running().runtime.spawn(async move {
            let _gone = sender.send(call.await);
        });
        receiver
    }

    /// Runs a call inside the node, which stays up.
    pub fn run<T, F>(&self, call: impl FnOnce(Quorum) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.call(call).recv().expect("the node stays up")
    }

    pub fn propose(&self, command: &str) -> Result<Proposed, ProposeError> {
        let command = command.to_owned();
        self.run(async move |quorum| quorum.propose(command).await)
    }

    pub fn read_index(&self) -> Result<u64, fjord_quorum::ReadError> {
        self.run(async move |quorum| quorum.read_index().await)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Several nodes. Their numbers begin with one.
pub struct Cluster {
    pub nodes: BTreeMap<NodeId, Node>,
    pub network: Arc<Network>,
    pub config: QuorumConfig,
}

impl Cluster {
    /// Three nodes on disks, founded.
    pub fn founded() -> Self {
        Self::founded_on(QuorumConfig::default(), |_| Disk::directory())
    }

    pub fn founded_on(config: QuorumConfig, disk: impl Fn(NodeId) -> Disk) -> Self {
        Self::of(3, config, disk)
    }

    /// One node, founded.
    pub fn founded_alone() -> Self {
        Self::of(1, QuorumConfig::default(), |_| Disk::model())
    }

    fn of(count: NodeId, config: QuorumConfig, disk: impl Fn(NodeId) -> Disk) -> Self {
        let network = Arc::new(Network::default());
        let mut nodes = BTreeMap::new();
        for id in 1..=count {
            let mut node = Node::new(id, disk(id), config.clone(), &network);
            node.start();
            nodes.insert(id, node);
        }
        let cluster = Self {
            nodes,
            network,
            config,
        };
        let voters = cluster.addresses();
        cluster
            .node(1)
            .run(async move |quorum| quorum.found(CLUSTER, &voters).await)
            .expect("the cluster is founded");
        cluster.leader_of_any();
        cluster
    }

    pub fn addresses(&self) -> BTreeMap<NodeId, String> {
        let address = |(id, node): (&NodeId, &Node)| (*id, node.address.to_string());
        self.nodes.iter().map(address).collect()
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[&id]
    }

    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a node")
    }

    pub fn up(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.is_up())
    }

    /// The leader, once a majority of the nodes that are up follow it.
    pub fn leader(&self) -> NodeId {
        self.leader_but(0)
    }

    /// The leader, once it is another one than `old`.
    pub fn leader_but(&self, old: NodeId) -> NodeId {
        wait("there is a leader", || {
            let leads = |node: &&Node| node.id != old && node.leads();
            let leader = self
                .up()
                .filter(leads)
                .max_by_key(|node| node.state().term)?;
            let follows = |node: &&Node| node.state().leader == Some(leader.id);
            (self.up().filter(follows).count() >= 2).then_some(leader.id)
        })
    }

    /// The node that says that it leads, whether others follow it or not.
    pub fn leader_of_any(&self) -> NodeId {
        wait("there is a leader", || {
            let leads = |node: &&Node| node.leads();
            self.up().find(leads).map(|node| node.id)
        })
    }

    pub fn followers(&self) -> Vec<NodeId> {
        let leader = self.leader();
        let ids = self.nodes.keys().copied();
        ids.filter(|id| *id != leader).collect()
    }

    /// Waits until all nodes that are up have these commands, in this order.
    pub fn agree_on(&self, commands: &[String]) {
        for node in self.up() {
            let what = format!("node {} has all {} commands", node.id, commands.len());
            until(&what, || node.recorded().commands().len() >= commands.len());
            assert_eq!(node.recorded().commands(), commands, "on node {}", node.id);
        }
    }

    /// Adds a node that is up and has an empty disk, and is no member yet.
    pub fn add_empty(&mut self, id: NodeId) {
        let node = Node::started(id, &self.config, &self.network);
        self.nodes.insert(id, node);
    }
}

/// Proposes commands with these numbers, on one node, and returns them.
pub fn propose_all(node: &Node, numbers: impl Iterator<Item = u64>) -> Vec<String> {
    let commands: Vec<_> = numbers.map(|number| format!("command {number}")).collect();
    for command in &commands {
        node.propose(command).expect("it is committed");
    }
    commands
}
