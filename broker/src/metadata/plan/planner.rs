//! The steps of a plan, each the one that helps most in the working copy.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    PartitionKey, PlannedMove,
    working_copy::{Place, WorkingCopy},
};
use crate::metadata::Image;

/// What is below this part of the mean is not worth copying anything for.
const NEGLIGIBLE_PART: u64 = 20;

/// What a swap has to be worth.
#[derive(Clone, Copy)]
struct SwapBounds {
    /// Bytes that two brokers differ by and may go on to.
    gap: u64,
    /// Least bytes that a swap moves more in one direction than in the other.
    gain: u64,
}

pub(super) struct Planner<'a> {
    copy: WorkingCopy<'a>,
}

impl<'a> Planner<'a> {
    pub fn new(
        image: &'a Image,
        sizes: &BTreeMap<PartitionKey, u64>,
        drained: &BTreeSet<i32>,
    ) -> Planner<'a> {
        Planner {
            copy: WorkingCopy::new(image, sizes, drained),
        }
    }

    pub fn moves(self) -> Vec<PlannedMove> {
        self.copy.moves()
    }

    /// Gives every replica of the brokers to others, the largest partitions first.
    pub fn drain(&mut self, brokers: &BTreeSet<i32>, max_moves: usize) {
        let copy = &mut self.copy;
        let mut order: Vec<usize> = (0..copy.partitions.len()).collect();
        order.sort_by_key(|partition| Reverse(copy.partitions[*partition].bytes));
        let mut left = max_moves;
        for partition in order {
            for from in copy.partitions[partition].replicas.clone() {
                if left == 0 {
                    return;
                }
                if !brokers.contains(&copy.brokers[from]) {
                    continue;
                }
                let replicas = &copy.partitions[partition].replicas;
                let receivers = copy.targets.iter().copied();
                let best = receivers
                    .filter(|to| !replicas.contains(to))
                    .min_by_key(|to| {
                        let load = copy.loads[*to];
                        let mates = copy.rack_mates(partition, from, *to);
                        (mates, load.replicas, load.bytes)
                    });
                if let Some(to) = best {
                    copy.move_replica(partition, from, to);
                    left -= 1;
                }
            }
        }
    }

    /// Adds replicas where racks have fewest of the partition, and then where brokers have fewest; takes those
    /// away that serve least: what is not in sync, what is on brokers that may not receive any, and the preferred
    /// leader last.
    pub fn set_replication_factor(
        &mut self,
        topics: &BTreeSet<String>,
        factor: usize,
        max_moves: usize,
    ) {
        let copy = &mut self.copy;
        let mut left = max_moves;
        for partition in 0..copy.partitions.len() {
            if !topics.contains(copy.partitions[partition].topic()) {
                continue;
            }
            while copy.partitions[partition].replicas.len() > factor {
                copy.remove_replica(partition, Self::dispensable(copy, partition));
            }
            while copy.partitions[partition].replicas.len() < factor && left > 0 {
                let replicas = &copy.partitions[partition].replicas;
                let receivers = copy.targets.iter().copied();
                let best = receivers
                    .filter(|to| !replicas.contains(to))
                    .min_by_key(|to| {
                        let load = copy.loads[*to];
                        let mates = copy.rack_mates(partition, *to, *to);
                        (mates, load.replicas, load.bytes)
                    });
                let Some(to) = best else {
                    break;
                };
                copy.add_replica(partition, to);
                left -= 1;
            }
        }
    }

    /// The position of the replica that a partition can do without most easily.
    fn dispensable(copy: &WorkingCopy<'_>, partition: usize) -> usize {
        let planned = &copy.partitions[partition];
        let positions = 0..planned.replicas.len();
        let best = positions.min_by_key(|position| {
            let broker = planned.replicas[*position];
            let is_target = copy.targets.contains(&broker);
            (
                !planned.behind.contains(&broker),
                is_target,
                *position == 0,
                Reverse(copy.rack_mates(partition, broker, broker)),
                Reverse(copy.loads[broker].replicas),
            )
        });
        best.expect("a partition has replicas")
    }

    /// Moves replicas from the broker that has most to those that have least. Returns the moves left.
    pub fn balance_replicas(&mut self, max_moves: usize) -> usize {
        for left in (1..=max_moves).rev() {
            let Some((partition, from, to)) = self.next_replica_move() else {
                return left;
            };
            self.copy.move_replica(partition, from, to);
        }
        0
    }

    fn next_replica_move(&mut self) -> Option<(usize, Place, Place)> {
        let copy = &mut self.copy;
        let mut by_load = copy.targets.clone();
        by_load.sort_by_key(|place| (copy.loads[*place].replicas, copy.loads[*place].bytes));
        for from in by_load.iter().rev() {
            for to in &by_load {
                if copy.loads[*from].replicas < copy.loads[*to].replicas + 2 {
                    break;
                }
                // What each replica of the difference has, so that bytes get even together with replicas.
                let (most, least) = (copy.loads[*from], copy.loads[*to]);
                let more = u64::try_from(most.replicas - least.replicas).unwrap_or(u64::MAX);
                let bytes = most.bytes.saturating_sub(least.bytes) / more;
                if let Some(partition) = copy.nearest(*from, *to, bytes) {
                    return Some((partition, *from, *to));
                }
            }
        }
        None
    }

    /// Swaps a large replica for a small one between two brokers, so that counts stay as they are.
    pub fn balance_bytes(&mut self, max_moves: usize) {
        let copy = &mut self.copy;
        let loads = copy.targets.iter().map(|to| copy.loads[*to]);
        let bytes: u64 = loads.clone().map(|load| load.bytes).sum();
        let replicas: usize = loads.map(|load| load.replicas).sum();
        let mean = |count: usize| bytes / u64::try_from(count.max(1)).unwrap_or(u64::MAX);
        let bounds = SwapBounds {
            gap: mean(copy.targets.len()) / NEGLIGIBLE_PART,
            gain: (mean(replicas) / NEGLIGIBLE_PART).max(1),
        };
        // A swap is two moves.
        for _ in 0..max_moves / 2 {
            let Some((from, to, large, small)) = self.next_swap(bounds) else {
                return;
            };
            self.copy.move_replica(large, from, to);
            self.copy.move_replica(small, to, from);
        }
    }

    /// A swap between the fullest and the emptiest pair of brokers that have one.
    fn next_swap(&mut self, bounds: SwapBounds) -> Option<(Place, Place, usize, usize)> {
        let mut by_bytes = self.copy.targets.clone();
        by_bytes.sort_by_key(|place| self.copy.loads[*place].bytes);
        for from in by_bytes.iter().rev() {
            for to in &by_bytes {
                let (fuller, emptier) = (self.copy.loads[*from].bytes, self.copy.loads[*to].bytes);
                if fuller <= emptier.saturating_add(bounds.gap) {
                    break;
                }
                if let Some((large, small)) =
                    self.best_swap(*from, *to, fuller - emptier, bounds.gain)
                {
                    return Some((*from, *to, large, small));
                }
            }
        }
        None
    }

    /// The largest replica that is no more than half the gap, against the smallest that may go back.
    fn best_swap(
        &mut self,
        from: Place,
        to: Place,
        gap: u64,
        least_gain: u64,
    ) -> Option<(usize, usize)> {
        let small = self.copy.smallest(to, from)?;
        let floor = self.copy.partitions[small].bytes;
        let large = self
            .copy
            .largest(from, to, floor + least_gain, floor + gap / 2)?;
        Some((large, small))
    }

    /// Puts another replica first where the leader's broker leads two more than that one does.
    pub fn balance_leaders(&mut self, max_moves: usize) {
        let mut led = Led::new(&self.copy);
        for _ in 0..max_moves {
            let Some((partition, old, new)) = led.next(&self.copy) else {
                return;
            };
            led.remove(&self.copy, partition);
            let replicas = &mut self.copy.partitions[partition].replicas;
            let position = replicas.iter().position(|place| *place == new);
            let position = position.expect("the new leader is a replica");
            replicas[..=position].rotate_right(1);
            self.copy.count_leader(old, new);
            led.insert(&self.copy, partition);
        }
    }
}

/// The partitions of each pair of a leader and another replica of theirs.
struct Led(Vec<BTreeSet<usize>>);

impl Led {
    fn new(copy: &WorkingCopy<'_>) -> Led {
        let count = copy.brokers.len();
        let mut led = Led(vec![BTreeSet::new(); count * count]);
        for partition in 0..copy.partitions.len() {
            led.insert(copy, partition);
        }
        led
    }

    fn insert(&mut self, copy: &WorkingCopy<'_>, partition: usize) {
        let replicas = &copy.partitions[partition].replicas;
        for other in &replicas[1..] {
            self.0[replicas[0] * copy.brokers.len() + other].insert(partition);
        }
    }

    fn remove(&mut self, copy: &WorkingCopy<'_>, partition: usize) {
        let replicas = &copy.partitions[partition].replicas;
        for other in &replicas[1..] {
            self.0[replicas[0] * copy.brokers.len() + other].remove(&partition);
        }
    }

    /// A partition of the pair that differ most, by at least two.
    fn next(&self, copy: &WorkingCopy<'_>) -> Option<(usize, Place, Place)> {
        let count = copy.brokers.len();
        let mut best = None;
        let mut most = 1;
        for old in 0..count {
            for new in &copy.targets {
                let gain = copy.loads[old]
                    .leaders
                    .saturating_sub(copy.loads[*new].leaders);
                if gain <= most {
                    continue;
                }
                if let Some(partition) = self.0[old * count + new].first() {
                    best = Some((*partition, old, *new));
                    most = gain;
                }
            }
        }
        best
    }
}
