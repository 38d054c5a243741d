//! Where a node keeps its log, its vote and its snapshot: rows in tables, changed by atomic batches, and durable once
//! synced.

mod fjall_store;
mod model;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use fjall_store::FjallStore;
pub use model::ModelStore;

/// A table of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Entries of the log, by index (eight bytes, big-endian).
    Log,
    /// Single values: identity, vote, positions, and what the snapshot holds.
    Meta,
    /// The snapshot, in pieces.
    Snapshot,
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Writes a row.
    Put(Table, Vec<u8>, Vec<u8>),
    /// Removes a row.
    Remove(Table, Vec<u8>),
}

/// The store has failed; the node that used it stops, for only a restart shows what is durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the quorum's store failed: {0}")]
pub struct StoreError(pub String);

/// Rows in tables. Batches become durable in the order in which they were written.
pub trait Store: Send + Sync + 'static {
    /// A row.
    ///
    /// # Errors
    /// The store failed.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Up to `limit` rows with keys in `from..=to`, in order.
    ///
    /// # Errors
    /// The store failed.
    fn range(&self, table: Table, from: &[u8], to: &[u8], limit: usize)
    -> Result<Rows, StoreError>;

    /// The keys of up to `limit` rows in `from..=to`, in order.
    ///
    /// # Errors
    /// The store failed.
    fn keys(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Keys, StoreError>;

    /// The last row of a table.
    ///
    /// # Errors
    /// The store failed.
    fn last(&self, table: Table) -> Result<Option<Row>, StoreError>;

    /// Makes the changes visible, all or none. They may be lost in a crash until [`Self::sync`] has returned.
    ///
    /// # Errors
    /// The store failed.
    fn write(&self, changes: Vec<Change>) -> Result<(), StoreError>;

    /// Makes all that was written before durable.
    ///
    /// # Errors
    /// The store failed; what is durable is not known.
    fn sync(&self) -> Result<(), StoreError>;

    /// Does `work`, a [`Self::write`] or a [`Self::sync`] that may block, without blocking the thread of the caller: a
    /// write waits for the sync that is under way.
    fn apart(&self, work: Work) -> Working;
}

/// What is to be done with a store.
pub type Work = Box<dyn FnOnce() -> Result<(), StoreError> + Send>;
/// [`Work`] that is under way.
pub type Working = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;
/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);
/// Several rows.
pub type Rows = Vec<Row>;
/// Several keys.
pub type Keys = Vec<Vec<u8>>;

/// [`Store::write`], without blocking the caller's thread.
pub(crate) async fn write(store: &Arc<dyn Store>, changes: Vec<Change>) -> Result<(), StoreError> {
    let to = Arc::clone(store);
    store.apart(Box::new(move || to.write(changes))).await
}

/// [`Store::sync`], without blocking the caller's thread.
pub(crate) async fn sync(store: &Arc<dyn Store>) -> Result<(), StoreError> {
    let to = Arc::clone(store);
    store.apart(Box::new(move || to.sync())).await
}
