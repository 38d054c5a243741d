//! A log in memory, as simple as can be, and what the real one is compared with.

use std::collections::{BTreeMap, BTreeSet};

use super::{Producer, Row};

/// How many batches of a producer are remembered.
const REMEMBERED: usize = 5;

/// A batch that a producer sent: its stamp, its first offset and its number of records.
pub type Sent = (Producer, u64, u64);

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub log_start: u64,
    pub log_end: u64,
    /// All records that may be there, by offset.
    pub rows: BTreeMap<u64, Row>,
    /// Where batches began when they were appended.
    pub bases: BTreeSet<u64>,
    /// Where the markers over offsets begin and end that the leader had nothing of.
    pub gaps: BTreeMap<u64, u64>,
    /// Leader epochs and where they begin.
    pub epochs: Vec<(i32, u64)>,
    pub sent: BTreeMap<i64, Vec<Sent>>,
    /// Whether the log may have forgotten producers (files were given back, and the index is new).
    pub forgetful: bool,
    /// Records that compaction may have removed, but need not have.
    pub doubtful: BTreeSet<u64>,
    /// When each tombstone was first looked at by compaction.
    pub tombstones: BTreeMap<u64, i64>,
}

impl Model {
    pub fn append(&mut self, rows: &[Row], epoch: i32, producer: Option<Producer>) {
        self.append_replica(self.log_end, rows.len() as u64, rows, epoch, producer);
    }

    /// A leader's batch of `offsets` offsets at `base`, which may be behind the log's end.
    pub fn append_replica(
        &mut self,
        base: u64,
        offsets: u64,
        rows: &[Row],
        epoch: i32,
        producer: Option<Producer>,
    ) {
        if base > self.log_end {
            self.bases.insert(self.log_end);
            self.gaps.insert(self.log_end, base);
        }
        self.bases.insert(base);
        self.log_end = base;
        self.begin_epoch(epoch);
        for row in rows {
            self.rows.insert(row.offset, row.clone());
        }
        self.log_end = base + offsets;
        if let Some(producer) = producer {
            let sent = self.sent.entry(producer.id).or_default();
            sent.push((producer, base, offsets));
            if sent.len() > REMEMBERED {
                sent.remove(0);
            }
        }
    }

    pub fn begin_epoch(&mut self, epoch: i32) {
        let start = self.log_end;
        if self.epochs.last().is_none_or(|(last, _)| *last < epoch) {
            self.epochs.retain(|(_, before)| *before < start);
            self.epochs.push((epoch, start));
        }
    }

    /// The log begins anew and empty at `start`.
    pub fn truncate_all(&mut self, start: u64) {
        *self = Self {
            log_start: start,
            log_end: start,
            forgetful: self.forgetful,
            ..Self::default()
        };
    }

    pub fn truncate_suffix(&mut self, log_end: u64) {
        self.epochs.retain(|(_, start)| *start < log_end);
        if log_end >= self.log_end {
            return;
        }
        self.log_end = log_end;
        self.log_start = self.log_start.min(log_end);
        self.rows.split_off(&log_end);
        self.bases.split_off(&log_end);
        self.gaps.split_off(&log_end);
        self.doubtful.split_off(&log_end);
        self.tombstones.split_off(&log_end);
        for sent in self.sent.values_mut() {
            sent.retain(|(_, base, _)| *base < log_end);
        }
        self.sent.retain(|_, sent| !sent.is_empty());
    }

    pub fn set_log_start(&mut self, log_start: u64) {
        if log_start <= self.log_start {
            return;
        }
        self.log_start = log_start;
        self.log_end = self.log_end.max(log_start);
        self.rows = self.rows.split_off(&log_start);
        let holding = self
            .epochs
            .iter()
            .rposition(|(_, start)| *start <= log_start);
        if let Some(holding) = holding {
            self.epochs.drain(..holding);
            self.epochs[0].1 = log_start;
        }
    }

    /// Compaction looked at everything before `end` at time `now`; tombstones stay for `retention`.
    pub fn compact(&mut self, end: u64, now: i64, retention: i64) {
        let mut newest: BTreeMap<&Vec<u8>, u64> = BTreeMap::new();
        for row in self.rows.range(..end).map(|(_, row)| row) {
            if let Some(key) = &row.key {
                newest.insert(key, row.offset);
            }
        }
        for (offset, row) in self.rows.range(..end) {
            let Some(key) = &row.key else { continue };
            let expired = row.value.is_none() && {
                let first = *self.tombstones.entry(*offset).or_insert(now);
                now > first + retention
            };
            if newest[key] > *offset || expired {
                self.doubtful.insert(*offset);
            }
        }
    }

    /// Compares what was read with what must and may be there; what is not there now must never come back.
    pub fn check(&mut self, read: &[Row]) {
        let read: BTreeMap<u64, &Row> = read.iter().map(|row| (row.offset, row)).collect();
        for (offset, row) in &read {
            assert_eq!(
                Some(*row),
                self.rows.get(offset),
                "offset {offset} was read"
            );
        }
        let missing: Vec<u64> = self
            .rows
            .keys()
            .filter(|offset| !read.contains_key(offset))
            .copied()
            .collect();
        for offset in missing {
            assert!(self.doubtful.remove(&offset), "offset {offset} is missing");
            self.rows.remove(&offset);
        }
    }

    /// The first record that is as new as `timestamp`, and whether all that might be it are certain.
    pub fn first_since(&self, timestamp: i64) -> Option<&Row> {
        self.rows.values().find(|row| row.timestamp >= timestamp)
    }

    pub fn newest(&self) -> Option<&Row> {
        let newest = self.rows.values().map(|row| row.timestamp).max()?;
        self.first_since(newest)
    }

    pub fn end_offset_for_epoch(&self, epoch: i32) -> Option<(i32, u64)> {
        let at = self.epochs.iter().rposition(|(e, _)| *e <= epoch)?;
        let end = self
            .epochs
            .get(at + 1)
            .map_or(self.log_end, |(_, start)| *start);
        Some((self.epochs[at].0, end))
    }

    /// Where the log ends when it is cut off at `offset`: where a batch begins, and no marker ends.
    pub fn boundary_at(&self, offset: u64) -> u64 {
        let mut boundary = self.base_of(offset);
        while boundary > self.log_start
            && let Some((start, _)) = self.gaps.iter().find(|(_, end)| **end == boundary)
        {
            boundary = *start;
        }
        boundary
    }

    /// Where the batch that holds `offset` began.
    pub fn base_of(&self, offset: u64) -> u64 {
        self.bases
            .range(..=offset)
            .next_back()
            .copied()
            .unwrap_or(offset)
    }
}
