//! What compaction makes of a batch: pure decisions.

use std::collections::HashMap;

use bytes::Bytes;
use fjord_wire::records::{Batch, BatchBuilder, BatchHeader, Record};

/// Most bytes that a batch may take decompressed.
const DECOMPRESSED_LIMIT: usize = 256 << 20;

/// What becomes of a batch.
pub(super) enum Rewrite {
    Keep,
    Remove,
    Replace(Bytes),
}

impl Rewrite {
    /// How much is to be written.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Keep | Self::Remove => 0,
            Self::Replace(batch) => batch.len(),
        }
    }
}

/// What decides about records.
pub(super) struct Judge<'a> {
    pub newest: &'a HashMap<Bytes, i64>,
    pub now_ms: i64,
    pub delete_retention_ms: i64,
}

/// What a pass has done so far.
#[derive(Default)]
pub(super) struct Pass {
    pub removed: u64,
    pub next_delete_horizon: Option<i64>,
}

/// Control batches and open transactions are not a matter of keys.
pub(super) fn is_left_alone(header: &BatchHeader) -> bool {
    header.is_control() || header.is_transactional()
}

pub(super) fn records(batch: &Batch) -> Result<Vec<Record>, String> {
    let records = batch
        .records(DECOMPRESSED_LIMIT)
        .map_err(|e| e.to_string())?;
    records.collect::<Result<_, _>>().map_err(|e| e.to_string())
}

impl Judge<'_> {
    /// Whether a record stays in a batch with this delete horizon.
    fn stays(&self, record: &Record, horizon: Option<i64>) -> bool {
        let Some(key) = &record.key else { return true };
        let superseded = self
            .newest
            .get(key)
            .is_some_and(|newest| record.offset < *newest);
        let expired =
            record.value.is_none() && horizon.is_some_and(|horizon| horizon < self.now_ms);
        !superseded && !expired
    }

    /// What becomes of a batch; `pass` counts.
    pub fn batch(&self, batch: &Batch, pass: &mut Pass) -> Result<Rewrite, String> {
        let header = &batch.header;
        if is_left_alone(header) {
            return Ok(Rewrite::Keep);
        }
        let all = records(batch)?;
        let count = all.len();
        let horizon = header.delete_horizon();
        let stay: Vec<Record> = all.into_iter().filter(|r| self.stays(r, horizon)).collect();
        pass.removed += (count - stay.len()) as u64;
        if stay.is_empty() {
            return Ok(Rewrite::Remove);
        }
        let tombstones = stay.iter().any(|r| r.value.is_none());
        let new_horizon = match horizon {
            None if tombstones => Some(self.now_ms.saturating_add(self.delete_retention_ms)),
            same => same,
        };
        if tombstones && let Some(at) = new_horizon {
            pass.next_delete_horizon =
                Some(pass.next_delete_horizon.map_or(at, |before| before.min(at)));
        }
        if stay.len() == count && new_horizon == horizon {
            return Ok(Rewrite::Keep);
        }
        rebuilt(header, &stay, new_horizon).map(Rewrite::Replace)
    }
}

/// The batch `header` with only the records in `stay`.
fn rebuilt(header: &BatchHeader, stay: &[Record], horizon: Option<i64>) -> Result<Bytes, String> {
    let mut builder = BatchBuilder::retaining(header).map_err(|e| e.to_string())?;
    if let Some(horizon) = horizon {
        builder = builder.with_delete_horizon(horizon);
    }
    for record in stay {
        builder
            .append(
                record.offset,
                record.timestamp,
                record.key.as_deref(),
                record.value.as_deref(),
                &record.headers,
            )
            .map_err(|e| e.to_string())?;
    }
    builder
        .extend_to(header.last_offset(), header.max_timestamp)
        .map_err(|e| e.to_string())?;
    builder.build().map_err(|e| e.to_string())
}
