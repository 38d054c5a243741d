//! The snapshot in the store: its pieces, and one row that says which pieces are meant.
//!
//! A new snapshot's pieces are written beside the old one's, then the row is changed, all is synced, and the old pieces
//! are removed. Batches become durable in order, so a crash leaves the old snapshot or the new one, whole.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use prost::Message;
use tokio::sync::{Mutex, MutexGuard};

use crate::codec;
use crate::log_store;
use crate::proto;
use crate::store::{self, Change, Store, StoreError, Table};
use crate::types::{Snapshot, SnapshotMeta};

const SNAPSHOT: &[u8] = b"snapshot";
/// Size of a row.
const PIECE_BYTES: usize = 256 * 1024;
/// Rows of one batch: other writes wait for at most this much.
const PIECES_PER_BATCH: usize = 4;
/// Removals of one batch.
const REMOVALS_PER_BATCH: usize = 4096;

/// The snapshot in the store. One that is built and one that is installed may be saved at the same time.
pub(crate) struct Snapshots {
    store: Arc<dyn Store>,
    turn: Mutex<()>,
}

fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError(format!("the snapshot is damaged: {error}"))
}

fn key(number: u64, piece: u64) -> Vec<u8> {
    [number.to_be_bytes(), piece.to_be_bytes()].concat()
}

fn read_meta(stored: &proto::StoredSnapshot) -> Result<SnapshotMeta, StoreError> {
    let meta = stored.meta.as_ref().ok_or_else(|| damaged("no meta"))?;
    codec::read_snapshot_meta(meta).map_err(damaged)
}

impl Snapshots {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            turn: Mutex::default(),
        }
    }

    async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    fn stored(&self) -> Result<Option<proto::StoredSnapshot>, StoreError> {
        let row = self.store.get(Table::Meta, SNAPSHOT)?;
        let decode = |row: Vec<u8>| proto::StoredSnapshot::decode(row.as_slice()).map_err(damaged);
        row.map(decode).transpose()
    }

    /// Keeps this snapshot, of the state here or from another node (`installed`), instead of the one before, durably. One
    /// that holds no more than the kept one is dropped.
    pub async fn save(
        &self,
        meta: &SnapshotMeta,
        data: &Bytes,
        installed: bool,
    ) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        let old = self.stored()?;
        if let Some(old) = &old
            && read_meta(old)?.last_log_id >= meta.last_log_id
        {
            return Ok(());
        }
        let number = old.as_ref().map_or(0, |old| old.number) + 1;
        // What a crash left of the save before.
        self.remove_others(old.map(|old| old.number)).await?;
        let pieces: Vec<_> = (0..data.len()).step_by(PIECE_BYTES).collect();
        for batch in pieces.chunks(PIECES_PER_BATCH) {
            let changes = batch.iter().map(|&from| {
                let piece = &data[from..data.len().min(from + PIECE_BYTES)];
                let key = key(number, (from / PIECE_BYTES) as u64);
                Change::Put(Table::Snapshot, key, piece.to_vec())
            });
            store::write(&self.store, changes.collect()).await?;
        }
        let stored = proto::StoredSnapshot {
            meta: Some(codec::snapshot_meta(meta)),
            number,
            pieces: pieces.len() as u64,
            bytes: data.len() as u64,
        };
        let row = Change::Put(Table::Meta, SNAPSHOT.to_vec(), stored.encode_to_vec());
        let mut rows = vec![row];
        if let Some(id) = meta.last_log_id.as_ref().filter(|_| installed) {
            rows.extend(log_store::replaced_by_snapshot(self.store.as_ref(), id)?);
        }
        store::write(&self.store, rows).await?;
        store::sync(&self.store).await?;
        self.remove_others(Some(number)).await
    }

    /// Removes the pieces of all snapshots but this one.
    async fn remove_others(&self, kept: Option<u64>) -> Result<(), StoreError> {
        let keys = self
            .store
            .keys(Table::Snapshot, &[], &key(u64::MAX, u64::MAX), usize::MAX)?;
        let kept = kept.map(u64::to_be_bytes);
        let others: Vec<_> = keys
            .into_iter()
            .filter(|key| kept.is_none_or(|kept| !key.starts_with(&kept)))
            .collect();
        for keys in others.chunks(REMOVALS_PER_BATCH) {
            let removals = keys
                .iter()
                .map(|key| Change::Remove(Table::Snapshot, key.clone()));
            store::write(&self.store, removals.collect()).await?;
        }
        Ok(())
    }

    /// The snapshot that is kept.
    pub async fn load(&self) -> Result<Option<Snapshot>, StoreError> {
        let _turn = self.turn().await;
        let Some(stored) = self.stored()? else {
            return Ok(None);
        };
        let mut data = BytesMut::new();
        for piece in 0..stored.pieces {
            let key = key(stored.number, piece);
            let row = self.store.get(Table::Snapshot, &key)?;
            data.extend_from_slice(&row.ok_or_else(|| damaged("a piece is missing"))?);
        }
        if data.len() as u64 != stored.bytes {
            return Err(damaged("its length is another one"));
        }
        Ok(Some(Snapshot {
            meta: read_meta(&stored)?,
            snapshot: data.freeze(),
        }))
    }
}
