//! A metadata log in memory, for tests of what stands on the log and not of the log.

use std::sync::{Arc, Mutex};

use super::{MetadataLog, MetadataLogError, records::EncodedRecord, store::BoxFuture};

/// Keeps the records, and can be told to refuse more.
#[derive(Clone, Default)]
pub(crate) struct MemoryLog {
    records: Arc<Mutex<Vec<EncodedRecord>>>,
    is_refusing: Arc<Mutex<bool>>,
}

impl MemoryLog {
    pub(crate) fn records(&self) -> Vec<EncodedRecord> {
        self.records.lock().unwrap().clone()
    }

    pub(crate) fn push(&self, record: EncodedRecord) {
        self.records.lock().unwrap().push(record);
    }

    pub(crate) fn set_refusing(&self, is_refusing: bool) {
        *self.is_refusing.lock().unwrap() = is_refusing;
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
            if *log.is_refusing.lock().unwrap() {
                return Err(MetadataLogError("no space".to_owned()));
            }
            log.records.lock().unwrap().extend(records);
            Ok(())
        })
    }
}
