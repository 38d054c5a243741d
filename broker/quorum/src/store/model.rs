//! A store in memory that forgets what was not synced, for simulations.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Change, Keys, Row, Rows, Store, StoreError, Table, Work, Working};

type Tables = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// A store in memory that forgets what was not synced when it [crashes](Self::crash).
#[derive(Default)]
pub struct ModelStore {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What a crash leaves.
    durable: Tables,
    /// What readers see.
    visible: Tables,
    /// Written since the last sync, in order.
    unsynced: Vec<Vec<Change>>,
    /// Writes until everything fails.
    writes_left: Option<usize>,
    fails: bool,
}

fn apply(tables: &mut Tables, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Put(table, key, value) => {
                tables.insert((*table, key.clone()), value.clone());
            }
            Change::Remove(table, key) => {
                tables.remove(&(*table, key.clone()));
            }
        }
    }
}

impl ModelStore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine loses its power: of the batches that were not synced, the first `kept` have reached the disk.
    pub fn crash(&self, kept: usize) {
        let mut state = self.state();
        let State {
            durable, unsynced, ..
        } = &mut *state;
        for changes in unsynced.drain(..).take(kept) {
            apply(durable, &changes);
        }
        state.visible = state.durable.clone();
        state.fails = false;
        state.writes_left = None;
    }

    /// Batches written since the last sync.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.state().unsynced.len()
    }

    /// The next `writes` succeed, with syncs between them. Then every write and sync fails, until a crash.
    pub fn fail_after(&self, writes: usize) {
        self.state().writes_left = Some(writes);
    }

    /// Whether a write has failed since the last crash.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.state().fails
    }
}

impl Store for ModelStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().visible.get(&(table, key.to_vec())).cloned())
    }

    fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Rows, StoreError> {
        if from > to {
            return Ok(Vec::new());
        }
        let state = self.state();
        let rows = state
            .visible
            .range((table, from.to_vec())..=(table, to.to_vec()));
        Ok(rows
            .take(limit)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }

    fn keys(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Keys, StoreError> {
        let rows = self.range(table, from, to, limit)?;
        Ok(rows.into_iter().map(|(key, _)| key).collect())
    }

    fn last(&self, table: Table) -> Result<Option<Row>, StoreError> {
        let state = self.state();
        let last = state.visible.iter().rev().find(|((of, _), _)| *of == table);
        Ok(last.map(|((_, key), value)| (key.clone(), value.clone())))
    }

    fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut state = self.state();
        state.fails |= state.writes_left == Some(0);
        if state.fails {
            return Err(StoreError("the model's disk fails".into()));
        }
        state.writes_left = state.writes_left.map(|left| left - 1);
        apply(&mut state.visible, &changes);
        state.unsynced.push(changes);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.fails {
            return Err(StoreError("the model's disk fails".into()));
        }
        state.unsynced.clear();
        state.durable = state.visible.clone();
        Ok(())
    }

    fn apart(&self, work: Work) -> Working {
        Box::pin(std::future::ready(work()))
    }
}
