//! The quorum by itself: three or five voters that lose their power, their disks and each other.
//!
//! ```text
//!   turbulence: every moment something fails ─► calm: all is healed, and all must be well again
//! ```

mod disk;
mod history;
mod invariants;
mod machine;
mod node;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fjord_quorum::NodeId;
use tokio::sync::mpsc;
use tracing::info;
use turmoil::Sim;

use self::disk::Disk;
use self::history::History;
use self::node::{Order, Replacing, Start};
use crate::dice::Dice;
use crate::faults;
use crate::trace;
use crate::verdict::Verdict;

/// How long things fail, and how long it may take until all is well afterwards.
const TURBULENCE: Duration = Duration::from_secs(12);
const CALM: Duration = Duration::from_secs(40);
/// Longest pause between two faults.
const FAULT_PAUSE_MS: u64 = 700;
/// How long a node stays away.
const AWAY_MS: u64 = 1500;
/// Pauses between tries to replace a node that has lost its disk.
const REPLACE_PAUSE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(1);
/// Orders that wait for a node.
const ORDERS: usize = 4;

/// A node as the simulation holds it, whether it runs or not.
struct Node {
    name: &'static str,
    disk: Arc<Mutex<Arc<Disk>>>,
    orders: Arc<Mutex<Option<mpsc::Sender<Order>>>>,
    /// When it is started again, if it is down.
    back_at: Option<Duration>,
}

const NAMES: [&str; 5] = ["one", "two", "three", "four", "five"];

/// The nodes, and what is done to them.
struct Cluster<'a> {
    sim: Sim<'a>,
    nodes: BTreeMap<NodeId, Node>,
    dice: Arc<Dice>,
    history: Arc<History>,
    seed: u64,
    /// The node whose disk was lost and that is not replaced yet.
    lost: Option<NodeId>,
    /// Replacing it, or another one that is no voter: whether it is under way, and when it is tried next.
    replacing: Replacing,
    replace_at: Duration,
    disks: u64,
}

/// Runs one seed; returns what there is to say of it.
///
/// # Errors
/// What was violated.
pub fn run(seed: u64, verdict: &Arc<Verdict>) -> Result<String, String> {
    let mut cluster = Cluster::new(seed, verdict);
    cluster.turbulence(verdict)?;
    cluster.calm(verdict)?;
    let (acknowledged, _) = cluster.history.acknowledged_so_far();
    let (terms, digest) = (cluster.history.newest_term(), cluster.history.digest());
    Ok(format!("{acknowledged} acknowledged, {terms} terms, digest {digest:016x}"))
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cluster<'_> {
    fn new(seed: u64, verdict: &Arc<Verdict>) -> Self {
        let dice = Arc::new(Dice::new(seed, 1));
        let sim = turmoil::Builder::new()
            .rng_seed(seed)
            .enable_random_order()
            .tick_duration(TICK)
            .simulation_duration(2 * (TURBULENCE + CALM))
            .min_message_latency(Duration::ZERO)
            .max_message_latency(Duration::from_millis(2))
            .tcp_capacity(1 << 16)
            .build();
        let mut cluster = Self {
            sim,
            nodes: BTreeMap::new(),
            history: History::new(Arc::clone(verdict)),
            seed,
            lost: None,
            replacing: Arc::default(),
            replace_at: Duration::ZERO,
            disks: 0,
            dice,
        };
        let count = if cluster.dice.happens(30) { 5 } else { 3 };
        let ids = || (1..).zip(&NAMES[..count]);
        let voters: BTreeMap<NodeId, String> =
            ids().map(|(id, name)| (id, node::address(name))).collect();
        let commands: Arc<AtomicU64> = Arc::default();
        for (id, name) in ids() {
            let disk = Arc::new(Mutex::new(cluster.new_disk()));
            let orders: Arc<Mutex<Option<mpsc::Sender<Order>>>> = Arc::default();
            let (start_disk, start_orders) = (Arc::clone(&disk), Arc::clone(&orders));
            let (voters, commands) = (voters.clone(), Arc::clone(&commands));
            let (history, dice) = (Arc::clone(&cluster.history), Arc::clone(&cluster.dice));
            cluster.sim.host(*name, move || {
                let (sender, receiver) = mpsc::channel(ORDERS);
                *locked(&start_orders) = Some(sender);
                let start = Start {
                    id,
                    voters: voters.clone(),
                    disk: Arc::clone(&locked(&start_disk)),
                    history: Arc::clone(&history),
                    dice: Arc::clone(&dice),
                    commands: Arc::clone(&commands),
                };
                node::run(start, receiver)
            });
            let node = Node { name, disk, orders, back_at: None };
            cluster.nodes.insert(id, node);
        }
        cluster
    }

    fn new_disk(&mut self) -> Arc<Disk> {
        self.disks += 1;
        Disk::new(Dice::new(self.seed, 1000 + self.disks))
    }

    fn names(&self) -> Vec<&'static str> {
        self.nodes.values().map(|node| node.name).collect()
    }

    fn up(&self) -> Vec<NodeId> {
        let up = self.nodes.iter().filter(|(_, node)| node.back_at.is_none());
        up.map(|(id, _)| *id).collect()
    }

    /// One moment; ends with what was violated in it.
    fn step(&mut self, verdict: &Verdict) -> Result<(), String> {
        self.sim.step().map_err(|error| error.to_string())?;
        trace::now(self.sim.elapsed());
        self.restart_due(self.sim.elapsed());
        self.replace_lost();
        verdict.violation().map_or(Ok(()), Err)
    }

    fn turbulence(&mut self, verdict: &Verdict) -> Result<(), String> {
        let mut next = Duration::from_secs(1);
        let mut term = 0;
        while self.sim.elapsed() < TURBULENCE {
            self.step(verdict)?;
            if self.sim.elapsed() >= next {
                self.harm();
                next = self.sim.elapsed() + self.dice.milliseconds(0..=FAULT_PAUSE_MS);
            }
            // The moments after an election are the ones that matter.
            let newest = self.history.newest_term();
            if newest > term && self.dice.happens(20) {
                next = self.sim.elapsed() + self.dice.milliseconds(0..=20);
            }
            term = newest;
        }
        Ok(())
    }

    /// Something fails, or gets well again.
    fn harm(&mut self) {
        let names = self.names();
        let up = self.up();
        match self.dice.number(0..=11) {
            0..=3 => faults::harm(&self.sim, &self.dice, &names),
            4..=5 => faults::heal(&self.sim, &names),
            6..=7 if !up.is_empty() => {
                let node = self.dice.one_of(&up);
                info!(node, "killed");
                self.stop(node, Disk::process_ends);
            }
            8 if !up.is_empty() => {
                for node in self.dice.some_of(&up) {
                    info!(node, "power fails");
                    self.stop(node, Disk::power_fails);
                }
            }
            9 => {
                info!("power fails everywhere");
                up.into_iter().for_each(|node| self.stop(node, Disk::power_fails));
            }
            10 if !up.is_empty() => {
                let node = self.dice.one_of(&up);
                if self.dice.happens(50) || self.lost.is_some() {
                    info!(node, "disk fails");
                    locked(&self.nodes[&node].disk).fails();
                    // Its quorum ends by itself; somebody starts it again.
                    self.stop_later(node);
                } else if self.history.acknowledged_so_far().0 > 0 {
                    self.lose_disk(node);
                }
            }
            _ if !up.is_empty() => self.order(self.dice.one_of(&up), Order::TransferLeader),
            _ => {}
        }
    }

    fn stop(&mut self, id: NodeId, disk: fn(&Disk)) {
        let away = self.sim.elapsed() + self.dice.milliseconds(0..=AWAY_MS);
        let node = self.nodes.get_mut(&id).expect("a node");
        self.sim.crash(node.name);
        disk(&locked(&node.disk));
        node.back_at = Some(away);
    }

    fn stop_later(&mut self, id: NodeId) {
        for _ in 0..self.dice.number(1..=50) {
            if self.sim.step().is_err() {
                break;
            }
        }
        self.stop(id, Disk::power_fails);
    }

    fn lose_disk(&mut self, id: NodeId) {
        info!(node = id, "disk lost");
        self.stop(id, Disk::power_fails);
        let disk = self.new_disk();
        *locked(&self.nodes[&id].disk) = disk;
        self.lost = Some(id);
        self.replace_at = self.sim.elapsed() + REPLACE_PAUSE;
        // What was under way for the disk before is of no use.
        self.replacing = Arc::default();
    }

    fn restart_due(&mut self, now: Duration) {
        for (id, node) in &mut self.nodes {
            if node.back_at.is_some_and(|at| at <= now) {
                info!(node = id, "started");
                self.sim.bounce(node.name);
                node.back_at = None;
            }
        }
    }

    fn order(&self, id: NodeId, order: Order) {
        if let Some(orders) = &*locked(&self.nodes[&id].orders) {
            // One that is busy already need not hear it.
            let _ = orders.try_send(order);
        }
    }

    /// Has the node that has lost its disk replaced, by any other one; or one that is no voter any more, because
    /// replacing it was interrupted.
    fn replace_lost(&mut self) {
        if self.replacing.swap(false, SeqCst) {
            self.lost = None;
        }
        let is_under_way = Arc::strong_count(&self.replacing) > 1;
        let Some(lost) = self.lost.or_else(|| self.not_a_voter()) else {
            return;
        };
        let mut others = self.up();
        others.retain(|id| *id != lost);
        if is_under_way || self.sim.elapsed() < self.replace_at || others.is_empty() {
            return;
        }
        let address = node::address(self.nodes[&lost].name);
        let order = Order::Replace(lost, address, Arc::clone(&self.replacing));
        self.order(self.dice.one_of(&others), order);
        self.replace_at = self.sim.elapsed() + REPLACE_PAUSE;
    }

    fn not_a_voter(&self) -> Option<NodeId> {
        let voters = self.history.voters();
        let mut out = self.nodes.keys().filter(|id| !voters.contains(id));
        out.next().copied().filter(|_| !voters.is_empty())
    }

    /// Nothing fails any more: soon there is a leader, all nodes have everything, and clients go on.
    fn calm(&mut self, verdict: &Verdict) -> Result<(), String> {
        info!("calm");
        faults::heal(&self.sim, &self.names());
        for node in self.nodes.values_mut() {
            node.back_at = node.back_at.map(|_| Duration::ZERO);
        }
        let until = self.sim.elapsed() + CALM;
        let (before, index) = self.history.acknowledged_so_far();
        loop {
            self.step(verdict)?;
            let (now, _) = self.history.acknowledged_so_far();
            let all_have = self.nodes.keys().all(|id| self.history.applied_index(*id) >= index);
            if now >= before + 20 && all_have && self.lost.is_none() && self.not_a_voter().is_none() {
                return Ok(());
            }
            if self.sim.elapsed() > until {
                return Err(format!(
                    "not well {CALM:?} after the last fault: {} acknowledged since, all nodes have what was acknowledged \
                     before: {all_have}, lost a disk: {:?}, no voter: {:?}",
                    now - before, self.lost, self.not_a_voter()
                ));
            }
        }
    }
}
