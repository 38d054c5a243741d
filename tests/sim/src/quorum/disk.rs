//! A quorum node's disk: it takes its time, may fail, and forgets in a power cut what was not synced.

use std::sync::Arc;

use fjord_quorum::Store;
use fjord_quorum::store::{Change, Keys, ModelStore, Row, Rows, StoreError, Table, Work, Working};
use tokio::time::sleep;

use crate::dice::Dice;

/// Longest time of a write or a sync, in milliseconds: usually, and of a slow one.
const LONGEST_MS: u64 = 3;
const SLOWEST_MS: u64 = 60;
/// How many out of a hundred are slow.
const SLOW_PERCENT: u64 = 2;

/// A disk, which outlives its node.
pub struct Disk {
    model: ModelStore,
    dice: Dice,
}

impl Disk {
    /// An empty disk.
    pub fn new(dice: Dice) -> Arc<Self> {
        let model = ModelStore::default();
        Arc::new(Self { model, dice })
    }

    /// The process ends; what it has written stays.
    pub fn process_ends(&self) {
        self.model.crash(usize::MAX);
    }

    /// The power fails: of what was not synced, a part from the beginning on is there.
    pub fn power_fails(&self) {
        let unsynced = self.model.unsynced() as u64;
        let kept = self.dice.number(0..=unsynced);
        self.model
            .crash(usize::try_from(kept).unwrap_or(usize::MAX));
    }

    /// Every write and sync fails until the node is started again.
    pub fn fails(&self) {
        self.model.fail_after(0);
    }

    fn takes_ms(&self) -> u64 {
        match self.dice.happens(SLOW_PERCENT) {
            true => self.dice.number(0..=SLOWEST_MS),
            false => self.dice.number(0..=LONGEST_MS),
        }
    }
}

impl Store for Disk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.model.get(table, key)
    }

    fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Rows, StoreError> {
        self.model.range(table, from, to, limit)
    }

    fn keys(&self, table: Table, from: &[u8], to: &[u8], limit: usize) -> Result<Keys, StoreError> {
        self.model.keys(table, from, to, limit)
    }

    fn last(&self, table: Table) -> Result<Option<Row>, StoreError> {
        self.model.last(table)
    }

    fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.model.write(changes)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.model.sync()
    }

    /// The work is done somewhere between beginning and end: what a sync under way has reached is not known.
    fn apart(&self, work: Work) -> Working {
        let takes = self.takes_ms();
        let before = self.dice.number(0..=takes);
        let pause = |ms: u64| async move {
            if ms > 0 {
                sleep(std::time::Duration::from_millis(ms)).await;
            }
        };
        Box::pin(async move {
            pause(before).await;
            let done = work();
            pause(takes - before).await;
            done
        })
    }
}
