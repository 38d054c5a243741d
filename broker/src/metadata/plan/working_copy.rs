//! The working copy of a plan: who has what, and which replica may go where.
//!
//! Brokers are named by their place in `brokers`, so that what there is of each pair of them is a list.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{PartitionKey, PlannedMove};
use crate::metadata::Image;

/// A broker, by its place in the working copy.
pub(super) type Place = usize;

/// A partition among those of a broker: its bytes, and its place in the working copy.
type Sized = (u64, usize);

/// A partition in the working copy.
pub(super) struct Planned {
    key: PartitionKey,
    before: Vec<Place>,
    pub replicas: Vec<Place>,
    /// Replicas that were not in sync before.
    pub behind: Vec<Place>,
    pub bytes: u64,
}

impl Planned {
    pub fn topic(&self) -> &str {
        &self.key.0
    }
}

/// What a broker has in the working copy.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    pub replicas: usize,
    pub leaders: usize,
    pub bytes: u64,
}

/// How far a pair of brokers has been searched for a replica that may move from one to the other.
#[derive(Clone, Default)]
struct Search {
    /// Nothing before this may move, but for what is in `reopened`.
    next: Sized,
    /// What has changed since the search went past it.
    reopened: BTreeSet<Sized>,
}

pub(super) struct WorkingCopy<'a> {
    /// All brokers that are registered or have replicas, by id.
    pub brokers: Vec<i32>,
    /// Those that may receive replicas.
    pub targets: Vec<Place>,
    pub partitions: Vec<Planned>,
    pub loads: Vec<Load>,
    /// `None` where the broker is not registered, which is a rack of its own.
    racks: Vec<Option<Option<&'a str>>>,
    /// The partitions of each broker.
    on: Vec<BTreeSet<Sized>>,
    /// By giver and receiver.
    searches: Vec<Search>,
}

impl<'a> WorkingCopy<'a> {
    pub fn new(
        image: &'a Image,
        sizes: &BTreeMap<PartitionKey, u64>,
        drained: &BTreeSet<i32>,
    ) -> WorkingCopy<'a> {
        let mut ids: BTreeSet<i32> = image.brokers().map(|broker| broker.broker_id).collect();
        for (_, _, partition) in image.partitions() {
            ids.extend(&partition.replicas);
        }
        let brokers: Vec<i32> = ids.into_iter().collect();
        let rack = |id: &i32| image.broker(*id).map(|broker| broker.rack.as_deref());
        let is_target = |place: &Place| {
            let id = brokers[*place];
            let is_active = image.broker(id).is_some_and(|broker| broker.is_active());
            is_active && !image.is_cordoned(id) && !drained.contains(&id)
        };
        let count = brokers.len();
        let mut copy = WorkingCopy {
            targets: (0..count).filter(is_target).collect(),
            racks: brokers.iter().map(rack).collect(),
            partitions: Vec::new(),
            loads: vec![Load::default(); count],
            on: vec![BTreeSet::new(); count],
            searches: vec![Search::default(); count * count],
            brokers,
        };
        copy.add_partitions(image, sizes);
        copy
    }

    /// Those that are being reassigned count as load, but stay where they are.
    fn add_partitions(&mut self, image: &Image, sizes: &BTreeMap<PartitionKey, u64>) {
        for (topic, index, partition) in image.partitions() {
            let key = (Arc::clone(&topic.name), index);
            let bytes = sizes.get(&key).copied().unwrap_or(0);
            let place = |id: &i32| self.brokers.binary_search(id).expect("all are collected");
            let replicas: Vec<Place> = partition.replicas.iter().map(place).collect();
            for broker in &replicas {
                self.loads[*broker].replicas += 1;
                self.loads[*broker].bytes += bytes;
            }
            self.loads[replicas[0]].leaders += 1;
            if !partition.is_reassigned() {
                for broker in &replicas {
                    self.on[*broker].insert((bytes, self.partitions.len()));
                }
                let behind = |id: &&i32| !partition.in_sync_replicas.contains(id);
                self.partitions.push(Planned {
                    key,
                    behind: partition
                        .replicas
                        .iter()
                        .filter(behind)
                        .map(place)
                        .collect(),
                    before: replicas.clone(),
                    replicas,
                    bytes,
                });
            }
        }
    }

    /// Whether a replica may move without putting more of its partition on one rack.
    pub fn can(&self, partition: usize, from: Place, to: Place) -> bool {
        let replicas = &self.partitions[partition].replicas;
        replicas.contains(&from)
            && !replicas.contains(&to)
            && self.rack_mates(partition, from, to) <= self.rack_mates(partition, from, from)
    }

    /// How many replicas other than `from` share the rack of `to`.
    pub fn rack_mates(&self, partition: usize, from: Place, to: Place) -> usize {
        let rack = self.racks[to];
        let others = self.partitions[partition].replicas.iter();
        others
            .filter(|other| **other != from && **other != to && self.racks[**other] == rack)
            .count()
    }

    /// The smallest partition that may move from one broker to the other.
    pub fn smallest(&mut self, from: Place, to: Place) -> Option<usize> {
        let pair = from * self.brokers.len() + to;
        let all = (u64::MAX, usize::MAX);
        if self.searches[pair].next == all && self.searches[pair].reopened.is_empty() {
            return None;
        }
        let mut search = std::mem::take(&mut self.searches[pair]);
        while let Some(first) = search.reopened.first().copied()
            && !self.can(first.1, from, to)
        {
            search.reopened.remove(&first);
        }
        let mut unsearched = self.on[from].range(search.next..);
        let next = unsearched.find(|(_, partition)| self.can(*partition, from, to));
        search.next = next.copied().unwrap_or(all);
        let found = search.reopened.first().or(next).map(|found| found.1);
        self.searches[pair] = search;
        found
    }

    /// A partition of about this size that may move from one broker to the other: the largest of those that
    /// are not larger, else the smallest.
    pub fn nearest(&mut self, from: Place, to: Place, bytes: u64) -> Option<usize> {
        // Whether there is any is found without looking at all of them again.
        let smallest = self.smallest(from, to)?;
        self.largest(from, to, 0, bytes).or(Some(smallest))
    }

    /// The largest partition within the bounds, both inclusive, that may move from one broker to the other.
    pub fn largest(&self, from: Place, to: Place, least: u64, most: u64) -> Option<usize> {
        if least > most {
            return None;
        }
        let within = self.on[from].range((least, 0)..=(most, usize::MAX));
        let mut descending = within.rev().map(|(_, partition)| *partition);
        descending.find(|partition| self.can(*partition, from, to))
    }

    pub fn move_replica(&mut self, partition: usize, from: Place, to: Place) {
        let planned = &mut self.partitions[partition];
        let bytes = planned.bytes;
        let position = planned.replicas.iter().position(|place| *place == from);
        let position = position.expect("only replicas are moved");
        planned.replicas[position] = to;
        self.loads[from].replicas -= 1;
        self.loads[from].bytes -= bytes;
        self.loads[to].replicas += 1;
        self.loads[to].bytes += bytes;
        if position == 0 {
            self.count_leader(from, to);
        }
        self.on[from].remove(&(bytes, partition));
        self.on[to].insert((bytes, partition));
        self.reopen(partition);
    }

    /// Puts a replica behind the others of its partition.
    pub fn add_replica(&mut self, partition: usize, to: Place) {
        let planned = &mut self.partitions[partition];
        let bytes = planned.bytes;
        planned.replicas.push(to);
        self.loads[to].replicas += 1;
        self.loads[to].bytes += bytes;
        self.on[to].insert((bytes, partition));
        self.reopen(partition);
    }

    /// Takes a replica away that is not the only one.
    pub fn remove_replica(&mut self, partition: usize, position: usize) {
        let planned = &mut self.partitions[partition];
        let bytes = planned.bytes;
        let from = planned.replicas.remove(position);
        let first = planned.replicas[0];
        self.loads[from].replicas -= 1;
        self.loads[from].bytes -= bytes;
        if position == 0 {
            self.count_leader(from, first);
        }
        self.on[from].remove(&(bytes, partition));
        self.reopen(partition);
    }

    /// Puts a partition before those that have been searched, for the pairs that it may move between now.
    fn reopen(&mut self, partition: usize) {
        let sized = (self.partitions[partition].bytes, partition);
        for from in self.partitions[partition].replicas.clone() {
            for to in self.targets.clone() {
                let pair = from * self.brokers.len() + to;
                if sized < self.searches[pair].next && self.can(partition, from, to) {
                    self.searches[pair].reopened.insert(sized);
                }
            }
        }
    }

    pub fn count_leader(&mut self, old: Place, new: Place) {
        self.loads[old].leaders -= 1;
        self.loads[new].leaders += 1;
    }

    /// What differs from the image.
    pub fn moves(self) -> Vec<PlannedMove> {
        let ids = |places: &[Place]| places.iter().map(|place| self.brokers[*place]).collect();
        let changed = self.partitions.iter().filter(|p| p.before != p.replicas);
        let planned = changed.map(|partition| {
            let is_added = |place: &&Place| !partition.before.contains(place);
            let added = partition.replicas.iter().filter(is_added).count();
            PlannedMove {
                topic: Arc::clone(&partition.key.0),
                index: partition.key.1,
                bytes: partition.bytes * u64::try_from(added).unwrap_or(u64::MAX),
                from: ids(&partition.before),
                to: ids(&partition.replicas),
            }
        });
        planned.collect()
    }
}
