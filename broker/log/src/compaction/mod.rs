//! Compaction by key: of every key only the newest record stays (`cleanup.policy=compact`).
//!
//! Two passes over a partition. The first learns the newest offset of every key in the part that was not
//! compacted yet; the second rewrites, from the log's start on, the batches that hold older records of
//! these keys. A batch keeps its offsets; a batch of which nothing stays leaves a marker. The newest batch
//! of the log is never touched, so that a reader always reaches the log's end.
//!
//! A tombstone (a record without value) goes `delete.retention.ms` after it was first compacted: the batch
//! carries the time from which it may go, its delete horizon (KIP-534).

mod judge;
mod rewriter;

use std::collections::HashMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use fjord_wire::records::{Batch, BatchHeader};

use self::judge::{Judge, Pass, Rewrite, is_left_alone, records};
use self::rewriter::Rewriter;
use crate::log::Log;
use crate::partition::Partition;
use crate::types::Location;

/// What a key costs in the map besides its own bytes, about.
const KEY_OVERHEAD: usize = 64;

/// What a topic says about its compaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompactionPolicy {
    /// Share of the log that must not be compacted yet before a pass is worth it (`min.cleanable.dirty.ratio`).
    pub min_dirty_ratio: f64,
    /// Records younger than this stay as they are, in milliseconds (`min.compaction.lag.ms`).
    pub min_lag_ms: u64,
    /// Records older than this are compacted whatever the ratio, in milliseconds (`max.compaction.lag.ms`).
    pub max_lag_ms: u64,
    /// How long a tombstone can be seen after it was compacted, in milliseconds (`delete.retention.ms`).
    pub delete_retention_ms: u64,
    /// Memory for the keys of one pass, in bytes (`log.cleaner.dedupe.buffer.size`).
    pub dedupe_bytes: usize,
}

/// What a round of compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionResult {
    /// Partitions compacted.
    pub partitions: usize,
    /// Records removed.
    pub records_removed: u64,
}

/// Is told of every stretch of bytes that was read or is to be written, as it comes. It may wait, which is
/// how `log.cleaner.io.max.bytes.per.second` is kept; a break ends the round, and the next one begins again
/// where this one had begun.
pub type CompactionPace<'a> = &'a mut dyn FnMut(usize) -> ControlFlow<()>;

/// Why a pass has not come to its end.
enum Ended {
    /// The pace said so.
    Asked,
    Failed(String),
}

impl From<String> for Ended {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

fn keep_pace(pace: CompactionPace, bytes: usize) -> Result<(), Ended> {
    match pace(bytes) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Ended::Asked),
    }
}

/// A stretch of a log to be compacted.
struct Plan {
    log_start: u64,
    /// Up to here everything was compacted before.
    dirty_start: u64,
    /// From here on nothing is touched.
    end: u64,
}

impl Log {
    /// Compacts every partition whose policy says that it is due; `now_ms` is the time in milliseconds. May
    /// wait for the disk, and take long: call it from a thread of its own. `pace` bounds how fast it goes.
    pub fn compact(&self, now_ms: i64, pace: CompactionPace) -> CompactionResult {
        let mut result = CompactionResult::default();
        for partition in self.shared().partitions() {
            let Some(policy) = partition.policies().compaction else {
                continue;
            };
            match self.compact_partition(&partition, policy, now_ms, pace) {
                Ok(Some(pass)) => {
                    tracing::debug!(
                        partition = partition.label(),
                        removed = pass.removed,
                        "compacted"
                    );
                    result.partitions += 1;
                    result.records_removed += pass.removed;
                }
                Ok(None) => {}
                Err(Ended::Asked) => break,
                Err(Ended::Failed(error)) => {
                    tracing::warn!(partition = partition.label(), error, "compaction stopped");
                }
            }
        }
        result
    }

    fn compact_partition(
        &self,
        partition: &Partition,
        policy: CompactionPolicy,
        now_ms: i64,
        pace: CompactionPace,
    ) -> Result<Option<Pass>, Ended> {
        let _alone = self.rewriting();
        let truncations = partition.truncations();
        let Some(mut plan) = self.plan_compaction(partition, policy, now_ms)? else {
            return Ok(None);
        };
        // What is rewritten must be in the index: see `Recent::leave_to_index`.
        if !self.wait_until_indexed() {
            return Err(Ended::Failed("the index is behind".into()));
        }
        let newest = self.newest_offsets(partition, &mut plan, policy.dedupe_bytes, pace)?;
        let judge = Judge {
            newest: &newest,
            now_ms,
            delete_retention_ms: i64::try_from(policy.delete_retention_ms).unwrap_or(i64::MAX),
        };
        let mut rewriter = Rewriter::new(partition, truncations);
        let mut pass = Pass::default();
        let mut places = Places::new(partition, plan.log_start, plan.end);
        while let Some((base, location)) = places.next(self)? {
            let rewrite = match location.length {
                0 => Rewrite::Remove,
                _ => judge.batch(&self.batch(partition, base, location)?, &mut pass)?,
            };
            keep_pace(pace, location.length as usize + rewrite.bytes())?;
            rewriter.batch(base, location, rewrite)?;
        }
        // Only now, when everything before is written: a pass that stops half-way begins again.
        rewriter.finish(plan.end, pass.next_delete_horizon)?;
        // Whoever rewrites next must find in the index what was written here.
        if !self.wait_until_indexed() {
            return Err(Ended::Failed("the index is behind".into()));
        }
        Ok(Some(pass))
    }

    /// What is to be done with a partition now, if anything.
    fn plan_compaction(
        &self,
        partition: &Partition,
        policy: CompactionPolicy,
        now_ms: i64,
    ) -> Result<Option<Plan>, String> {
        let positions = partition.positions();
        let (cleaned_end, delete_horizon) = partition.compaction_state();
        // What may yet be truncated, and the batch before it, stay. A truncation may have made a batch the newest one
        // that was compacted before.
        let mut newest = positions.durable_end.min(partition.high_watermark());
        if let Some(last) = newest.checked_sub(1) {
            partition.visit(self.shared(), last, &mut |base, _| {
                newest = newest.min(base);
                false
            })?;
        }
        let dirty_start = cleaned_end.min(newest).max(positions.log_start);
        let youngest = now_ms.saturating_sub(i64::try_from(policy.min_lag_ms).unwrap_or(i64::MAX));
        let oldest = now_ms.saturating_sub(i64::try_from(policy.max_lag_ms).unwrap_or(i64::MAX));
        let (mut dirty_bytes, mut end, mut overdue) = (0u64, dirty_start, false);
        partition.visit(self.shared(), dirty_start, &mut |base, location| {
            let last = base + u64::from(location.last_offset_delta);
            if base >= newest || location.max_timestamp > youngest {
                return false;
            }
            dirty_bytes += u64::from(location.length);
            overdue |= location.max_timestamp >= 0 && location.max_timestamp < oldest;
            end = last + 1;
            true
        })?;
        let total = partition.size_bytes().max(1);
        // Both are byte counts far below 2^52: the ratio is exact enough.
        let due = dirty_bytes > 0 && dirty_bytes as f64 / total as f64 >= policy.min_dirty_ratio;
        let horizon_passed = delete_horizon.is_some_and(|horizon| horizon < now_ms);
        let plan = Plan {
            log_start: positions.log_start,
            dirty_start,
            end,
        };
        Ok((due || overdue || horizon_passed).then_some(plan))
    }

    /// The newest offset of each key in the dirty part; the plan ends earlier if they do not all fit.
    fn newest_offsets(
        &self,
        partition: &Partition,
        plan: &mut Plan,
        limit: usize,
        pace: CompactionPace,
    ) -> Result<HashMap<Bytes, i64>, Ended> {
        let mut newest = HashMap::new();
        let mut bytes = 0usize;
        let mut places = Places::new(partition, plan.dirty_start, plan.end);
        while let Some((base, location)) = places.next(self)? {
            if bytes >= limit {
                plan.end = base;
                break;
            }
            if location.length == 0 {
                continue;
            }
            let batch = self.batch(partition, base, location)?;
            keep_pace(pace, batch.bytes.len())?;
            if is_left_alone(&batch.header) {
                continue;
            }
            for record in records(&batch)? {
                let Some(key) = record.key else { continue };
                if newest
                    .insert(Bytes::copy_from_slice(&key), record.offset)
                    .is_none()
                {
                    bytes += key.len() + KEY_OVERHEAD;
                }
            }
        }
        Ok(newest)
    }

    fn batch(&self, partition: &Partition, base: u64, location: Location) -> Result<Batch, String> {
        let bytes = partition
            .read_at(self.shared(), base, location)
            .map_err(|e| e.to_string())?;
        let header = BatchHeader::parse(&bytes).map_err(|e| e.to_string())?;
        Ok(Batch { header, bytes })
    }
}

/// Walks over the batches of a stretch of a log, a page of the index at a time.
struct Places<'a> {
    partition: &'a Partition,
    page: std::vec::IntoIter<(u64, Location)>,
    next: u64,
    end: u64,
}

impl<'a> Places<'a> {
    fn new(partition: &'a Partition, start: u64, end: u64) -> Self {
        Self {
            partition,
            page: Vec::new().into_iter(),
            next: start,
            end,
        }
    }

    fn next(&mut self, log: &Log) -> Result<Option<(u64, Location)>, String> {
        if self.page.len() == 0 && self.next < self.end {
            self.page = self.partition.places(log.shared(), self.next)?.into_iter();
        }
        let found = self.page.next().filter(|(base, _)| *base < self.end);
        if let Some((base, location)) = found {
            self.next = base + u64::from(location.last_offset_delta) + 1;
        }
        Ok(found)
    }
}
