//! What the fuzz targets share: reading their input, data directories in memory, and what must hold for every
//! directory, however damaged.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use bytes::Bytes;
use fjord_log::{CompactionPolicy, Log, LogOptions, Partition, PartitionId};
use fjord_wire::records::{BatchBuilder, BatchOptions};

/// Bytes of the fuzzer as numbers; zeros when they have run out.
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else {
            return 0;
        };
        self.rest = rest;
        *first
    }

    /// A number of up to eight bytes; the first byte says how many.
    pub fn number(&mut self) -> u64 {
        let count = self.byte() % 9;
        (0..count).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// Up to 255 bytes.
    pub fn bytes(&mut self) -> Vec<u8> {
        let count = usize::from(self.byte()).min(self.rest.len());
        let (now, rest) = self.rest.split_at(count);
        self.rest = rest;
        now.to_vec()
    }
}

/// A data directory in memory: paths and contents. The index lies apart: it is not damaged here.
#[derive(Clone, Default)]
pub struct Tree {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Without the zeros at the end, of which fjall's journals have many; and the length.
    pub index: Arc<BTreeMap<String, (Vec<u8>, u64)>>,
}

impl Tree {
    fn read(root: &Path) -> Self {
        let (mut files, mut index) = (BTreeMap::new(), BTreeMap::new());
        read_into(root, root, &mut files);
        files.remove("lock");
        files.retain(|name, bytes| {
            if name.starts_with("index/") {
                let length = bytes.len() as u64;
                let used = bytes
                    .iter()
                    .rposition(|b| *b != 0)
                    .map_or(0, |last| last + 1);
                index.insert(name.clone(), (bytes[..used].to_vec(), length));
            }
            !name.starts_with("index/")
        });
        Self {
            files,
            index: Arc::new(index),
        }
    }

    fn write(&self, root: &Path) {
        let files = self.files.iter();
        let files = files.map(|(name, bytes)| (name, bytes, bytes.len() as u64));
        let index = self.index.iter();
        let index = index.map(|(name, (bytes, length))| (name, bytes, *length));
        for (name, bytes, length) in files.chain(index) {
            let path = root.join(name);
            let folder = path.parent().expect("it is below the root");
            fs::create_dir_all(folder).expect("directories can be made");
            fs::write(&path, bytes).expect("files can be written");
            let file = fs::File::options().write(true).open(&path);
            let resized = file.and_then(|file| file.set_len(length));
            resized.expect("it is there and can grow");
        }
    }
}

fn read_into(root: &Path, directory: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(directory).expect("it can be read") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            read_into(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("it is below the root");
            let bytes = fs::read(&path).expect("it can be read");
            files.insert(name.to_str().expect("names are ASCII").to_owned(), bytes);
        }
    }
}

/// A directory in memory, if the system has such: the fuzzer is ten times faster there.
fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a directory can be made")
}

fn options(directory: &Path) -> LogOptions {
    LogOptions {
        file_bytes: 32 << 10,
        group_bytes: 8 << 10,
        recent_bytes: 8 << 10,
        index_cache_bytes: 1 << 20,
        reserve_bytes: 1 << 20,
        ..LogOptions::new(directory)
    }
}

/// A batch of `count` records that depend on `seed`; of an idempotent producer, if it has a sequence.
pub fn batch(count: usize, seed: u64, sequence: Option<i32>) -> Vec<u8> {
    let mut batch = BatchOptions::default();
    if let Some(sequence) = sequence {
        batch.producer_id = 5;
        batch.producer_epoch = 0;
        batch.base_sequence = sequence;
    }
    let mut builder = BatchBuilder::new(0, batch);
    for i in 0..count {
        let (key, value) = ([seed as u8 % 4], seed.to_le_bytes().repeat(8));
        builder
            .append(i as i64, 1000 + seed as i64, Some(&key), Some(&value), &[])
            .expect("records fit");
    }
    builder.build().expect("a batch").to_vec()
}

fn append(partition: &Partition, batch: Vec<u8>, epoch: i32) {
    let (told, done) = channel();
    let completion = Box::new(move |result| told.send(result).expect("it is waited for"));
    partition
        .append(Bytes::from(batch), epoch, completion)
        .expect("appends are taken");
    done.recv().expect("it is told").expect("it is durable");
}

/// A directory in which everything has happened that can happen to a log.
pub fn sound_directory() -> Tree {
    let root = temporary();
    let log = Log::open(options(root.path())).expect("the log opens");
    let partitions: Vec<Arc<Partition>> = (1..=4)
        .map(|id| {
            log.open_partition(PartitionId(id), "fuzz", false)
                .expect("it opens")
        })
        .collect();
    for seed in 0..120u64 {
        let epoch = (seed / 50) as i32;
        append(
            &partitions[0],
            batch(1 + seed as usize % 9, seed, None),
            epoch,
        );
        append(&partitions[1], batch(3, seed, None), epoch);
        append(&partitions[2], batch(1, seed, Some(seed as i32)), epoch);
    }
    let nothing = || Box::new(|_| {});
    partitions[0]
        .truncate_suffix(100, &|| true, nothing())
        .expect("it is cut");
    append(&partitions[0], batch(3, 1, None), 3);
    partitions[1]
        .set_log_start(40, nothing())
        .expect("it moves");
    let policy = CompactionPolicy {
        min_dirty_ratio: 0.0,
        min_lag_ms: 0,
        max_lag_ms: u64::MAX,
        delete_retention_ms: 0,
        dedupe_bytes: 1 << 20,
    };
    partitions[2].set_compaction(Some(policy));
    log.compact(1 << 40, &mut |_| ControlFlow::Continue(()));
    log.delete_partition(PartitionId(4)).expect("it goes");
    log.reclaim();
    for seed in 200..220 {
        append(&partitions[1], batch(2, seed, None), 4);
    }
    drop(log);
    Tree::read(root.path())
}

/// What a log says it holds.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    partitions: BTreeMap<u64, (u64, u64, Vec<Bytes>, Option<String>)>,
}

fn ask(log: &Log) -> Answer {
    let mut partitions = BTreeMap::new();
    for id in log.unclaimed() {
        let partition = log.open_partition(id, "fuzz", false).expect("it was found");
        let positions = partition.positions();
        let (mut next, mut batches, mut error) = (positions.log_start, Vec::new(), None);
        while next < positions.durable_end {
            match partition.read(next, 4096, positions.durable_end) {
                Ok(read) if read.next_offset > next => {
                    read.batches.iter().for_each(check);
                    next = read.next_offset;
                    batches.extend(read.batches);
                }
                Ok(_) => break,
                Err(failed) => {
                    error = Some(failed.to_string());
                    break;
                }
            }
        }
        partitions.insert(
            id.0,
            (positions.log_start, positions.durable_end, batches, error),
        );
    }
    Answer { partitions }
}

/// A batch's own checksum (Kafka record batch v2): bytes 17 to 20, over everything after them.
fn check(batch: &Bytes) {
    if let (Some(stored), Some(covered)) = (batch.get(17..21), batch.get(21..)) {
        let expected = fjord_log::fuzzing::crc(covered).to_be_bytes();
        assert_eq!(stored, expected, "a batch with a wrong checksum was served");
    }
}

/// Opens the directory, and again, and again without its index: the first two give the same answer.
pub fn answers_are_stable(tree: &Tree) {
    let root = temporary();
    tree.write(root.path());
    let open = || Log::open(options(root.path()));
    let Ok(log) = open() else { return };
    let first = ask(&log);
    assert_eq!(log.failure(), None, "no thread of the log has failed");
    drop(log);
    let log = open().expect("what has opened once opens again");
    assert_eq!(ask(&log), first, "opening again gives the same answer");
    drop(log);
    fs::remove_dir_all(root.path().join("index")).expect("there is one");
    let log = open().expect("the index is derived");
    ask(&log);
    assert_eq!(log.failure(), None, "no thread of the log has failed");
}
