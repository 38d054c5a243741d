//! Random sequences of everything that can happen to a log, compared with a model in memory. Files are so
//! small that they are changed, given back and used again all the time.
//!
//! `PROPTEST_CASES` runs more of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "support/model.rs"]
mod model;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use fjord_log::{
    AppendError, Found, Log, LogOptions, Partition, PartitionId, RetentionPolicy, WrittenHook,
};
use model::Model;
use proptest::prelude::*;
use support::*;

/// Partitions 1 to 3 keep everything, 4 and 5 are compacted.
const PARTITIONS: u64 = 5;
const DELETE_RETENTION_MS: i64 = 1_000;

#[derive(Clone, Debug)]
enum Step {
    Append {
        partition: u64,
        records: usize,
        bytes: usize,
        times: i64,
        new_epoch: bool,
    },
    Produce {
        partition: u64,
        producer: i64,
        how: How,
    },
    Burst {
        batches: usize,
    },
    Replica {
        partition: u64,
        gap: u64,
        records: usize,
        bytes: usize,
        producer: Option<(i64, i32)>,
        new_epoch: bool,
    },
    ReplicaBurst {
        partition: u64,
        gaps: Vec<u64>,
        truncate: u64,
    },
    BeginEpoch {
        partition: u64,
    },
    TruncateAll {
        partition: u64,
        to: u64,
    },
    Truncate {
        partition: u64,
        share: u64,
    },
    LogStart {
        partition: u64,
        share: u64,
    },
    Retain {
        partition: u64,
        share: u64,
    },
    Compact,
    Reclaim,
    Delete {
        partition: u64,
    },
    Index,
    Reopen {
        wipe: bool,
    },
    Crash {
        wipe: bool,
        indexed: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum How {
    Next,
    Again(usize),
    Gap,
    NewEpoch,
}

/// How far behind a follower's log end a leader's batch begins.
fn gap() -> impl Strategy<Value = u64> {
    prop_oneof![6 => Just(0), 3 => 1..50u64, 1 => Just(5 << 32)]
}

fn step() -> impl Strategy<Value = Step> {
    let partition = 1..=PARTITIONS;
    let how = prop_oneof![
        5 => Just(How::Next),
        3 => (0..5usize).prop_map(How::Again),
        1 => Just(How::Gap),
        1 => Just(How::NewEpoch),
    ];
    prop_oneof![
        8 => (partition.clone(), 1..20usize, 1..4_000usize, 0..10_000i64, prop::bool::weighted(0.1))
            .prop_map(|(partition, records, bytes, times, new_epoch)| Step::Append { partition, records, bytes, times, new_epoch }),
        6 => (partition.clone(), 1..3i64, how)
            .prop_map(|(partition, producer, how)| Step::Produce { partition, producer, how }),
        3 => (20..60usize).prop_map(|batches| Step::Burst { batches }),
        6 => (partition.clone(), gap(), 0..20usize, 1..4_000usize, prop::option::weighted(0.3, (1..3i64, 0..9i32)), prop::bool::weighted(0.2))
            .prop_map(|(partition, gap, records, bytes, producer, new_epoch)| Step::Replica { partition, gap, records, bytes, producer, new_epoch }),
        2 => (partition.clone(), prop::collection::vec(gap(), 2..30), 0..=100u64)
            .prop_map(|(partition, gaps, truncate)| Step::ReplicaBurst { partition, gaps, truncate }),
        1 => partition.clone().prop_map(|partition| Step::BeginEpoch { partition }),
        1 => (partition.clone(), prop_oneof![Just(0), 0..2_000u64, Just(1 << 40)]).prop_map(|(partition, to)| Step::TruncateAll { partition, to }),
        3 => (partition.clone(), 0..=100u64).prop_map(|(partition, share)| Step::Truncate { partition, share }),
        2 => (partition.clone(), 0..=110u64).prop_map(|(partition, share)| Step::LogStart { partition, share }),
        1 => (partition.clone(), 0..=100u64).prop_map(|(partition, share)| Step::Retain { partition, share }),
        3 => Just(Step::Compact),
        4 => Just(Step::Reclaim),
        1 => partition.prop_map(|partition| Step::Delete { partition }),
        1 => Just(Step::Index),
        2 => prop::bool::weighted(0.4).prop_map(|wipe| Step::Reopen { wipe }),
        3 => (prop::bool::weighted(0.3), any::<bool>()).prop_map(|(wipe, indexed)| Step::Crash { wipe, indexed }),
    ]
}

struct World {
    root: tempfile::TempDir,
    directory: PathBuf,
    options: LogOptions,
    log: Option<Log>,
    models: BTreeMap<u64, Model>,
    /// The id that partition 1, 2... has now; deletion gives it another.
    ids: BTreeMap<u64, u64>,
    next_id: u64,
    lives: u32,
    now: i64,
    seed: u64,
    epoch: i32,
}

impl World {
    fn new(recent_bytes: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("0");
        let options = LogOptions {
            recent_bytes,
            ..small(&directory)
        };
        let mut world = Self {
            root,
            directory,
            log: Some(open(&options)),
            options,
            models: BTreeMap::new(),
            ids: (1..=PARTITIONS).map(|p| (p, p)).collect(),
            next_id: PARTITIONS + 1,
            lives: 0,
            now: 1_000_000,
            seed: 1,
            epoch: 0,
        };
        for p in 1..=PARTITIONS {
            world.models.insert(p, Model::default());
            world.partition(p);
        }
        world
    }

    fn log(&self) -> &Log {
        self.log.as_ref().unwrap()
    }

    fn partition(&self, p: u64) -> Arc<Partition> {
        let partition = partition(self.log(), self.ids[&p]);
        let compaction = (p > 3).then(|| eager_compaction(DELETE_RETENTION_MS as u64));
        partition.set_compaction(compaction);
        // Some have followers that are told before batches are durable.
        partition.on_written(p.is_multiple_of(2).then(|| Arc::new(|| {}) as WrittenHook));
        partition
    }

    fn model(&mut self, p: u64) -> &mut Model {
        self.models.get_mut(&p).unwrap()
    }

    /// Records with few keys, some of them tombstones, with times around `times`.
    fn batch(
        &mut self,
        p: u64,
        records: usize,
        bytes: usize,
        times: i64,
        producer: Option<Producer>,
    ) -> Bytes {
        self.seed += 1;
        let noise = noise(bytes + records * 4, self.seed);
        let rows: Vec<_> = noise
            .chunks(noise.len() / records)
            .take(records)
            .map(|chunk| {
                let key = [chunk[0] % 16];
                let value = (p <= 3 || chunk[1] % 4 > 0).then_some(chunk);
                (times + i64::from(chunk[2]), key, value)
            })
            .collect();
        let rows: Vec<_> = rows
            .iter()
            .map(|(t, k, v)| (*t, Some(k.as_slice()), *v))
            .collect();
        batch_of(&rows, producer)
    }

    fn append(&mut self, p: u64, batch: Bytes, producer: Option<Producer>) {
        let epoch = self.epoch;
        let partition = self.partition(p);
        let model = self.model(p);
        let rows = rows_at(&batch, model.log_end);
        let outcome = append(&partition, batch, epoch).unwrap();
        assert_eq!(
            (outcome.base_offset, outcome.duplicate),
            (model.log_end, false)
        );
        model.append(&rows, epoch, producer);
    }

    fn produce(&mut self, p: u64, id: i64, how: How) {
        let sent = self.model(p).sent.get(&id).cloned().unwrap_or_default();
        let next = sent.last().map_or(
            Producer {
                id,
                epoch: 0,
                sequence: 0,
            },
            |(last, _, count)| Producer {
                sequence: last.sequence + i32::try_from(*count).unwrap(),
                ..*last
            },
        );
        let forgetful = self.model(p).forgetful;
        match how {
            How::Next => {
                let batch = self.batch(p, 3, 300, 5_000, Some(next));
                self.append(p, batch, Some(next));
            }
            How::NewEpoch => {
                let producer = Producer {
                    epoch: next.epoch + 1,
                    sequence: 0,
                    ..next
                };
                self.model(p).sent.remove(&id);
                let batch = self.batch(p, 2, 50, 5_000, Some(producer));
                self.append(p, batch, Some(producer));
            }
            How::Again(which) if !sent.is_empty() && !forgetful => {
                let (producer, base, count) = sent[which % sent.len()];
                let batch = self.batch(p, count as usize, 100, 0, Some(producer));
                let outcome = append(&self.partition(p), batch, 0).unwrap();
                assert_eq!((outcome.base_offset, outcome.duplicate), (base, true));
                assert_eq!(outcome.last_offset, base + count - 1);
            }
            How::Gap if !sent.is_empty() && !forgetful => {
                let producer = Producer {
                    sequence: next.sequence + 1,
                    ..next
                };
                let batch = self.batch(p, 1, 100, 0, Some(producer));
                let refused = append(&self.partition(p), batch, 0);
                assert_eq!(
                    refused,
                    Err(AppendError::OutOfOrderSequence {
                        producer_id: id,
                        found: producer.sequence,
                        expected: next.sequence
                    })
                );
            }
            How::Again(_) | How::Gap => {}
        }
    }

    /// Many appends under way at once.
    fn burst(&mut self, batches: usize) {
        let mut answers = Vec::new();
        for i in 0..batches {
            let p = i as u64 % PARTITIONS + 1;
            let batch = self.batch(p, 2, 1_500, 9_000, None);
            let (done, answer) = completion();
            let outcome = self
                .partition(p)
                .append(batch.clone(), self.epoch, done)
                .unwrap();
            let (rows, epoch) = (rows_at(&batch, outcome.base_offset), self.epoch);
            self.model(p).append(&rows, epoch, None);
            answers.push((answer, outcome));
        }
        for (answer, outcome) in answers {
            assert_eq!(wait(&answer), Ok(outcome));
        }
    }

    /// What a leader may have appended at `base`, behind this log's end.
    fn replica(
        &mut self,
        p: u64,
        base: u64,
        records: usize,
        bytes: usize,
        producer: Option<Producer>,
    ) -> Bytes {
        let batch = match records {
            0 => empty_batch(3, 7_000),
            _ => self.batch(p, records, bytes, 5_000, producer),
        };
        stored(&batch, base, self.epoch)
    }

    fn note_replica(&mut self, p: u64, batch: &Bytes, base: u64, producer: Option<Producer>) {
        let epoch = self.epoch;
        let (offsets, rows) = (offsets_of(batch), rows_at(batch, 0));
        self.model(p)
            .append_replica(base, offsets, &rows, epoch, producer);
    }

    fn append_replica(
        &mut self,
        p: u64,
        gap: u64,
        records: usize,
        bytes: usize,
        producer: Option<(i64, i32)>,
    ) {
        let partition = self.partition(p);
        let log_end = self.model(p).log_end;
        // Nobody checks what a leader has taken: the sequence may be any.
        let producer = producer
            .filter(|_| records > 0)
            .map(|(id, skipped)| self.next_of(p, id, skipped));
        let base = log_end + gap;
        let batch = self.replica(p, base, records, bytes, producer);
        let newest = self.model(p).epochs.last().copied();
        if let Some((latest, _)) = newest {
            let found = latest - 1;
            assert_eq!(
                append_replica(&partition, stored(&batch, base, found)),
                Err(AppendError::OldLeaderEpoch { latest, found })
            );
        }
        if let Some(found) = log_end.checked_sub(1) {
            let expected = log_end;
            assert_eq!(
                append_replica(&partition, stored(&batch, found, self.epoch)),
                Err(AppendError::OutOfStep { expected, found })
            );
        }
        let outcome = append_replica(&partition, batch.clone()).unwrap();
        assert_eq!((outcome.base_offset, outcome.duplicate), (base, false));
        self.note_replica(p, &batch, base, producer);
    }

    /// Many of a leader's batches at once, and a truncation as soon as they are durable.
    fn replica_burst(&mut self, p: u64, gaps: &[u64], truncate: u64) {
        let partition = self.partition(p);
        let mut answers = Vec::new();
        for gap in gaps {
            let base = self.model(p).log_end + gap;
            let batch = self.replica(p, base, 2, 900, None);
            let (done, answer) = completion();
            partition.append_replica(batch.clone(), done).unwrap();
            answers.push(answer);
            self.note_replica(p, &batch, base, None);
        }
        barrier(&partition).unwrap();
        for answer in answers {
            assert!(answer.try_recv().expect("before the barrier").is_ok());
        }
        self.truncate(p, truncate);
    }

    /// The stamp that follows the producer's last one, but for `skipped` sequence numbers.
    fn next_of(&mut self, p: u64, id: i64, skipped: i32) -> Producer {
        let first = Producer {
            id,
            epoch: 0,
            sequence: skipped,
        };
        let sent = self.model(p).sent.get(&id).and_then(|sent| sent.last());
        sent.map_or(first, |(last, _, count)| Producer {
            sequence: last.sequence + i32::try_from(*count).unwrap() + skipped,
            ..*last
        })
    }

    fn begin_epoch(&mut self, p: u64) {
        self.epoch += 1;
        begin_epoch(&self.partition(p), self.epoch).unwrap();
        let epoch = self.epoch;
        self.model(p).begin_epoch(epoch);
    }

    fn truncate_all(&mut self, p: u64, to: u64) {
        truncate_all(&self.partition(p), to).unwrap();
        assert_eq!(self.partition(p).producer_count(), 0);
        assert_eq!(self.partition(p).latest_epoch(), None);
        self.model(p).truncate_all(to);
    }

    fn truncate(&mut self, p: u64, share: u64) {
        let partition = self.partition(p);
        let model = self.models.get_mut(&p).unwrap();
        let wanted = model.log_start + (model.log_end - model.log_start) * share / 100;
        truncate(&partition, wanted).unwrap();
        let log_end = partition.positions().log_end;
        if wanted < model.log_end {
            assert!(log_end <= wanted);
            let base = model.base_of(wanted);
            match model.gaps.get(&base) {
                // Compaction may have made one of several batches.
                _ if p > 3 => {}
                // A wide gap has several markers, and ends with one of them.
                Some(end) if wanted < *end => assert!((base..=wanted).contains(&log_end)),
                _ => assert_eq!(log_end, model.boundary_at(wanted)),
            }
            let lost = model.rows.range(log_end..base.max(log_end));
            let gone = lost.map(|(offset, _)| *offset).collect::<Vec<_>>();
            assert!(
                gone.iter().all(|offset| model.doubtful.contains(offset)),
                "{gone:?} cut off with {wanted}"
            );
        }
        model.truncate_suffix(log_end);
    }

    fn set_log_start(&mut self, p: u64, share: u64) {
        let partition = self.partition(p);
        let model = self.model(p);
        let wanted = model.log_start + (model.log_end - model.log_start) * share / 100;
        set_log_start(&partition, wanted).unwrap();
        model.set_log_start(wanted);
    }

    fn retain(&mut self, p: u64, share: u64) {
        let partition = self.partition(p);
        assert!(self.log().wait_until_indexed());
        let max_bytes = partition.size_bytes() * share / 100;
        let policy = RetentionPolicy {
            max_age_ms: None,
            max_bytes: Some(max_bytes),
        };
        partition.set_retention(Some(policy));
        for _ in 0..2 {
            self.log().enforce_retention(0);
            let positions = partition.positions();
            assert!(
                positions.log_start == positions.log_end
                    || max_bytes == 0
                    || partition.size_bytes() >= max_bytes
            );
        }
        partition.set_retention(None);
        assert!(self.log().wait_until_indexed());
        let log_start = partition.positions().log_start;
        self.model(p).set_log_start(log_start);
    }

    fn compact(&mut self) {
        self.now += 700;
        let now = self.now;
        self.log().compact(now, &mut |_| ControlFlow::Continue(()));
        for p in 4..=PARTITIONS {
            let model = self.model(p);
            let end = model.bases.last().copied().unwrap_or(0);
            model.compact(end, now, DELETE_RETENTION_MS);
        }
    }

    fn delete(&mut self, p: u64) {
        let id = PartitionId(self.ids[&p]);
        self.log().delete_partition(id).unwrap();
        assert!(matches!(
            self.log().open_partition(id, "again", false),
            Err(AppendError::Deleted)
        ));
        self.ids.insert(p, self.next_id);
        self.next_id += 1;
        self.models.insert(p, Model::default());
        self.partition(p);
    }

    fn reopen(&mut self, wipe: bool) {
        let gave_back = self.log().stats().reclaimed_files > 0;
        drop(self.log.take());
        self.open(wipe, gave_back, true);
    }

    fn crash(&mut self, wipe: bool, indexed: bool) {
        if indexed {
            assert!(self.log().wait_until_indexed());
        }
        // Nobody waited for the entries that make and delete partitions. Everything before is durable now.
        set_log_start(&self.partition(1), 0).unwrap();
        self.lives += 1;
        let to = self.root.path().join(self.lives.to_string());
        copy_crashed(&self.directory, &to);
        let gave_back = self.log().stats().reclaimed_files > 0;
        drop(self.log.take());
        fs::remove_dir_all(&self.directory).unwrap();
        self.directory = to;
        self.options.directory = self.directory.clone();
        self.open(wipe, gave_back, false);
    }

    fn open(&mut self, wipe: bool, gave_back: bool, clean: bool) {
        if wipe {
            fs::remove_dir_all(self.directory.join("index")).unwrap();
        }
        let log = open(&self.options);
        assert_eq!(log.recovery().clean, clean);
        assert_eq!(log.recovery().damaged, []);
        assert!(!wipe || log.recovery().index_rebuilt.is_some());
        for model in self.models.values_mut() {
            model.forgetful |= gave_back;
        }
        let mut found: Vec<_> = log.unclaimed().into_iter().map(|id| id.0).collect();
        found.sort_unstable();
        let expected: Vec<_> = self
            .ids
            .values()
            .copied()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        assert_eq!(found, expected);
        self.log = Some(log);
    }

    fn check(&mut self) {
        for p in 1..=PARTITIONS {
            let partition = self.partition(p);
            let positions = partition.positions();
            let model = self.models.get_mut(&p).unwrap();
            assert_eq!(
                (
                    positions.log_start,
                    positions.durable_end,
                    positions.written_end,
                    positions.log_end
                ),
                (model.log_start, model.log_end, model.log_end, model.log_end),
                "bounds of {p}"
            );
            model.check(&read_from(&partition, model.log_start, 3_000));
            for epoch in -1..=self.epoch + 1 {
                assert_eq!(
                    partition.end_offset_for_epoch(epoch),
                    model.end_offset_for_epoch(epoch),
                    "epoch {epoch} of {p}"
                );
                assert_eq!(
                    partition.log_end_for_epoch(epoch),
                    model.end_offset_for_epoch(epoch),
                    "epoch {epoch} of {p} for followers"
                );
            }
            check_memory(&partition);
            let found = |row: &Row| (row.offset, row.timestamp);
            let as_pair = |f: Found| (f.offset, f.timestamp);
            for timestamp in [0, 1_000, 5_100, 9_000, 9_300, 11_000] {
                let answer = partition.offset_for_timestamp(timestamp, u64::MAX).unwrap();
                assert_eq!(
                    answer.map(as_pair),
                    model.first_since(timestamp).map(found),
                    "time {timestamp} in {p}"
                );
            }
            let answer = partition.offset_of_max_timestamp(u64::MAX).unwrap();
            assert_eq!(
                answer.map(as_pair).map(|a| a.1),
                model.newest().map(found).map(|a| a.1),
                "newest of {p}"
            );
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Append {
                partition,
                records,
                bytes,
                times,
                new_epoch,
            } => {
                self.epoch += i32::from(new_epoch);
                let batch = self.batch(partition, records, bytes, times, None);
                self.append(partition, batch, None);
            }
            Step::Produce {
                partition,
                producer,
                how,
            } => self.produce(partition, producer, how),
            Step::Burst { batches } => self.burst(batches),
            Step::Replica {
                partition,
                gap,
                records,
                bytes,
                producer,
                new_epoch,
            } => {
                self.epoch += i32::from(new_epoch);
                self.append_replica(partition, gap, records, bytes, producer);
            }
            Step::ReplicaBurst {
                partition,
                gaps,
                truncate,
            } => self.replica_burst(partition, &gaps, truncate),
            Step::BeginEpoch { partition } => self.begin_epoch(partition),
            Step::TruncateAll { partition, to } => self.truncate_all(partition, to),
            Step::Truncate { partition, share } => self.truncate(partition, share),
            Step::LogStart { partition, share } => self.set_log_start(partition, share),
            Step::Retain { partition, share } => self.retain(partition, share),
            Step::Compact => self.compact(),
            Step::Reclaim => {
                self.log().reclaim();
            }
            Step::Delete { partition } => self.delete(partition),
            Step::Index => assert!(self.log().wait_until_indexed()),
            Step::Reopen { wipe } => self.reopen(wipe),
            Step::Crash { wipe, indexed } => self.crash(wipe, indexed),
        }
    }
}

/// What is read for followers is what is read for everybody, as long as nothing is under way.
fn check_memory(partition: &Partition) {
    let positions = partition.positions();
    let length = positions.log_end - positions.log_start;
    for offset in [0, length / 2, length.saturating_sub(3), length] {
        let offset = positions.log_start + offset;
        let recent = partition.read_recent(offset, 3_000, u64::MAX);
        let written = partition.read_written(offset, 3_000);
        assert_eq!(written, recent, "memory from {offset} on");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: std::env::var("PROPTEST_MAX_SHRINK_ITERS").ok().and_then(|n| n.parse().ok()).unwrap_or(60), failure_persistence: None, ..ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(16),
    ) })]
    #[test]
    fn the_log_behaves_like_its_model(
        recent_bytes in prop_oneof![Just(0), Just(20_000), Just(64 << 20)],
        steps in prop::collection::vec(step(), 20..80),
    ) {
        let mut world = World::new(recent_bytes);
        for step in steps {
            world.run(step);
            world.check();
            prop_assert_eq!(world.log().failure(), None);
        }
        world.reopen(true);
        world.check();
    }
}

#[test]
fn a_wide_gap_can_be_cut_anywhere() {
    for (partition, share) in [1, 4]
        .into_iter()
        .flat_map(|p| [0, 30, 85].map(|share| (p, share)))
    {
        let mut world = World::new(0);
        let steps = [
            Step::Replica {
                partition,
                gap: 5 << 32,
                records: 17,
                bytes: 2_041,
                producer: None,
                new_epoch: false,
            },
            Step::LogStart {
                partition,
                share: 52,
            },
            Step::Truncate { partition, share },
            Step::Append {
                partition,
                records: 6,
                bytes: 144,
                times: 9_462,
                new_epoch: false,
            },
        ];
        for step in steps {
            world.run(step);
            world.check();
        }
    }
}
