//! The nodes as the simulation holds them, whether they run or not.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fjord_quorum::NodeId;
use tokio::sync::mpsc;
use tracing::info;
use turmoil::Sim;

use super::disk::Disk;
use super::history::History;
use super::members::Members;
use super::node::{self, Order, Start};
use crate::dice::Dice;
use crate::trace;
use crate::verdict::Verdict;

/// How finely time passes.
const TICK: Duration = Duration::from_millis(1);
/// Latency of messages in quiet times.
const LATENCY: Duration = Duration::from_millis(2);
/// What a connection holds: more than is ever under way.
const CONNECTION_MESSAGES: usize = 1 << 16;
/// How long a node stays away.
const AWAY_MS: u64 = 1500;
/// Orders that wait for a node.
const ORDERS: usize = 4;
const NAMES: [&str; 7] = ["one", "two", "three", "four", "five", "six", "seven"];

/// A node, whether it runs or not.
pub struct Node {
    pub name: &'static str,
    disk: Arc<Mutex<Arc<Disk>>>,
    orders: Arc<Mutex<Option<mpsc::Sender<Order>>>>,
    /// When it is started again, if it is down.
    back_at: Option<Duration>,
}

/// All nodes, and what they run in.
pub struct Cluster<'a> {
    pub sim: Sim<'a>,
    pub nodes: BTreeMap<NodeId, Node>,
    pub dice: Arc<Dice>,
    pub history: Arc<History>,
    pub members: Members,
    verdict: Arc<Verdict>,
    seed: u64,
    /// Disks that there have been.
    disks: u64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cluster<'_> {
    /// Nodes that begin to run with the first step; node 1 founds the cluster. The simulation takes at most `limit`.
    pub fn new(seed: u64, verdict: &Arc<Verdict>, limit: Duration) -> Self {
        let dice = Arc::new(Dice::new(seed, 1));
        let voters = if dice.happens(30) { 5 } else { 3 };
        let spare = usize::try_from(dice.number(0..=2)).unwrap_or(0);
        let sim = turmoil::Builder::new()
            .rng_seed(seed)
            .enable_random_order()
            .tick_duration(TICK)
            .simulation_duration(limit)
            .min_message_latency(Duration::ZERO)
            .max_message_latency(LATENCY)
            .tcp_capacity(CONNECTION_MESSAGES)
            .build();
        let mut cluster = Self {
            sim,
            nodes: BTreeMap::new(),
            history: History::new(Arc::clone(verdict)),
            members: Members::new(voters),
            verdict: Arc::clone(verdict),
            seed,
            disks: 0,
            dice,
        };
        let commands: Arc<AtomicU64> = Arc::default();
        let founders = (1..).zip(&NAMES[..voters]);
        let founders: BTreeMap<NodeId, String> = founders
            .map(|(id, name)| (id, node::address(name)))
            .collect();
        for (id, name) in (1..).zip(&NAMES[..voters + spare]) {
            cluster.add(id, name, &founders, &commands);
        }
        cluster
    }

    fn add(
        &mut self,
        id: NodeId,
        name: &'static str,
        founders: &BTreeMap<NodeId, String>,
        commands: &Arc<AtomicU64>,
    ) {
        let disk = Arc::new(Mutex::new(self.new_disk()));
        let orders: Arc<Mutex<Option<mpsc::Sender<Order>>>> = Arc::default();
        let node = Node {
            name,
            disk: Arc::clone(&disk),
            orders: Arc::clone(&orders),
            back_at: None,
        };
        self.nodes.insert(id, node);
        let (history, dice) = (Arc::clone(&self.history), Arc::clone(&self.dice));
        let (founders, commands) = (founders.clone(), Arc::clone(commands));
        self.sim.host(name, move || {
            let (sender, receiver) = mpsc::channel(ORDERS);
            *locked(&orders) = Some(sender);
            let start = Start {
                id,
                founders: founders.clone(),
                disk: Arc::clone(&locked(&disk)),
                history: Arc::clone(&history),
                dice: Arc::clone(&dice),
                commands: Arc::clone(&commands),
            };
            node::run(start, receiver)
        });
    }

    fn new_disk(&mut self) -> Arc<Disk> {
        self.disks += 1;
        Disk::new(Dice::new(self.seed, 1000 + self.disks))
    }

    /// The time.
    pub fn now(&self) -> Duration {
        self.sim.elapsed()
    }

    /// The names of all nodes.
    pub fn names(&self) -> Vec<&'static str> {
        self.nodes.values().map(|node| node.name).collect()
    }

    /// The nodes that run.
    pub fn up(&self) -> Vec<NodeId> {
        let up = self.nodes.iter().filter(|(_, node)| node.back_at.is_none());
        up.map(|(id, _)| *id).collect()
    }

    /// A node's disk.
    pub fn disk(&self, id: NodeId) -> Arc<Disk> {
        Arc::clone(&locked(&self.nodes[&id].disk))
    }

    /// One moment passes.
    ///
    /// # Errors
    /// What was violated in it.
    pub fn step(&mut self) -> Result<(), String> {
        self.sim.step().map_err(|error| error.to_string())?;
        let now = self.now();
        trace::now(now);
        for (id, node) in &mut self.nodes {
            if node.back_at.is_some_and(|at| at <= now) {
                info!(node = id, "started");
                self.sim.bounce(node.name);
                node.back_at = None;
            }
        }
        self.restore_members();
        self.verdict.violation().map_or(Ok(()), Err)
    }

    /// Ends a node where it stands, with what that does to its disk. It comes back some time later.
    pub fn stop(&mut self, id: NodeId, disk: fn(&Disk)) {
        let back_at = self.now() + self.dice.milliseconds(0..=AWAY_MS);
        let node = self.nodes.get_mut(&id).expect("a node");
        self.sim.crash(node.name);
        disk(&locked(&node.disk));
        node.back_at = Some(back_at);
    }

    /// Gives a node that does not run another disk, which is empty.
    pub fn replace_disk(&mut self, id: NodeId) {
        let disk = self.new_disk();
        *locked(&self.nodes[&id].disk) = disk;
    }

    /// Starts whatever does not run.
    pub fn start_all(&mut self) {
        for node in self.nodes.values_mut() {
            node.back_at = node.back_at.map(|_| Duration::ZERO);
        }
    }

    /// Tells a node's administrator to do something. One who is busy need not hear it.
    pub fn order(&self, id: NodeId, order: Order) {
        if let Some(orders) = &*locked(&self.nodes[&id].orders) {
            let _heard_or_not = orders.try_send(order);
        }
    }
}
