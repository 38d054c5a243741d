//! The store on disk: one fjall database.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Change, Keys, Row, Rows, Store, StoreError, Table, Work, Working};

/// Memory for cached blocks: the log's tail is in the memtable anyhow.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

impl From<fjall::Error> for StoreError {
    fn from(error: fjall::Error) -> Self {
        Self(error.to_string())
    }
}

/// The store on disk: one fjall database in a directory of its own.
pub struct FjallStore {
    database: Database,
    log: Keyspace,
    meta: Keyspace,
    snapshot: Keyspace,
}

impl FjallStore {
    /// Opens or makes the store in `directory`. A batch that a crash cut off at the journal's end is dropped whole.
    ///
    /// # Errors
    /// The directory cannot be used, another process has it, or its files are damaged.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let database = Database::builder(directory)
            .worker_threads(1)
            .cache_size(CACHE_BYTES)
            .manual_journal_persist(true)
            .open()?;
        let log = database.keyspace("log", KeyspaceCreateOptions::default)?;
        let meta = database.keyspace("meta", KeyspaceCreateOptions::default)?;
        let snapshot = database.keyspace("snapshot", KeyspaceCreateOptions::default)?;
        database.persist(PersistMode::SyncAll)?;
        Ok(Self {
            database,
            log,
            meta,
            snapshot,
        })
    }

    fn table(&self, table: Table) -> &Keyspace {
        match table {
            Table::Log => &self.log,
            Table::Meta => &self.meta,
            Table::Snapshot => &self.snapshot,
        }
    }
}

fn row(guard: fjall::Guard) -> Result<Row, StoreError> {
    let (key, value) = guard.into_inner()?;
    Ok((key.to_vec(), value.to_vec()))
}

impl Store for FjallStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.table(table).get(key)?.map(|value| value.to_vec()))
    }

    fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Rows, StoreError> {
        self.table(table)
            .range(from..=to)
            .take(limit)
            .map(row)
            .collect()
    }

    fn keys(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Keys, StoreError> {
        self.table(table)
            .range(from..=to)
            .take(limit)
            .map(|guard| Ok(guard.key()?.to_vec()))
            .collect()
    }

    fn last(&self, table: Table) -> Result<Option<Row>, StoreError> {
        self.table(table).last_key_value().map(row).transpose()
    }

    fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut batch = self.database.batch();
        for change in changes {
            match change {
                Change::Put(table, key, value) => batch.insert(self.table(table), key, value),
                Change::Remove(table, key) => batch.remove(self.table(table), key),
            }
        }
        Ok(batch.commit()?)
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    fn apart(&self, work: Work) -> Working {
        Box::pin(async {
            let done = tokio::task::spawn_blocking(work).await;
            done.map_err(|error| StoreError(error.to_string()))?
        })
    }
}
