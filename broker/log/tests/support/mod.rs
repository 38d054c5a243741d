//! What the tests share: small logs, batches, waiting for completions, reading a whole partition.

#![allow(dead_code, reason = "no test uses all of it")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fjord_log::{
    AppendError, AppendOutcome, CompactionPolicy, Completion, Log, LogOptions, Partition,
    PartitionId,
};
use fjord_wire::records::{
    Batch, BatchBuilder, BatchHeader, BatchOptions, set_base_offset, set_partition_leader_epoch,
    verify_batch,
};

/// A record as the tests see it: offset, timestamp, key, value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub offset: u64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// Who wrote a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
    pub sequence: i32,
}

pub const WAIT: Duration = Duration::from_secs(60);

/// A log of small files, so that they are changed and used again all the time.
pub fn small(directory: &Path) -> LogOptions {
    LogOptions {
        file_bytes: 64 << 10,
        group_bytes: 16 << 10,
        recent_bytes: 16 << 10,
        index_cache_bytes: 1 << 20,
        reserve_bytes: 1 << 20,
        ..LogOptions::new(directory)
    }
}

pub fn open(options: &LogOptions) -> Log {
    Log::open(options.clone()).expect("the log opens")
}

pub fn partition(log: &Log, id: u64) -> Arc<Partition> {
    log.open_partition(PartitionId(id), &format!("topic-{id}"), false)
        .expect("the partition opens")
}

/// A record to be written: timestamp, key, value.
pub type NewRecord<'a> = (i64, Option<&'a [u8]>, Option<&'a [u8]>);

/// A batch with these records, (timestamp, key, value).
pub fn batch_of(records: &[NewRecord], producer: Option<Producer>) -> Bytes {
    let mut options = BatchOptions::default();
    if let Some(producer) = producer {
        options.producer_id = producer.id;
        options.producer_epoch = producer.epoch;
        options.base_sequence = producer.sequence;
    }
    let mut builder = BatchBuilder::new(0, options);
    for (i, (timestamp, key, value)) in records.iter().enumerate() {
        let offset = i64::try_from(i).unwrap();
        builder
            .append(offset, *timestamp, *key, *value, &[])
            .unwrap();
    }
    builder.build().unwrap()
}

/// A batch with `count` records of one timestamp and together about `bytes` bytes, told apart by `seed`.
pub fn filled(count: usize, bytes: usize, timestamp: i64, seed: u64) -> Bytes {
    let values: Vec<Vec<u8>> = (0..count)
        .map(|i| noise(bytes / count, seed ^ (i as u64) << 32))
        .collect();
    let records: Vec<_> = values
        .iter()
        .map(|v| (timestamp, None, Some(v.as_slice())))
        .collect();
    batch_of(&records, None)
}

/// Bytes that depend on `seed` and do not repeat.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

pub type Answer = Receiver<Result<AppendOutcome, AppendError>>;

/// A completion, and where it will be seen.
pub fn completion() -> (Completion, Answer) {
    let (sender, receiver) = channel();
    let done = move |result| sender.send(result).expect("the test waits for completions");
    (Box::new(done), receiver)
}

pub fn wait(answer: &Answer) -> Result<AppendOutcome, AppendError> {
    answer
        .recv_timeout(WAIT)
        .expect("every completion is called")
}

/// Appends and waits until it is durable.
pub fn append(
    partition: &Partition,
    batch: Bytes,
    epoch: i32,
) -> Result<AppendOutcome, AppendError> {
    let (done, answer) = completion();
    let assigned = partition.append(batch, epoch, done)?;
    let outcome = wait(&answer)?;
    assert_eq!(outcome, assigned, "offsets are the ones first told");
    Ok(outcome)
}

/// The batch as a leader has it that appended it at `base` under `epoch`.
pub fn stored(batch: &[u8], base: u64, epoch: i32) -> Bytes {
    let mut batch = batch.to_vec();
    set_base_offset(&mut batch, i64::try_from(base).unwrap()).unwrap();
    set_partition_leader_epoch(&mut batch, epoch).unwrap();
    batch.into()
}

/// A batch of `count` offsets without records.
pub fn empty_batch(count: usize, timestamp: i64) -> Bytes {
    let mut builder = BatchBuilder::new(0, BatchOptions::default());
    let last = i64::try_from(count).unwrap() - 1;
    builder.extend_to(last, timestamp).unwrap();
    builder.build().unwrap()
}

/// Appends a leader's batch and waits until it is durable.
pub fn append_replica(partition: &Partition, batch: Bytes) -> Result<AppendOutcome, AppendError> {
    let (done, answer) = completion();
    let assigned = partition.append_replica(batch, done)?;
    let outcome = wait(&answer)?;
    assert_eq!(outcome, assigned, "offsets are the ones first told");
    Ok(outcome)
}

pub fn truncate_all(
    partition: &Partition,
    start_offset: u64,
) -> Result<AppendOutcome, AppendError> {
    let (done, answer) = completion();
    partition.truncate_all(start_offset, &|| true, done)?;
    wait(&answer)
}

pub fn begin_epoch(partition: &Partition, epoch: i32) -> Result<AppendOutcome, AppendError> {
    let (done, answer) = completion();
    partition.begin_epoch(epoch, done)?;
    wait(&answer)
}

/// Waits until nothing of the partition is under way.
pub fn barrier(partition: &Partition) -> Result<AppendOutcome, AppendError> {
    let (done, answer) = completion();
    partition.barrier(done)?;
    wait(&answer)
}

pub fn truncate(partition: &Partition, log_end: u64) -> Result<AppendOutcome, AppendError> {
    let (done, answer) = completion();
    partition.truncate_suffix(log_end, &|| true, done)?;
    wait(&answer)
}

pub fn set_log_start(partition: &Partition, log_start: u64) -> Result<AppendOutcome, AppendError> {
    let (done, answer) = completion();
    partition.set_log_start(log_start, done)?;
    wait(&answer)
}

/// The records of stored batches, each checked.
pub fn rows(batches: &[Bytes]) -> Vec<Row> {
    let mut rows = Vec::new();
    for bytes in batches {
        verify_batch(bytes).expect("a served batch has a right checksum");
        let header = BatchHeader::parse(bytes).unwrap();
        let batch = Batch {
            header,
            bytes: bytes.clone(),
        };
        for record in batch.records(1 << 30).unwrap() {
            let record = record.unwrap();
            rows.push(Row {
                offset: u64::try_from(record.offset).unwrap(),
                timestamp: record.timestamp,
                key: record.key.map(|k| k.to_vec()),
                value: record.value.map(|v| v.to_vec()),
            });
        }
    }
    rows
}

/// Reads a partition from `from` to its end, as a consumer would, `max_bytes` at a time.
pub fn read_from(partition: &Partition, from: u64, max_bytes: usize) -> Vec<Row> {
    let mut found = Vec::new();
    let mut offset = from;
    loop {
        let end = partition.positions().durable_end;
        if offset >= end {
            return found;
        }
        let read = partition
            .read(offset, max_bytes, end)
            .expect("the log can be read");
        assert!(
            read.next_offset > offset,
            "a reader gets on from {offset} to {end}"
        );
        assert_eq!(
            read.bytes,
            read.batches.iter().map(Bytes::len).sum::<usize>()
        );
        found.extend(rows(&read.batches).into_iter().filter(|r| r.offset >= from));
        offset = read.next_offset;
    }
}

pub fn read_all(partition: &Partition) -> Vec<Row> {
    read_from(partition, partition.positions().log_start, 16 << 10)
}

/// The rows that a batch becomes when it is appended at `base`.
pub fn rows_at(batch: &Bytes, base: u64) -> Vec<Row> {
    let mut rows = rows(std::slice::from_ref(batch));
    rows.iter_mut().for_each(|row| row.offset += base);
    rows
}

/// How many offsets a batch takes.
pub fn offsets_of(batch: &Bytes) -> u64 {
    let header = BatchHeader::parse(batch).unwrap();
    u64::try_from(header.last_offset_delta).unwrap() + 1
}

/// Copies a data directory as a crash would leave it: no lock, no mark of a stop in order, and an index
/// that may be older than the value log.
pub fn copy_crashed(from: &Path, to: &Path) {
    copy_directory(&from.join("index"), &to.join("index"));
    copy_directory(&from.join("values"), &to.join("values"));
    for name in ["format", "lock"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

/// Copies what is there; what disappears meanwhile is left out.
pub fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            copy_directory(&entry.path(), &target);
        } else {
            copy_file(&entry.path(), &target);
        }
    }
}

/// Copies a file, but not its holes: fjall's journals are mostly that.
fn copy_file(from: &Path, to: &Path) {
    use std::os::unix::fs::FileExt;
    let Ok(source) = fs::File::open(from) else {
        return;
    };
    let length = source.metadata().unwrap().len();
    let target = fs::File::create(to).unwrap();
    target.set_len(length).unwrap();
    let mut chunk = vec![0; 1 << 20];
    let mut at = 0;
    while at < length {
        let read = source.read_at(&mut chunk, at).unwrap();
        if read == 0 {
            break;
        }
        for (i, page) in chunk[..read].chunks(4096).enumerate() {
            if page.iter().any(|b| *b != 0) {
                target.write_all_at(page, at + i as u64 * 4096).unwrap();
            }
        }
        at += read as u64;
    }
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Compacts whenever there is something to compact.
pub fn eager_compaction(delete_retention_ms: u64) -> CompactionPolicy {
    CompactionPolicy {
        min_dirty_ratio: 0.0,
        min_lag_ms: 0,
        max_lag_ms: u64::MAX,
        delete_retention_ms,
        dedupe_bytes: 1 << 20,
    }
}

/// Paths of all files under `directory`, in order.
pub fn files_under(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_under(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}
