//! How much of what was written last stays in memory.
//!
//! Groups stay as they were written; partitions hold slices of them. When the bound is reached, the oldest
//! group is let go: its partitions drop their slices.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::partition::Partition;
use crate::types::Lsn;

struct Group {
    bytes: usize,
    end: Lsn,
    partitions: Vec<Arc<Partition>>,
}

/// The groups in memory, oldest first. Owned by the writer.
pub(crate) struct Ring {
    groups: VecDeque<Group>,
    bytes: usize,
    limit: usize,
}

impl Ring {
    pub fn new(limit: usize) -> Self {
        Self {
            groups: VecDeque::new(),
            bytes: 0,
            limit,
        }
    }

    /// Takes a group of `bytes` in, whose entries end before `end` and belong to `partitions`.
    pub fn push(&mut self, bytes: usize, end: Lsn, partitions: Vec<Arc<Partition>>) {
        self.bytes += bytes;
        self.groups.push_back(Group {
            bytes,
            end,
            partitions,
        });
        while self.bytes > self.limit
            && let Some(oldest) = self.groups.pop_front()
        {
            self.bytes -= oldest.bytes;
            for partition in &oldest.partitions {
                partition.forget_data_before(oldest.end);
            }
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
