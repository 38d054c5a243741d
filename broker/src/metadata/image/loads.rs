//! How many partitions each broker has: derived from the topics, and changed with them, so that a topic
//! can be placed among thousands of others without counting these.

use std::{collections::BTreeMap, sync::Arc};

use rpds::RedBlackTreeMapSync;

use super::Partition;

/// What a broker has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Replicas, in sync or not.
    pub replicas: usize,
    /// Partitions whose preferred leader it is.
    pub preferred_leaders: usize,
}

/// The loads of all brokers that have anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Loads(RedBlackTreeMapSync<i32, Load>);

/// A difference in replicas and in preferred leaders.
type Change = (isize, isize);

impl Loads {
    pub fn of(&self, broker_id: i32) -> Load {
        self.0.get(&broker_id).copied().unwrap_or_default()
    }

    /// With these partitions besides.
    pub fn with<'a>(&self, partitions: impl IntoIterator<Item = &'a Arc<Partition>>) -> Loads {
        let mut changes = BTreeMap::new();
        for partition in partitions {
            count(&mut changes, &partition.replicas, 1);
        }
        self.changed(changes)
    }

    /// Without these partitions.
    pub fn without(&self, partitions: &[Arc<Partition>]) -> Loads {
        let mut changes = BTreeMap::new();
        for partition in partitions {
            count(&mut changes, &partition.replicas, -1);
        }
        self.changed(changes)
    }

    /// With one partition's replicas on other brokers.
    pub fn moved(&self, from: &[i32], to: &[i32]) -> Loads {
        // Most changes of a partition leave its replicas where they are.
        if from == to {
            return self.clone();
        }
        let mut changes = BTreeMap::new();
        count(&mut changes, from, -1);
        count(&mut changes, to, 1);
        self.changed(changes)
    }

    fn changed(&self, changes: BTreeMap<i32, Change>) -> Loads {
        let mut loads = self.0.clone();
        for (id, (replicas, leaders)) in changes {
            let load = self.of(id);
            let counted = "what is taken away was counted before";
            let load = Load {
                replicas: load.replicas.checked_add_signed(replicas).expect(counted),
                preferred_leaders: load
                    .preferred_leaders
                    .checked_add_signed(leaders)
                    .expect(counted),
            };
            match load == Load::default() {
                true => loads.remove_mut(&id),
                false => {
                    loads.insert_mut(id, load);
                    true
                }
            };
        }
        Loads(loads)
    }
}

fn count(changes: &mut BTreeMap<i32, Change>, replicas: &[i32], by: isize) {
    for (place, id) in replicas.iter().enumerate() {
        let change = changes.entry(*id).or_default();
        change.0 += by;
        if place == 0 {
            change.1 += by;
        }
    }
}
