//! The producer ids that this broker gives out, from blocks that the metadata allots (KIP-730).

use std::ops::Range;

use tokio::sync::Mutex;

use crate::metadata::{
    ExecuteError, MetadataStore,
    commands::{AllocateProducerIds, ProducerIdsExhausted},
};

/// Why there is no producer id.
#[derive(Debug, thiserror::Error)]
pub enum ProducerIdError {
    /// All are used up.
    #[error(transparent)]
    Exhausted(#[from] ProducerIdsExhausted),
    /// The metadata could not be changed.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
}

/// The rest of the current block. What is left of it when the process ends is never given out.
#[derive(Debug)]
pub struct ProducerIds {
    block: Mutex<Range<i64>>,
}

impl Default for ProducerIds {
    fn default() -> Self {
        Self {
            block: Mutex::new(0..0),
        }
    }
}

impl ProducerIds {
    /// An id that nobody has had.
    ///
    /// # Errors
    ///
    /// [`ProducerIdError`]; the next call tries again.
    pub async fn next(&self, metadata: &MetadataStore) -> Result<i64, ProducerIdError> {
        let mut block = self.block.lock().await;
        if block.is_empty() {
            *block = metadata.submit(AllocateProducerIds {}).await??;
        }
        let id = block.start;
        block.start += 1;
        Ok(id)
    }
}
