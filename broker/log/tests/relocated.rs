//! Batches that are copied forward while their data is still in memory.

mod support;

use std::ops::ControlFlow;

use fjord_log::LogOptions;
use support::*;

const NOW: i64 = 1_000_000;

#[test]
fn compaction_finds_batches_whose_first_file_was_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&LogOptions {
        recent_bytes: 8 << 20,
        ..small(directory.path())
    });
    let kept = partition(&log, 1);
    let keyed = |value: &'static [u8]| batch_of(&[(0, Some(b"key"), Some(value))], None);
    for value in [b"old", b"new"] {
        append(&kept, keyed(value), 0).unwrap();
    }
    append(&kept, batch_of(&[(0, Some(b"other"), None)], None), 0).unwrap();

    let passing = partition(&log, 2);
    for seed in 0..30 {
        append(&passing, filled(1, 10_000, 0, seed), 0).unwrap();
    }
    set_log_start(&passing, 30).unwrap();
    // Keeping what is left of the first file is what copying forward is for.
    eventually("giving the files back", || {
        log.reclaim();
        log.stats().relocated_bytes > 0 && log.stats().reclaimed_files > 0
    });

    kept.set_compaction(Some(eager_compaction(1_000)));
    let result = log.compact(NOW, &mut |_| ControlFlow::Continue(()));
    assert_eq!((result.partitions, result.records_removed), (1, 1));
    let values: Vec<_> = read_all(&kept).into_iter().map(|row| row.value).collect();
    assert_eq!(values, [Some(b"new".to_vec()), None]);
}
