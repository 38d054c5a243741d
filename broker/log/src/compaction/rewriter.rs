//! What writes the result of compaction.

use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use fjord_wire::records::BatchHeader;

use super::judge::Rewrite;
use crate::error::AppendError;
use crate::partition::{Completion, Partition};
use crate::queue::PendingEntry;
use crate::types::Location;
use crate::valuelog::entry::EntryKind;

/// Rewritten batches under way at a time.
const IN_FLIGHT: usize = 64;

/// Writes what has changed; neighbouring batches of which nothing stays share one marker.
pub(super) struct Rewriter<'a> {
    partition: &'a Partition,
    truncations: u64,
    marker: Option<(u64, Location, bool)>,
    under_way: usize,
    done: Sender<Result<(), AppendError>>,
    finished: Receiver<Result<(), AppendError>>,
}

impl<'a> Rewriter<'a> {
    pub fn new(partition: &'a Partition, truncations: u64) -> Self {
        let (done, finished) = channel();
        Self {
            partition,
            truncations,
            marker: None,
            under_way: 0,
            done,
            finished,
        }
    }

    pub fn batch(&mut self, base: u64, location: Location, rewrite: Rewrite) -> Result<(), String> {
        match rewrite {
            Rewrite::Remove => return self.extend_marker(base, location),
            Rewrite::Keep => self.flush_marker()?,
            Rewrite::Replace(payload) => {
                self.flush_marker()?;
                let header = BatchHeader::parse(&payload).map_err(|e| e.to_string())?;
                let location = Location {
                    max_timestamp: header.max_timestamp,
                    ..location
                };
                self.write(base, location, payload)?;
            }
        }
        Ok(())
    }

    fn extend_marker(&mut self, base: u64, location: Location) -> Result<(), String> {
        let Some((start, marker, _)) = self.marker else {
            self.marker = Some((base, location, location.length > 0));
            return Ok(());
        };
        let span = base + u64::from(location.last_offset_delta) - start;
        let Ok(last_offset_delta) = u32::try_from(span) else {
            self.flush_marker()?;
            return self.extend_marker(base, location);
        };
        let leader_epoch = marker.leader_epoch.max(location.leader_epoch);
        let max_timestamp = marker.max_timestamp.max(location.max_timestamp);
        self.marker = Some((
            start,
            Location {
                last_offset_delta,
                leader_epoch,
                max_timestamp,
                ..marker
            },
            true,
        ));
        Ok(())
    }

    /// Writes the marker, unless it is one that stands there already.
    fn flush_marker(&mut self) -> Result<(), String> {
        match self.marker.take() {
            Some((base, location, true)) => self.write(base, location, Bytes::new()),
            _ => Ok(()),
        }
    }

    fn write(&mut self, base: u64, location: Location, payload: Bytes) -> Result<(), String> {
        let entry = PendingEntry {
            kind: EntryKind::Replace,
            base_offset: base,
            last_offset_delta: location.last_offset_delta,
            leader_epoch: location.leader_epoch,
            max_timestamp: location.max_timestamp,
            payload,
            producer: None,
            fills_gap: false,
        };
        let completion = self.completion();
        self.partition
            .enqueue_rewrite(entry, self.truncations, completion)
            .map_err(|e| e.to_string())?;
        self.under_way += 1;
        if self.under_way >= IN_FLIGHT {
            self.wait()
        } else {
            Ok(())
        }
    }

    fn completion(&self) -> Completion {
        let done = self.done.clone();
        Box::new(move |result: Result<_, _>| {
            // The receiver waits for every entry, unless it has given up.
            let _ = done.send(result.map(|_| ()));
        })
    }

    fn wait(&mut self) -> Result<(), String> {
        self.under_way -= 1;
        self.finished
            .recv()
            .map_err(|e| e.to_string())?
            .map_err(|e| e.to_string())
    }

    /// Writes what is left, waits for all, and notes how far compaction has come.
    pub fn finish(mut self, end: u64, delete_horizon: Option<i64>) -> Result<(), String> {
        self.flush_marker()?;
        while self.under_way > 0 {
            self.wait()?;
        }
        let completion = self.completion();
        self.partition
            .enqueue_cleaned(end, delete_horizon, self.truncations, completion)
            .map_err(|e| e.to_string())?;
        self.under_way += 1;
        self.wait()
    }
}
