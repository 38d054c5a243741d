//! SIGKILL at random moments: everything that was acknowledged is there, once and in order, and producers go
//! on where they were.
//!
//! The test runs itself as a child process, which appends as fast as it can and prints what is acknowledged.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fjord_log::{Durability, Log, LogOptions, Partition};
use rand::Rng;
use support::*;

const PARTITIONS: u64 = 4;
const IN_FLIGHT: usize = 5;
const DIRECTORY: &str = "FJORD_LOG_KILLED_DIRECTORY";
const DURABILITY: &str = "FJORD_LOG_KILLED_DURABILITY";

fn options(directory: &Path) -> LogOptions {
    let durability = match std::env::var(DURABILITY).as_deref() {
        Ok("os") => Durability::Os,
        _ => Durability::Fsync,
    };
    LogOptions {
        durability,
        ..small(directory)
    }
}

/// The child process; as a test of its own it does nothing.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let log = open(&options(Path::new(&directory)));
    let out = Arc::new(Mutex::new(std::io::stdout()));
    std::thread::scope(|scope| {
        for id in 1..=PARTITIONS {
            let (partition, out) = (partition(&log, id), out.clone());
            scope.spawn(move || produce(id, &partition, &out));
        }
        scope.spawn(|| {
            loop {
                std::thread::sleep(Duration::from_millis(20));
                log.reclaim();
            }
        });
    });
}

/// One record per batch; its sequence number is its offset too, unless something was lost or doubled.
fn produce(id: u64, partition: &Partition, out: &Mutex<std::io::Stdout>) {
    let mut next = partition.positions().log_end;
    let mut under_way = std::collections::VecDeque::new();
    loop {
        let (done, answer) = completion();
        let outcome = partition.append(record(id, next), 0, done).unwrap();
        assert_eq!(outcome.base_offset, next);
        under_way.push_back((answer, next));
        next += 1;
        if under_way.len() == IN_FLIGHT {
            let (answer, sequence) = under_way.pop_front().unwrap();
            wait(&answer).unwrap();
            let mut out = out.lock().unwrap();
            writeln!(out, "ack {id} {sequence}").unwrap();
            out.flush().unwrap();
        }
        // Some partitions lose their oldest records now and then.
        if id.is_multiple_of(2) && next.is_multiple_of(200) {
            partition
                .set_log_start(next - 100, Box::new(|_| {}))
                .unwrap();
        }
    }
}

fn record(id: u64, sequence: u64) -> bytes::Bytes {
    let producer = Producer {
        id: i64::try_from(id).unwrap(),
        epoch: 0,
        sequence: i32::try_from(sequence).unwrap(),
    };
    let value = noise(200 + (sequence % 7) as usize * 300, id << 32 | sequence);
    batch_of(&[(0, None, Some(&value))], Some(producer))
}

fn start(directory: &Path, durability: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(DURABILITY, durability)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets a child run for a while, kills it, and returns what it said was acknowledged last.
fn run_and_kill(directory: &Path, durability: &str, time: Duration) -> BTreeMap<u64, u64> {
    let mut child = start(directory, durability);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = BTreeMap::new();
    let mut killed_at: Option<Instant> = None;
    while let Some(Ok(line)) = lines.next() {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["ack", id, sequence] = words[..] {
            acknowledged.insert(id.parse().unwrap(), sequence.parse().unwrap());
            let at = *killed_at.get_or_insert_with(|| Instant::now() + time);
            if Instant::now() >= at {
                child.kill().unwrap();
            }
        }
    }
    assert_eq!(
        child.wait().unwrap().signal(),
        Some(9),
        "the child ran until it was killed"
    );
    assert!(!acknowledged.is_empty(), "the child has appended something");
    acknowledged
}

fn check(log: &Log, acknowledged: &BTreeMap<u64, u64>) {
    for id in 1..=PARTITIONS {
        let partition = partition(log, id);
        let positions = partition.positions();
        if let Some(last) = acknowledged.get(&id) {
            assert!(
                positions.log_end > *last,
                "{id}: {last} was acknowledged, the log ends at {}",
                positions.log_end
            );
        }
        let rows = read_all(&partition);
        assert_eq!(rows.len() as u64, positions.log_end - positions.log_start);
        for (row, offset) in rows.iter().zip(positions.log_start..) {
            let expected = rows_at(&record(id, offset), offset);
            assert_eq!(std::slice::from_ref(row), expected);
        }
        // What a producer sends again is known.
        if let Some(last) = positions.log_end.checked_sub(1) {
            let outcome = append(&partition, record(id, last), 0).unwrap();
            assert_eq!((outcome.base_offset, outcome.duplicate), (last, true));
        }
    }
}

fn kill_rounds(durability: &str) {
    let directory = tempfile::tempdir().unwrap();
    let rounds = std::env::var("FJORD_KILL_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(6);
    let mut random = rand::rng();
    for round in 0..rounds {
        let time = Duration::from_millis(random.random_range(0..400));
        let acknowledged = run_and_kill(directory.path(), durability, time);
        let wipe = round % 3 == 2;
        if wipe {
            std::fs::remove_dir_all(directory.path().join("index")).unwrap();
        }
        let log = open(&options(directory.path()));
        assert!(!log.recovery().clean);
        assert_eq!(log.recovery().damaged, []);
        let in_time = log.recovery().elapsed < Duration::from_secs(2);
        assert!(wipe || in_time, "{:?}", log.recovery());
        check(&log, &acknowledged);
    }
}

#[test]
fn nothing_acknowledged_is_lost() {
    kill_rounds("fsync");
}

#[test]
fn nor_without_fsync_as_long_as_the_system_stays_up() {
    kill_rounds("os");
}
