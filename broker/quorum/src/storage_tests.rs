//! openraft's own suite for log stores and state machines, on both stores, and what it does not ask: crashes between
//! any two writes.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use openraft::storage::{IOFlushed, RaftLogStorage, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use openraft::{EntryPayload, RaftLogReader, RaftSnapshotBuilder, StorageError, StorageHelper};
use tempfile::TempDir;

use crate::log_store::LogStore;
use crate::machine::{Machine, Position, RestoreError, StateMachine};
use crate::store::{FjallStore, ModelStore, Store, Table};
use crate::types::{Command, Entry, LogId, Runtime, SnapshotMeta, TypeConfig, Vote};

/// Keeps the last command.
#[derive(Default)]
struct Last(Vec<u8>);

impl StateMachine for Last {
    fn apply(&mut self, _: Position, command: &[u8]) -> Bytes {
        self.0 = command.to_vec();
        Bytes::new()
    }

    fn snapshot(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        self.0 = snapshot.to_vec();
        Ok(())
    }
}

fn open(store: &Arc<dyn Store>) -> (LogStore, Machine) {
    let machine = Machine::new(Box::<Last>::default(), Arc::clone(store));
    (LogStore::new(Arc::clone(store)), machine)
}

struct OnDisk;
struct InModel;

type Built<G> = Result<(G, LogStore, Machine), StorageError<TypeConfig>>;

impl StoreBuilder<TypeConfig, LogStore, Machine, TempDir> for OnDisk {
    async fn build(&self) -> Built<TempDir> {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(FjallStore::open(directory.path()).unwrap());
        let (log, machine) = open(&store);
        Ok((directory, log, machine))
    }
}

impl StoreBuilder<TypeConfig, LogStore, Machine, ()> for InModel {
    async fn build(&self) -> Built<()> {
        let store: Arc<dyn Store> = Arc::new(ModelStore::default());
        let (log, machine) = open(&store);
        Ok(((), log, machine))
    }
}

#[tokio::test]
async fn openrafts_suite_on_disk() {
    Runtime::scope(1, Suite::test_all(OnDisk)).await.unwrap();
}

#[tokio::test]
async fn openrafts_suite_in_the_model() {
    Runtime::scope(1, Suite::test_all(InModel)).await.unwrap();
}

fn id(term: u64, index: u64) -> LogId {
    use openraft::vote::leader_id_std::CommittedLeaderId;
    LogId::new(CommittedLeaderId { term }, index)
}

fn entries(term: u64, indexes: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    let entry = |index: u64| Entry {
        log_id: id(term, index),
        payload: EntryPayload::Normal(Command(Bytes::from(index.to_string()))),
    };
    indexes.map(entry).collect()
}

/// Appends and waits until that is durable.
async fn append(log: &mut LogStore, entries: Vec<Entry>) -> io::Result<()> {
    let (sender, flushed) = TypeConfig::oneshot();
    log.append(entries, IOFlushed::signal(sender)).await?;
    flushed.await.map_err(io::Error::other)?
}

async fn apply(log: &mut LogStore, machine: &mut Machine, to: u64) -> io::Result<()> {
    let from = machine
        .applied_state()
        .await?
        .0
        .map_or(0, |id| id.index + 1);
    let entries = log.try_get_log_entries(from..=to).await?;
    let entries = entries.into_iter().map(|entry| Ok((entry, None)));
    machine.apply(futures::stream::iter(entries)).await
}

/// What a node finds when it starts: the indexes of its log, what is applied, and the state.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    purged: Option<LogId>,
    log: Vec<u64>,
    applied: Option<LogId>,
    state: Vec<u8>,
}

async fn start(store: &Arc<dyn Store>) -> Result<Found, StorageError<TypeConfig>> {
    let (mut log, mut machine) = open(store);
    let mut helper = StorageHelper::new(&mut log, &mut machine).with_id(1);
    let state = helper.get_initial_state().await?;
    assert_eq!(state.vote_ref(), &Vote::new_committed(3, 1));
    let entries = log.try_get_log_entries(..).await.unwrap();
    let found = Found {
        purged: log.get_log_state().await.unwrap().last_purged_log_id,
        log: entries.iter().map(|entry| entry.log_id.index).collect(),
        applied: machine.applied_state().await.unwrap().0,
        state: machine.snapshot_bytes().to_vec(),
    };
    Ok(found)
}

/// A log of the entries 0 to 9 of term 3, of which 0 to 5 are committed and applied, in `store`. Then `change`, with the
/// power lost before any of its writes, with the unsynced ones kept and without them; and what a start then finds.
async fn crash_everywhere<C>(change: C) -> Vec<Found>
where
    C: AsyncFn(&mut LogStore, &mut Machine) -> io::Result<()>,
{
    let mut found = Vec::new();
    for kept in [0, usize::MAX] {
        for writes in 0.. {
            let model = Arc::new(ModelStore::default());
            let store: Arc<dyn Store> = Arc::clone(&model) as _;
            let (mut log, mut machine) = open(&store);
            log.save_vote(&Vote::new_committed(3, 1)).await.unwrap();
            append(&mut log, entries(3, 0..=9)).await.unwrap();
            log.save_committed(Some(id(3, 5))).await.unwrap();
            apply(&mut log, &mut machine, 5).await.unwrap();
            store.sync().unwrap();
            model.fail_after(writes);
            let changed = change(&mut log, &mut machine).await;
            assert_eq!(changed.is_err(), model.failed());
            model.crash(kept);
            let what = format!("power lost after {writes} writes, kept {kept}");
            found.push(
                start(&store)
                    .await
                    .unwrap_or_else(|e| panic!("{what}: {e}")),
            );
            if changed.is_ok() {
                assert!(writes > 0, "the change wrote nothing");
                break;
            }
        }
    }
    found
}

#[tokio::test]
async fn a_crash_while_the_log_is_purged_leaves_no_hole() {
    let found = crash_everywhere(async |log, machine| {
        let mut builder = machine.get_snapshot_builder().await;
        builder.build_snapshot().await?;
        log.purge(id(3, 4)).await
    });
    for found in found.await {
        assert_eq!(
            (found.applied, found.state.as_slice()),
            (Some(id(3, 5)), &b"5"[..]),
            "{found:?}"
        );
        let first = found.purged.map_or(0, |id| id.index + 1);
        let live: Vec<_> = found
            .log
            .iter()
            .copied()
            .filter(|index| *index >= first)
            .collect();
        assert_eq!(live, (first..=9).collect::<Vec<_>>(), "{found:?}");
    }
}

#[tokio::test]
async fn a_crash_while_the_end_is_truncated_leaves_a_prefix() {
    let found = crash_everywhere(async |log, _| {
        log.truncate_after(Some(id(3, 6))).await?;
        append(log, entries(4, 7..=8)).await
    });
    let found = found.await;
    for found in &found {
        let last = *found.log.last().unwrap();
        assert!(last >= 6, "what was not truncated is there: {found:?}");
        assert_eq!(found.log, (0..=last).collect::<Vec<_>>(), "{found:?}");
    }
    assert_eq!(found.last().unwrap().log.last(), Some(&8));
}

/// Another node's snapshot up to `last`, which is longer than a batch of pieces.
fn foreign_snapshot(last: LogId) -> (SnapshotMeta, Bytes) {
    let meta = SnapshotMeta {
        last_log_id: Some(last),
        ..SnapshotMeta::default()
    };
    (meta, Bytes::from(vec![7; 2_500_000]))
}

#[tokio::test]
async fn a_crash_while_a_snapshot_is_installed_leaves_the_old_state_or_the_new_one() {
    // The entries 6 to 9 of term 3 were never committed: entry 500 of term 2 was, by a leader of term 4.
    let found = crash_everywhere(async |log, machine| {
        let (meta, data) = foreign_snapshot(id(2, 500));
        log.save_committed(Some(id(2, 500))).await?;
        machine.install_snapshot(&meta, data).await?;
        log.purge(id(2, 500)).await
    });
    let found = found.await;
    for found in &found {
        if found.applied == Some(id(2, 500)) {
            assert_eq!(found.state.len(), 2_500_000);
            assert_eq!(found.purged, Some(id(2, 500)));
        } else {
            assert_eq!(
                found.log,
                (0..=9).collect::<Vec<_>>(),
                "{:?}",
                found.applied
            );
        }
    }
    let new = found
        .iter()
        .filter(|found| found.applied == Some(id(2, 500)));
    assert!(new.count() >= 2, "the snapshot is there in the end");
}

#[tokio::test]
async fn a_snapshot_that_was_built_late_does_not_replace_one_that_was_installed_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FjallStore::open(directory.path()).unwrap());
    let (mut log, mut machine) = open(&store);
    append(&mut log, entries(1, 0..=5)).await.unwrap();
    apply(&mut log, &mut machine, 5).await.unwrap();
    let mut builder = machine.get_snapshot_builder().await;
    let (meta, data) = foreign_snapshot(id(1, 500));
    machine.install_snapshot(&meta, data.clone()).await.unwrap();
    builder.build_snapshot().await.unwrap();
    let kept = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!((kept.meta, kept.snapshot), (meta, data));
}

#[tokio::test]
async fn old_pieces_of_snapshots_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FjallStore::open(directory.path()).unwrap());
    let (_, mut machine) = open(&store);
    for last in 1..=3 {
        let (meta, data) = foreign_snapshot(id(1, last));
        machine.install_snapshot(&meta, data).await.unwrap();
    }
    let keys = store.keys(Table::Snapshot, &[], &[u8::MAX; 16], usize::MAX);
    assert_eq!(keys.unwrap().len(), 2_500_000_usize.div_ceil(256 * 1024));
}

#[tokio::test]
async fn a_journal_that_was_cut_off_anywhere_gives_a_prefix_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let whole = {
        let store: Arc<dyn Store> = Arc::new(FjallStore::open(directory.path()).unwrap());
        let (mut log, _) = open(&store);
        log.save_vote(&Vote::new_committed(3, 1)).await.unwrap();
        for index in 0..=9 {
            append(&mut log, entries(3, index..=index)).await.unwrap();
        }
        let journals = std::fs::read_dir(directory.path()).unwrap();
        let journal = journals
            .map(|file| file.unwrap().path())
            .find(|path| path.extension().is_some_and(|end| end == "jnl"))
            .unwrap();
        (
            journal.file_name().unwrap().to_owned(),
            std::fs::read(journal).unwrap(),
        )
    };
    let (name, journal) = whole;
    let written = journal.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut lengths = Vec::new();
    for cut in (written.saturating_sub(200)..=written).step_by(7) {
        let copy = tempfile::tempdir().unwrap();
        copy_directory(directory.path(), copy.path());
        std::fs::write(copy.path().join(&name), &journal[..cut]).unwrap();
        let store: Arc<dyn Store> = Arc::new(FjallStore::open(copy.path()).unwrap());
        let found = start(&store).await.unwrap();
        assert_eq!(found.log, (0..found.log.len() as u64).collect::<Vec<_>>());
        lengths.push(found.log.len());
    }
    assert!(lengths.is_sorted(), "{lengths:?}");
    assert!(lengths[0] < 10, "nothing was cut off: {lengths:?}");
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let (path, name) = file.map(|file| (file.path(), file.file_name())).unwrap();
        if path.is_dir() {
            copy_directory(&path, &to.join(name));
        } else {
            std::fs::copy(path, to.join(name)).unwrap();
        }
    }
}
