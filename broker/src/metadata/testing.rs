//! A metadata log in memory, for tests of what stands on the log and not of the log.

use std::sync::{Arc, Mutex};

use super::{MetadataLog, MetadataLogError, records::EncodedRecord, store::BoxFuture};

/// Keeps the records, and can be told to refuse more.
#[derive(Clone, Default)]
pub(crate) struct MemoryLog {
    records: Arc<Mutex<Vec<EncodedRecord>>>,
    refusal: Arc<Mutex<Refusal>>,
}

/// What becomes of records that are refused.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Refusal {
    /// Nothing is refused.
    #[default]
    Off,
    /// They are not written.
    BeforeWrite,
    /// They are written, but the writer is not told.
    AfterWrite,
}

impl MemoryLog {
    pub(crate) fn records(&self) -> Vec<EncodedRecord> {
        self.records.lock().unwrap().clone()
    }

    pub(crate) fn push(&self, record: EncodedRecord) {
        self.records.lock().unwrap().push(record);
    }

    pub(crate) fn set_refusing(&self, on: bool) {
        *self.refusal.lock().unwrap() = if on {
            Refusal::BeforeWrite
        } else {
            Refusal::Off
        };
    }

    pub(crate) fn set_refusing_after_write(&self, on: bool) {
        *self.refusal.lock().unwrap() = if on {
            Refusal::AfterWrite
        } else {
            Refusal::Off
        };
    }
}

impl MetadataLog for MemoryLog {
    fn append(
        &self,
        records: Vec<EncodedRecord>,
        _timestamp_ms: i64,
    ) -> BoxFuture<Result<(), MetadataLogError>> {
        let log = self.clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            let refusal = *log.refusal.lock().unwrap();
            if refusal != Refusal::BeforeWrite {
                log.records.lock().unwrap().extend(records);
            }
            match refusal {
                Refusal::Off => Ok(()),
                _ => Err(MetadataLogError("no space".to_owned())),
            }
        })
    }
}
