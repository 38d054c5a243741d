//! How much of what was written last stays in memory.
//!
//! Groups stay as they were written; partitions hold slices of them. When the bound is reached, the oldest
//! group is let go: its partitions drop their slices. Its memory is used again for the groups to come, unless
//! a reader still has some of it: memory that is new to the process costs the kernel as much as a copy.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};

use crate::partition::Partition;
use crate::types::Lsn;

/// Buffers kept for groups to come.
const SPARE_BUFFERS: usize = 6;

/// Buffers that have left the ring, for groups to come.
#[derive(Default)]
pub(crate) struct Buffers {
    spare: Mutex<Vec<BytesMut>>,
}

impl Buffers {
    /// An empty buffer with room for `bytes`, and not much more.
    pub fn take(&self, bytes: usize) -> BytesMut {
        let fits = |spare: &BytesMut| (bytes..=2 * bytes).contains(&spare.capacity());
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        match spare.iter().position(fits) {
            Some(at) => spare.swap_remove(at),
            None => BytesMut::with_capacity(bytes),
        }
    }

    fn give_back(&self, mut buffer: BytesMut) {
        buffer.clear();
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS {
            spare.push(buffer);
        }
    }
}

struct Group {
    buffer: Bytes,
    /// What the buffer takes, used or not.
    bytes: usize,
    end: Lsn,
    partitions: Vec<Arc<Partition>>,
}

/// The groups in memory, oldest first.
pub(crate) struct Ring {
    groups: VecDeque<Group>,
    bytes: usize,
    limit: usize,
    buffers: Arc<Buffers>,
}

impl Ring {
    pub fn new(limit: usize, buffers: Arc<Buffers>) -> Self {
        Self {
            groups: VecDeque::new(),
            bytes: 0,
            limit,
            buffers,
        }
    }

    /// Takes a group in, whose entries end before `end` and belong to `partitions`, in a buffer that takes
    /// `bytes`.
    pub fn push(&mut self, buffer: Bytes, bytes: usize, end: Lsn, partitions: Vec<Arc<Partition>>) {
        self.bytes += bytes;
        self.groups.push_back(Group {
            buffer,
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
            if let Ok(buffer) = oldest.buffer.try_into_mut() {
                self.buffers.give_back(buffer);
            }
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
