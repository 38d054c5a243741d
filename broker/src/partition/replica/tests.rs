//! A replica on a real log, as leader and follower in turn.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        mpsc::{Sender, channel},
    },
    time::Duration,
};

use bytes::Bytes;
use fjord_log::{AppendError, Log, LogOptions, PartitionId};
use fjord_wire::records::{
    BatchBuilder, BatchOptions, set_base_offset, set_partition_leader_epoch,
};
use uuid::Uuid;

use super::{FollowerAt, Replica, ReplicaOptions, WriteError};
use crate::{
    config::{BrokerConfig, Layers, TopicConfig},
    metadata::{Partition, records::LeaderRecoveryState},
    partition::{Link, Outbox},
};

const ME: i32 = 1;
const WAIT: Duration = Duration::from_secs(60);

fn open(directory: &Path) -> Log {
    Log::open(LogOptions {
        file_bytes: 1 << 20,
        reserve_bytes: 1 << 20,
        ..LogOptions::new(directory)
    })
    .unwrap()
}

fn replica(log: &Log) -> Arc<Replica> {
    let broker = BrokerConfig::resolve(Layers::default()).unwrap();
    Arc::new(Replica::new(ReplicaOptions {
        topic: "t".into(),
        topic_id: Uuid::from_u128(1),
        index: 0,
        broker_id: ME,
        log: log.open_partition(PartitionId(1), "t-0", false).unwrap(),
        config: Arc::new(TopicConfig::resolve(&BTreeMap::new(), &broker)),
    }))
}

/// The partition, led by `leader`, with that one alone in sync.
fn led_by(leader: i32, leader_epoch: i32) -> Partition {
    Partition {
        incarnation: 1,
        replicas: vec![1, 2],
        in_sync_replicas: vec![leader],
        leader,
        leader_epoch,
        partition_epoch: leader_epoch,
        eligible_leader_replicas: Vec::new(),
        last_known_eligible_leader_replicas: Vec::new(),
        last_known_leader: -1,
        leader_recovery_state: LeaderRecoveryState::Recovered,
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
    }
}

/// One record, as a leader has it.
fn stored(offset: u64, leader_epoch: i32) -> Bytes {
    let mut builder = BatchBuilder::new(0, BatchOptions::default());
    builder.append(0, 0, None, Some(b"value"), &[]).unwrap();
    let mut batch = builder.build().unwrap().to_vec();
    set_base_offset(&mut batch, i64::try_from(offset).unwrap()).unwrap();
    set_partition_leader_epoch(&mut batch, leader_epoch).unwrap();
    batch.into()
}

/// Appends one record of a leader, and waits until it is on disk.
fn follow(replica: &Replica, leader_epoch: i32, offset: u64) {
    let (told, done) = channel();
    let done_with = Box::new(move |result| told.send(result).unwrap());
    replica
        .append_from_leader(leader_epoch, stored(offset, leader_epoch), done_with)
        .unwrap();
    done.recv_timeout(WAIT).unwrap().unwrap();
}

/// Has the log stand still before its next sync, until something is sent.
fn hold(log: &Log) -> Sender<()> {
    let other = log.open_partition(PartitionId(2), "t-1", false).unwrap();
    let (told, written) = channel();
    let (go_on, held) = channel::<()>();
    let (told, held) = (Mutex::new(told), Mutex::new(held));
    other.on_written(Some(Arc::new(move || {
        told.lock().unwrap().send(()).unwrap();
        held.lock().unwrap().recv_timeout(WAIT).unwrap();
    })));
    other
        .append(stored(0, 0), 0, Box::new(|_| ()))
        .expect("appends are taken");
    written.recv_timeout(WAIT).unwrap();
    other.on_written(None);
    go_on
}

#[test]
fn what_was_under_way_at_the_election_counts_once_it_is_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let replica = replica(&log);
    replica.set_state(&led_by(2, 1), 1, 0);
    let go_on = hold(&log);
    let (told, done) = channel();
    let done_with = Box::new(move |result: Result<_, _>| told.send(result).unwrap());
    replica
        .append_from_leader(1, stored(0, 1), done_with)
        .unwrap();
    replica.set_state(&led_by(ME, 2), 1, 0);
    assert!(!replica.is_settled());
    assert_eq!(replica.bounds().high_watermark, 0);
    go_on.send(()).unwrap();
    done.recv_timeout(WAIT).unwrap().unwrap();
    // What comes later is told later.
    let (told, done) = channel();
    let done_with = Box::new(move |_| told.send(()).unwrap());
    replica.log().barrier(done_with).unwrap();
    done.recv_timeout(WAIT).unwrap();
    assert!(replica.is_settled());
    assert_eq!(replica.bounds().high_watermark, 1);
}

#[test]
fn a_leaders_high_watermark_counts_as_far_as_the_log_goes() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let replica = replica(&log);
    replica.set_state(&led_by(2, 1), 1, 0);
    (0..5).for_each(|offset| follow(&replica, 1, offset));
    replica.heard_high_watermark(1, 100).unwrap();
    replica.set_state(&led_by(2, 2), 1, 0);
    let (told, done) = channel();
    let done_with = Box::new(move |result: Result<_, _>| told.send(result).unwrap());
    replica.truncate(2, 3, done_with).unwrap();
    done.recv_timeout(WAIT).unwrap().unwrap();
    (3..9).for_each(|offset| follow(&replica, 2, offset));
    // Replica 2 is still in sync, and has not been heard of.
    let mut elected = led_by(ME, 3);
    elected.in_sync_replicas = vec![1, 2];
    replica.set_state(&elected, 1, 0);
    assert_eq!(replica.bounds().high_watermark, 3);
}

#[test]
fn what_an_older_leader_says_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let replica = replica(&log);
    replica.set_state(&led_by(2, 1), 1, 0);
    (0..5).for_each(|offset| follow(&replica, 1, offset));
    for newer in [led_by(ME, 2), led_by(2, 3)] {
        replica.set_state(&newer, 1, 0);
        let nothing = || Box::new(|_| panic!("it is refused"));
        let appended = replica.append_from_leader(1, stored(5, 1), nothing());
        assert_eq!(appended, Err(WriteError::NotLeader));
        let heard = replica.heard_high_watermark(1, 5);
        assert_eq!(heard, Err(WriteError::NotLeader));
        let moved = replica.follow_log_start(1, 4);
        assert_eq!(moved, Err(WriteError::NotLeader));
        let truncated = replica.truncate(1, 2, nothing());
        assert_eq!(truncated, Err(AppendError::Superseded));
        let begun = replica.begin_anew(1, 9, nothing());
        assert_eq!(begun, Err(AppendError::Superseded));
    }
    let positions = replica.log().positions();
    assert_eq!((positions.log_start, positions.log_end), (0, 5));
}

#[test]
fn a_follower_that_the_leader_does_not_know_yet_has_to_ask_again() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let replica = replica(&log);
    let mut state = led_by(ME, 1);
    replica.set_state(&state, 1, 0);
    let (outbox, new) = (Arc::new(Outbox::default()), 3);
    let at = FollowerAt {
        broker_epoch: 1,
        end: 0,
    };
    let begins = || replica.follower_begins(&Link::new(&outbox, 7, new), at, 1, 0);
    assert!(!begins());
    state.replicas.push(new);
    state.partition_epoch += 1;
    replica.set_state(&state, 1, 0);
    assert!(begins());
}
