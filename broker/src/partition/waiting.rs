//! Appends that are on the leader's disk and wait for the high watermark.

use std::collections::VecDeque;

use fjord_log::AppendOutcome;

use super::replica::WriteError;

/// Who is told what became of an append. Called once, quickly, by whoever brings the news.
pub type Done = Box<dyn FnOnce(Result<AppendOutcome, WriteError>) + Send>;

/// One append.
struct Entry {
    /// The offset that the high watermark must reach.
    end: u64,
    bytes: usize,
    outcome: AppendOutcome,
    /// Since when it waits.
    since_ms: u64,
    /// Nothing if the leader's disk was enough for who wrote it (acks=1).
    done: Option<Done>,
}

/// The appends of one partition that wait, in the order of their ends.
#[derive(Default)]
pub struct Waiting {
    entries: VecDeque<Entry>,
}

/// What has become readable, and who is to be told.
#[derive(Default)]
#[must_use]
pub struct Released {
    /// Bytes of record batches.
    pub bytes: usize,
    told: Vec<(Done, AppendOutcome)>,
}

impl Waiting {
    /// Adds an append, which waits from `now_ms` on.
    pub fn push(&mut self, outcome: AppendOutcome, bytes: usize, now_ms: u64, done: Option<Done>) {
        let end = outcome.last_offset + 1;
        // A repeated batch waits for where it was the first time.
        let place = self.entries.partition_point(|entry| entry.end <= end);
        let entry = Entry {
            end,
            bytes,
            outcome,
            since_ms: now_ms,
            done,
        };
        self.entries.insert(place, entry);
    }

    /// Takes out what the high watermark has reached.
    pub fn release(&mut self, high_watermark: u64) -> Released {
        let mut released = Released::default();
        while let Some(entry) = self
            .entries
            .pop_front_if(|entry| entry.end <= high_watermark)
        {
            released.bytes += entry.bytes;
            released
                .told
                .extend(entry.done.map(|done| (done, entry.outcome)));
        }
        released
    }

    /// Takes out all who wait to be told, since they will not be told that they are on all in-sync replicas.
    pub fn take_all(&mut self) -> Vec<Done> {
        self.take_older(u64::MAX)
    }

    /// The same for those who have waited since before `since_ms`.
    pub fn take_older(&mut self, since_ms: u64) -> Vec<Done> {
        self.entries
            .iter_mut()
            .filter(|entry| entry.since_ms < since_ms)
            .filter_map(|entry| entry.done.take())
            .collect()
    }
}

impl Released {
    /// Tells everyone. No lock may be held.
    pub fn tell(self) {
        for (done, outcome) in self.told {
            done(Ok(outcome));
        }
    }
}
