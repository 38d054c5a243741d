//! What a follower replica and a replicating leader need of a log: batches as the leader has them, gaps that
//! compaction has left there, batches that are written and not synced yet, and truncation.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use fjord_log::{AppendError, Log, LogOptions, Partition, RetentionPolicy, Stats, WrittenHook};
use support::*;

const NOW: i64 = 1_000_000;
/// Batches of three records that the leader of one test appends.
const BATCHES: u64 = 600;

/// Opens the log again, without its index if `wipe`.
fn reopen(log: Log, options: &LogOptions, wipe: bool) -> Log {
    drop(log);
    if wipe {
        fs::remove_dir_all(options.directory.join("index")).unwrap();
    }
    open(options)
}

fn in_memory_or_not(directory: &std::path::Path) -> [LogOptions; 2] {
    [0, 64 << 20].map(|recent_bytes| LogOptions {
        recent_bytes,
        ..small(&directory.join(recent_bytes.to_string()))
    })
}

fn compact(log: &Log, partition: &Partition) -> u64 {
    partition.set_compaction(Some(eager_compaction(1_000)));
    let result = log.compact(NOW, &mut |_| ControlFlow::Continue(()));
    partition.set_compaction(None);
    result.records_removed
}

fn keyed(key: &[u8], value: &[u8]) -> bytes::Bytes {
    batch_of(&[(5_000, Some(key), Some(value))], None)
}

#[test]
fn a_follower_has_its_leaders_batches_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let [options, _] = in_memory_or_not(directory.path());
    let mut log = open(&options);
    let leader = partition(&log, 1);
    let follower = partition(&log, 2);
    for seed in 0..20u64 {
        append(&leader, filled(3, 900, 0, seed), (seed / 7) as i32).unwrap();
    }
    let batches = |of: &Partition| {
        let (mut found, mut next) = (Vec::new(), 0);
        while next < of.positions().durable_end {
            let read = of.read(next, 2_000, u64::MAX).unwrap();
            found.extend(read.batches);
            next = read.next_offset;
        }
        found
    };
    let sent = batches(&leader);
    for batch in &sent {
        append_replica(&follower, batch.clone()).unwrap();
    }
    for wipe in [false, true] {
        let (leader, follower) = (partition(&log, 1), partition(&log, 2));
        assert_eq!(batches(&follower), sent);
        for epoch in 0..4 {
            let ended = follower.end_offset_for_epoch(epoch);
            assert_eq!(ended, leader.end_offset_for_epoch(epoch));
        }
        log = reopen(log, &options, wipe);
    }
}

#[test]
fn what_is_out_of_step_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&small(directory.path()));
    let p = partition(&log, 1);
    append_replica(&p, stored(&filled(5, 100, 0, 1), 10, 3)).unwrap();
    let batch = filled(1, 100, 0, 2);
    let refused = |base, epoch| append_replica(&p, stored(&batch, base, epoch)).unwrap_err();
    let (expected, found) = (15, 14);
    assert_eq!(refused(14, 3), AppendError::OutOfStep { expected, found });
    let (latest, found) = (3, 2);
    assert_eq!(
        refused(15, 2),
        AppendError::OldLeaderEpoch { latest, found }
    );
    assert!(matches!(refused(1 << 62, 3), AppendError::Malformed(_)));
    assert!(matches!(
        refused((1 << 62) - 9, 3),
        AppendError::Malformed(_)
    ));
    let mut damaged = stored(&batch, 15, 3).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let refused = append_replica(&p, damaged.into());
    assert!(matches!(refused, Err(AppendError::Malformed(_))));
    let two = [stored(&batch, 15, 3), stored(&batch, 16, 3)].concat();
    let refused = append_replica(&p, two.into());
    assert!(matches!(refused, Err(AppendError::Malformed(_))));
    assert_eq!((p.positions().log_end, read_all(&p).len()), (15, 5));
    append_replica(&p, stored(&batch, 15, 3)).unwrap();
}

/// Gaps at the log's start, small, and larger than one marker can be.
#[test]
fn gaps_are_part_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    for options in in_memory_or_not(directory.path()) {
        let mut log = open(&options);
        let p = partition(&log, 1);
        let mut expected = Vec::new();
        for (base, epoch) in [(7, 0), (8, 0), (20, 2), (9 << 32, 4)] {
            let batch = stored(&filled(1, 300, 5_000, base), base, epoch);
            append_replica(&p, batch.clone()).unwrap();
            expected.extend(rows_at(&batch, 0));
        }
        let end = (9 << 32) + 1;
        // A batch without records, as compaction may leave one.
        append_replica(&p, stored(&empty_batch(5, 1), end, 4)).unwrap();
        drop(p);
        for wipe in [false, true, false] {
            let p = partition(&log, 1);
            let positions = p.positions();
            assert_eq!((positions.log_start, positions.durable_end), (0, end + 5));
            for from in [0, 3, 7, 9, 15, 21, 1 << 32, 9 << 32] {
                let expected: Vec<_> = expected.iter().filter(|r| r.offset >= from).collect();
                let read = read_from(&p, from, 1);
                assert_eq!(read.iter().collect::<Vec<_>>(), expected, "from {from}");
            }
            assert_eq!(p.epoch_at(19), Some(0), "a gap is of the epoch before it");
            assert_eq!(p.end_offset_for_epoch(3), Some((2, 9 << 32)));
            let found = p.offset_for_timestamp(5_000, u64::MAX).unwrap().unwrap();
            assert_eq!(found.offset, 7);
            let newest = p.offset_of_max_timestamp(u64::MAX).unwrap().unwrap();
            assert_eq!(newest.offset, 7);
            assert!(log.wait_until_indexed());
            assert_eq!(log.stats().damaged_reads, Stats::default().damaged_reads);
            drop(p);
            log = reopen(log, &options, wipe);
        }
    }
}

/// What is not in the index yet must still be read when a gap comes: a marker of compaction, which looks the same,
/// leaves everything before it to the index.
#[test]
fn a_gap_hides_nothing_that_is_only_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&small(directory.path()));
    let p = partition(&log, 1);
    for round in 0..30 {
        let base = round * 100;
        append_replica(&p, stored(&filled(10, 200, 0, round), base, 0)).unwrap();
        append_replica(&p, stored(&filled(1, 10, 0, round), base + 50, 0)).unwrap();
        assert_eq!(read_from(&p, base, 1 << 20).len(), 11, "round {round}");
    }
}

#[test]
fn gaps_are_compacted_and_retained_like_anything_else() {
    let directory = tempfile::tempdir().unwrap();
    for options in in_memory_or_not(directory.path()) {
        let mut log = open(&options);
        let p = partition(&log, 1);
        for (base, key) in [(10, b"a"), (30, b"a"), (50, b"b"), (70, b"c")] {
            append_replica(&p, stored(&keyed(key, b"value"), base, 0)).unwrap();
        }
        assert_eq!(compact(&log, &p), 1);
        drop(p);
        for wipe in [false, true] {
            let p = partition(&log, 1);
            let offsets: Vec<u64> = read_all(&p).iter().map(|row| row.offset).collect();
            assert_eq!(offsets, [30, 50, 70]);
            drop(p);
            log = reopen(log, &options, wipe);
        }
        let p = partition(&log, 1);
        // A marker has the age of what follows it, and does not hold retention up.
        let policy = RetentionPolicy {
            max_age_ms: Some(1_000),
            max_bytes: None,
        };
        p.set_retention(Some(policy));
        assert_eq!(log.enforce_retention(6_000), 0);
        assert_eq!(log.enforce_retention(6_001), 1);
        assert_eq!(p.positions().log_start, 71);
    }
}

/// A newer record of a key may be truncated as long as it is not on all in-sync replicas; then the older one counts.
#[test]
fn nothing_is_cleaned_up_because_of_what_may_be_truncated() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&small(directory.path()));
    let p = partition(&log, 1);
    for i in 0..10u8 {
        let value = [i; 100];
        append(&p, batch_of(&[(0, Some(b"key"), Some(&value))], None), 0).unwrap();
    }
    p.set_high_watermark(4);
    // The newest of what is committed is left alone, as always, and so is what comes before it.
    assert_eq!(compact(&log, &p), 2);
    let offsets =
        |p: &Partition| -> Vec<u64> { read_all(p).iter().map(|row| row.offset).collect() };
    assert_eq!(offsets(&p), [2, 3, 4, 5, 6, 7, 8, 9]);
    truncate(&p, 4).unwrap();
    assert_eq!(offsets(&p), [2, 3]);

    append(&p, filled(1, 100, 0, 1), 1).unwrap();
    let policy = RetentionPolicy {
        max_age_ms: None,
        max_bytes: Some(0),
    };
    p.set_retention(Some(policy));
    log.enforce_retention(NOW);
    assert_eq!(offsets(&p), [4]);
    p.set_high_watermark(5);
    log.enforce_retention(NOW);
    assert_eq!(p.positions().log_start, 5);
}

#[test]
fn producers_are_noted_and_not_checked() {
    let directory = tempfile::tempdir().unwrap();
    let options = small(directory.path());
    let mut log = open(&options);
    let producer = |epoch, sequence| {
        Some(Producer {
            id: 7,
            epoch,
            sequence,
        })
    };
    let batch = |epoch, sequence| batch_of(&[(0, None, Some(b"x"))], producer(epoch, sequence));
    let p = partition(&log, 1);
    // Gaps in the sequence, and an older epoch: the leader has taken them all the same.
    for (base, (epoch, sequence)) in (0..).zip([(1, 0), (1, 5), (0, 3), (2, 0), (2, 1)]) {
        append_replica(&p, stored(&batch(epoch, sequence), base, 0)).unwrap();
    }
    drop(p);
    for wipe in [false, true] {
        log = reopen(log, &options, wipe);
        let p = partition(&log, 1);
        let again = append(&p, batch(2, 1), 0).unwrap();
        assert_eq!((again.base_offset, again.duplicate), (4, true));
        let gap = append(&p, batch(2, 3), 0);
        assert!(matches!(gap, Err(AppendError::OutOfOrderSequence { .. })));
    }
    // What is cut off has never been sent.
    let p = partition(&log, 1);
    truncate(&p, 4).unwrap();
    assert!(!append(&p, batch(2, 1), 1).unwrap().duplicate);
    truncate(&p, 3).unwrap();
    assert_eq!(
        p.producer_count(),
        0,
        "with its newest epoch it is forgotten"
    );
}

/// Blocks the writer in the hook, between the write and the sync, and looks at the log from there.
#[test]
fn what_is_written_is_for_followers_alone_until_it_is_synced() {
    let directory = tempfile::tempdir().unwrap();
    for options in in_memory_or_not(directory.path()) {
        let log = open(&options);
        let p = partition(&log, 1);
        begin_epoch(&p, 3).unwrap();
        let first = filled(10, 1_000, 1_000, 1);
        append(&p, first.clone(), 3).unwrap();
        assert_eq!(p.positions().written_end, 10);

        let (told, written) = channel();
        let (go_on, held) = channel::<()>();
        let (told, held) = (Mutex::new(told), Mutex::new(held));
        p.on_written(Some(Arc::new(move || {
            told.lock().unwrap().send(()).unwrap();
            held.lock().unwrap().recv_timeout(WAIT).unwrap();
        })));
        let batch = filled(5, 1_000, 2_000, 2);
        let (done, answer) = completion();
        p.append(batch.clone(), 3, done).unwrap();
        written.recv_timeout(WAIT).unwrap();

        let positions = p.positions();
        assert_eq!((positions.durable_end, positions.written_end), (10, 15));
        let read = p.read_written(10, 1 << 20).unwrap().unwrap();
        assert_eq!(read.batches, [stored(&batch, 10, 3)]);
        assert_eq!((read.next_offset, read.bytes), (15, batch.len()));
        let all = p.read_written(0, 1 << 20);
        match options.recent_bytes {
            0 => assert!(all.is_none(), "the first batch is on disk"),
            _ => assert_eq!(all.unwrap().unwrap().batches.len(), 2),
        }
        let nothing = p.read_written(15, 1 << 20).unwrap().unwrap();
        assert_eq!((nothing.batches.len(), nothing.next_offset), (0, 15));
        assert!(p.read_written(16, 1 << 20).unwrap().is_err());

        // Nobody else sees it.
        assert_eq!(read_all(&p).len(), 10);
        assert_eq!(p.read(0, 1 << 20, u64::MAX).unwrap().next_offset, 10);
        assert!(p.read(11, 1 << 20, u64::MAX).is_err());
        let recent = p.read_recent(10, 1 << 20, u64::MAX).unwrap().unwrap();
        assert_eq!(recent.batches.len(), 0);
        assert_eq!(p.offset_for_timestamp(1_001, u64::MAX).unwrap(), None);
        let newest = p.offset_of_max_timestamp(u64::MAX).unwrap().unwrap();
        assert_eq!(newest.timestamp, 1_000);
        assert_eq!(p.size_bytes(), first.len() as u64);

        // A follower that has it must not be told to cut it off.
        assert_eq!(p.end_offset_for_epoch(3), Some((3, 10)));
        assert_eq!(p.log_end_for_epoch(3), Some((3, 15)));

        // It cannot be cut off meanwhile.
        let (done, _) = completion();
        assert_eq!(p.truncate_suffix(5, &|| true, done), Err(AppendError::Busy));
        let (done, _) = completion();
        assert_eq!(p.truncate_all(5, &|| true, done), Err(AppendError::Busy));
        let (done, settled) = completion();
        p.barrier(done).unwrap();

        go_on.send(()).unwrap();
        assert!(wait(&answer).is_ok());
        assert!(wait(&settled).is_ok());
        let positions = p.positions();
        assert_eq!((positions.durable_end, positions.written_end), (15, 15));
        assert_eq!(read_all(&p).len(), 15);
        assert!(
            written.try_recv().is_err(),
            "told once, when it was written"
        );
        p.on_written(None);
        truncate(&p, 12).unwrap();
        assert_eq!(p.positions().written_end, 10);
    }
}

/// What is not wanted any more is not done, whether that is known before or only when it has been looked up where
/// batches begin.
#[test]
fn a_truncation_that_is_not_wanted_any_more_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&small(directory.path()));
    let p = partition(&log, 1);
    append(&p, filled(10, 1_000, 0, 1), 0).unwrap();
    append(&p, filled(10, 1_000, 0, 2), 0).unwrap();
    for answers in [0, 1] {
        let asked = AtomicUsize::new(0);
        let is_wanted = || asked.fetch_add(1, SeqCst) < answers;
        let (done, _) = completion();
        let refused = p.truncate_suffix(15, &is_wanted, done);
        assert_eq!(refused, Err(AppendError::Superseded));
        assert_eq!(asked.into_inner(), answers + 1);
    }
    let (done, _) = completion();
    let refused = p.truncate_all(5, &|| false, done);
    assert_eq!(refused, Err(AppendError::Superseded));
    assert_eq!(p.positions().log_end, 20);
    truncate(&p, 15).unwrap();
    assert_eq!(p.positions().log_end, 10, "batches go whole");
}

/// A log start moved to what is under way takes the other ends along; it does not make the log look settled.
#[test]
fn a_log_start_does_not_hide_appends_that_are_under_way() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&small(directory.path()));
    let p = partition(&log, 1);
    append(&p, filled(10, 1_000, 0, 1), 0).unwrap();
    let (told, written) = channel();
    let (go_on, held) = channel::<()>();
    let (told, held) = (Mutex::new(told), Mutex::new(held));
    p.on_written(Some(Arc::new(move || {
        told.lock().unwrap().send(()).unwrap();
        held.lock().unwrap().recv_timeout(WAIT).unwrap();
    })));
    let (done, answer) = completion();
    p.append(filled(10, 1_000, 0, 2), 0, done).unwrap();
    written.recv_timeout(WAIT).unwrap();
    p.set_log_start(15, Box::new(|_| {})).unwrap();
    let positions = p.positions();
    assert_eq!((positions.durable_end, positions.written_end), (15, 20));
    let read = p.read_written(15, 1 << 20).unwrap().unwrap();
    assert_eq!(rows(&read.batches).len(), 10, "the batch that holds it");
    let (done, moved) = completion();
    p.set_log_start(20, done).unwrap();
    assert_eq!(p.positions().durable_end, 20);
    let (done, _) = completion();
    assert_eq!(p.truncate_suffix(5, &|| true, done), Err(AppendError::Busy));
    go_on.send(()).unwrap();
    wait(&answer).unwrap();
    wait(&moved).unwrap();
    p.on_written(None);
    truncate(&p, 20).unwrap();
    let outcome = append(&p, filled(1, 10, 0, 3), 0).unwrap();
    assert_eq!((outcome.base_offset, read_all(&p).len()), (20, 1));
}

/// A leader that appends as fast as it can, and a follower that copies what is written whenever it is told.
#[test]
fn a_follower_keeps_up_with_what_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&LogOptions {
        recent_bytes: 64 << 20,
        ..small(directory.path())
    });
    let (leader, follower) = (partition(&log, 1), partition(&log, 2));
    let (told, moved) = channel();
    let told = Mutex::new(told);
    let hook: WrittenHook = Arc::new(move || told.lock().unwrap().send(()).unwrap());
    leader.on_written(Some(hook));
    std::thread::scope(|scope| {
        let (from, to) = (&leader, &follower);
        scope.spawn(move || {
            let mut next = 0;
            while next < 3 * BATCHES {
                moved.recv_timeout(WAIT).unwrap();
                while next < from.positions().written_end {
                    let read = from.read_written(next, 8_000).unwrap().unwrap();
                    for batch in read.batches {
                        to.append_replica(batch, Box::new(|_| {})).unwrap();
                    }
                    next = read.next_offset;
                }
            }
        });
        let mut answers = Vec::new();
        for seed in 0..BATCHES {
            let (done, answer) = completion();
            leader.append(filled(3, 2_000, 0, seed), 0, done).unwrap();
            answers.push(answer);
            if seed % 40 == 0 {
                answers.drain(..).for_each(|a| assert!(wait(&a).is_ok()));
            }
        }
        answers.drain(..).for_each(|a| assert!(wait(&a).is_ok()));
    });
    barrier(&follower).unwrap();
    assert_eq!(read_all(&follower), read_all(&leader));
}

/// Compaction has made one marker of several batches, and the index does not know it yet.
#[test]
fn truncation_finds_markers_that_are_on_their_way_to_the_index() {
    let directory = tempfile::tempdir().unwrap();
    let options = small(directory.path());
    let mut log = open(&options);
    let p = partition(&log, 1);
    for _ in 0..4 {
        append(&p, keyed(b"a", b"old"), 0).unwrap();
    }
    for _ in 0..4 {
        append(&p, keyed(b"b", b"kept"), 0).unwrap();
        append(&p, keyed(b"a", b"new"), 0).unwrap();
    }
    p.set_compaction(Some(eager_compaction(1_000)));
    let (mut pieces, mut truncated) = (0, None);
    log.compact(NOW, &mut |_| {
        pieces += 1;
        // Batches 0 to 10 have been looked at for their keys. Then 0 to 8 became one marker, which is queued when
        // 9 stays as it is; 10 is next.
        if pieces == 11 + 11 {
            truncated = Some(truncate(&p, 2));
        }
        ControlFlow::Continue(())
    });
    truncated.expect("the pass got that far").unwrap();
    p.set_compaction(None);
    assert_eq!(p.positions().log_end, 0, "markers go whole");
    let mut expected = Vec::new();
    for seed in 0..3 {
        let batch = filled(3, 100, 0, seed);
        let outcome = append(&p, batch.clone(), 1).unwrap();
        expected.extend(rows_at(&batch, outcome.base_offset));
    }
    drop(p);
    for wipe in [false, true] {
        assert!(log.wait_until_indexed());
        assert_eq!(read_all(&partition(&log, 1)), expected);
        log = reopen(log, &options, wipe);
    }
}

/// Nobody could follow a log up to its end that ends with a marker.
#[test]
fn a_truncated_log_does_not_end_with_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    for options in in_memory_or_not(directory.path()) {
        let mut log = open(&options);
        for (id, cut) in [(1, 20), (2, 12), (3, 5)] {
            let p = partition(&log, id);
            append_replica(&p, stored(&filled(5, 300, 0, 1), 0, 0)).unwrap();
            append_replica(&p, stored(&filled(5, 300, 0, 2), 20, 0)).unwrap();
            truncate(&p, cut).unwrap();
            assert_eq!(p.positions().log_end, 5, "cut at {cut}");
            let batch = stored(&filled(1, 10, 0, 3), 9, 0);
            append_replica(&p, batch.clone()).unwrap();
            assert_eq!(read_from(&p, 5, 1), rows_at(&batch, 0));
        }
        log = reopen(log, &options, true);
        for id in 1..=3 {
            assert_eq!(read_all(&partition(&log, id)).len(), 6);
        }
    }
}

/// A leader that began an epoch and appended nothing under it, when the next leader has begun another.
#[test]
fn an_epoch_without_records_is_truncated_at_the_logs_end() {
    let directory = tempfile::tempdir().unwrap();
    let options = small(directory.path());
    let mut log = open(&options);
    let p = partition(&log, 1);
    append(&p, filled(4, 100, 0, 1), 1).unwrap();
    begin_epoch(&p, 5).unwrap();
    let batch = stored(&filled(2, 100, 0, 2), 4, 3);
    let refused = append_replica(&p, batch.clone());
    let (latest, found) = (5, 3);
    assert_eq!(refused, Err(AppendError::OldLeaderEpoch { latest, found }));
    // The leader knows epochs 1 and 3, which began at 4.
    let cut = p.diverges_at(3, 6);
    assert_eq!(cut, 4);
    truncate(&p, cut).unwrap();
    assert_eq!(p.latest_epoch().map(|e| e.epoch), Some(1));
    drop(p);
    for wipe in [false, true] {
        log = reopen(log, &options, wipe);
        let p = partition(&log, 1);
        assert_eq!(p.latest_epoch().map(|e| e.epoch), Some(1), "wiped: {wipe}");
    }
    append_replica(&partition(&log, 1), batch).unwrap();
}

#[test]
fn a_log_begins_anew_backward_and_forward() {
    let directory = tempfile::tempdir().unwrap();
    for options in in_memory_or_not(directory.path()) {
        for (seed, start) in [0, 3, 25, 60, 1 << 33].into_iter().enumerate() {
            let mut log = open(&options);
            let id = 1 + seed as u64;
            let p = partition(&log, id);
            let stamp = Producer {
                id: 7,
                epoch: 0,
                sequence: 0,
            };
            // Of this producer retention has taken all records; it is forgotten all the same.
            append(&p, batch_of(&[(9_000, None, None)], Some(stamp)), 0).unwrap();
            for seed in 0..5 {
                let batch = filled(10, 2_000, 8_000, seed);
                append(&p, batch, seed as i32).unwrap();
            }
            set_log_start(&p, 20).unwrap();
            truncate_all(&p, start).unwrap();
            let check = |p: &Partition| {
                let positions = p.positions();
                let bounds = (
                    positions.log_start,
                    positions.durable_end,
                    positions.log_end,
                );
                assert_eq!(bounds, (start, start, start));
                assert_eq!((p.latest_epoch(), p.producer_count()), (None, 0));
                assert_eq!(p.offset_of_max_timestamp(u64::MAX).unwrap(), None);
                assert_eq!(read_all(p), []);
            };
            check(&p);
            drop(p);
            for wipe in [false, true] {
                // As after a crash: everything that `done` was called for is there.
                let to = directory
                    .path()
                    .join(format!("{}-{id}-{wipe}", options.recent_bytes));
                copy_crashed(&options.directory, &to);
                let crashed = LogOptions {
                    directory: to,
                    ..options.clone()
                };
                if wipe {
                    fs::remove_dir_all(crashed.directory.join("index")).unwrap();
                }
                check(&partition(&open(&crashed), id));
                log = reopen(log, &options, wipe);
                check(&partition(&log, id));
            }
            let p = partition(&log, id);
            assert!(log.wait_until_indexed());
            assert_eq!(p.size_bytes(), 0);
            let batch = stored(&filled(3, 300, 1_000, 9), start, 0);
            append_replica(&p, batch.clone()).unwrap();
            assert_eq!(read_all(&p), rows_at(&batch, 0));
            let newest = p.offset_of_max_timestamp(u64::MAX).unwrap().unwrap();
            assert_eq!((newest.offset, newest.timestamp), (start, 1_000));
            assert_eq!(p.size_bytes(), batch.len() as u64);
            drop(p);
            log = reopen(log, &options, true);
            assert_eq!(read_all(&partition(&log, id)), rows_at(&batch, 0));
        }
    }
}
