//! The runtime under real threads, over a log in memory whose appends settle when a test says so.

use std::task::Poll;

use bytes::Bytes;
use fjord_wire::ErrorCode;
use uuid::Uuid;

use super::super::groups::{
    CommitPartition, CommitRequest, CommitTopic, FetchRequest, GroupConfig, GroupState, Groups,
    HeartbeatRequest, JoinReply, JoinRequest, ListRequest, Protocol, SyncReply, SyncRequest,
};
use super::super::testing::MemoryLog;
use super::*;

struct Fixture {
    groups: Groups,
    log: Arc<MemoryLog>,
    timers: CancellationToken,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.timers.cancel();
    }
}

impl Fixture {
    /// A coordinator over a log, with quick timeouts, not loaded yet.
    fn open(log: &Arc<MemoryLog>) -> Self {
        let config = GroupConfig {
            min_session_timeout_ms: 1,
            initial_rebalance_delay_ms: 20,
            ..GroupConfig::default()
        };
        let groups = Groups::new(config, log.clone());
        let timers = CancellationToken::new();
        let (running, cancel) = (groups.clone(), timers.clone());
        tokio::spawn(async move { running.run(cancel).await });
        groups.set_partition_count(3);
        (0..3).for_each(|partition| groups.host(partition, 0));
        Self {
            groups,
            log: log.clone(),
            timers,
        }
    }

    async fn loaded(log: &Arc<MemoryLog>) -> Self {
        let fixture = Self::open(log);
        fixture.wait_until_loaded().await;
        fixture
    }

    async fn wait_until_loaded(&self) {
        wait_for(|| self.groups.is_loaded()).await;
    }

    async fn commit(&self, group: &str, offset: i64) -> Result<(), ErrorCode> {
        self.groups.commit(commit(group, offset)).await.map(|_| ())
    }

    async fn committed(&self, group: &str) -> Result<i64, ErrorCode> {
        let request = FetchRequest {
            group_id: group.into(),
            topics: None,
        };
        let reply = self.groups.fetch(request).await;
        if reply.error != ErrorCode::None {
            return Err(reply.error);
        }
        Ok(reply
            .topics
            .first()
            .map_or(-1, |topic| topic.partitions[0].offset))
    }

    /// A consumer that is the only one in its group.
    async fn lone_member(&self, group: &str, session_timeout_ms: i32) -> JoinReply {
        let given = self.groups.join(join(group, "", session_timeout_ms)).await;
        assert_eq!(given.error, ErrorCode::MemberIdRequired);
        let joined = self
            .groups
            .join(join(group, &given.member_id, session_timeout_ms))
            .await;
        assert_eq!(joined.error, ErrorCode::None);
        joined
    }

    async fn sync(&self, group: &str, joined: &JoinReply) -> SyncReply {
        self.groups.sync(sync(group, joined)).await
    }

    async fn state(&self, group: &str) -> GroupState {
        self.groups.describe(group).await.state
    }
}

fn commit(group: &str, offset: i64) -> CommitRequest {
    let partition = CommitPartition {
        partition: 0,
        offset,
        leader_epoch: -1,
        metadata: None,
    };
    let topic = CommitTopic {
        name: "t".into(),
        topic_id: Uuid::nil(),
        partitions: vec![partition],
    };
    CommitRequest {
        group_id: group.into(),
        generation_id: -1,
        member_id: String::new(),
        group_instance_id: None,
        retention_time_ms: -1,
        api_version: 9,
        topics: vec![topic],
    }
}

fn join(group: &str, member_id: &str, session_timeout_ms: i32) -> JoinRequest {
    JoinRequest {
        group_id: group.into(),
        member_id: member_id.into(),
        group_instance_id: None,
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        protocol_type: "sr".into(),
        protocols: vec![Protocol {
            name: "v0".into(),
            metadata: Bytes::new(),
        }],
        session_timeout_ms,
        rebalance_timeout_ms: 30_000,
        api_version: 9,
        reason: None,
        entropy: Uuid::new_v4(),
    }
}

fn sync(group: &str, joined: &JoinReply) -> SyncRequest {
    SyncRequest {
        group_id: group.into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        group_instance_id: None,
        protocol_type: None,
        protocol_name: None,
        assignments: vec![(joined.member_id.clone(), Bytes::from_static(b"all"))],
    }
}

async fn wait_for(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it does not come true");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether a future is still waiting, without driving it further than one poll.
async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending()))
        .await
}

#[tokio::test]
async fn a_commit_is_answered_once_durable_and_so_is_who_reads_it() {
    let fixture = Fixture::loaded(&Arc::default()).await;
    fixture.commit("g", 1).await.unwrap();
    fixture.log.stop();
    let mut commit = Box::pin(fixture.commit("g", 2));
    assert!(is_pending(&mut commit).await);
    let mut fetch = Box::pin(fixture.committed("g"));
    assert!(
        is_pending(&mut fetch).await,
        "a crash now would take the offset back"
    );
    assert!(is_pending(&mut commit).await);
    fixture.log.settle(true);
    commit.await.unwrap();
    assert_eq!(fetch.await, Ok(2));
}

#[tokio::test]
async fn the_step_is_done_in_the_call_and_futures_may_be_dropped() {
    let fixture = Fixture::loaded(&Arc::default()).await;
    drop(fixture.groups.commit(commit("g", 1)));
    drop(fixture.groups.commit(commit("g", 2)));
    assert_eq!(fixture.committed("g").await, Ok(2));
}

#[tokio::test]
async fn a_failed_commit_is_an_error_and_the_group_goes_on() {
    let fixture = Fixture::loaded(&Arc::default()).await;
    let joined = fixture.lone_member("g", 60_000).await;
    assert_eq!(fixture.sync("g", &joined).await.error, ErrorCode::None);
    fixture.commit("g2", 1).await.unwrap();
    let replays = fixture.log.replays();
    fixture.log.stop();
    let failing = fixture.groups.commit(commit("g2", 2));
    fixture.log.settle(false);
    assert_eq!(failing.await, Err(ErrorCode::NotCoordinator));
    assert_eq!(fixture.committed("g2").await, Ok(1));
    assert_eq!(fixture.state("g").await, GroupState::Stable);
    assert_eq!(fixture.log.replays(), replays, "offsets need no reload");
}

#[tokio::test]
async fn what_waits_for_a_failed_append_fails_with_it() {
    let fixture = Fixture::loaded(&Arc::default()).await;
    fixture.log.stop();
    let first = fixture.groups.commit(commit("g", 1));
    let second = fixture.groups.commit(commit("g", 2));
    let fetch = fixture.committed("g");
    let mut fetch = Box::pin(fetch);
    assert!(is_pending(&mut fetch).await);
    fixture.log.settle(true);
    assert!(first.await.is_ok());
    fixture.log.settle(false);
    assert_eq!(second.await, Err(ErrorCode::NotCoordinator));
    assert_eq!(fetch.await, Err(ErrorCode::NotCoordinator));
    assert_eq!(fixture.committed("g").await, Ok(1));
}

#[tokio::test]
async fn after_a_failed_sync_the_shard_is_what_its_log_says() {
    let fixture = Fixture::loaded(&Arc::default()).await;
    let joined = fixture.lone_member("g", 60_000).await;
    fixture.commit("g2", 1).await.unwrap();
    fixture.log.stop();
    let failing = fixture.groups.sync(sync("g", &joined));
    // Written after the failed one, and before the shard is read again.
    let same_shard =
        |name: &String| fixture.groups.partition_for(name) == fixture.groups.partition_for("g");
    let other = (0..50)
        .map(|n| format!("other-{n}"))
        .find(same_shard)
        .unwrap();
    let later = fixture.groups.commit(commit(&other, 7));
    let parked = fixture.groups.join(join(&other, "", 60_000)).await;
    let parked = fixture.groups.join(join(&other, &parked.member_id, 60_000));
    fixture.log.settle(false);
    assert_eq!(failing.await.error, ErrorCode::NotCoordinator);
    assert_eq!(parked.await.error, ErrorCode::NotCoordinator);
    let during = fixture.groups.commit(commit(&other, 8)).await;
    assert_eq!(during, Err(ErrorCode::CoordinatorLoadInProgress));
    assert_eq!(later.await, Err(ErrorCode::NotCoordinator));
    // Time in which a replay that does not wait for the other append would begin.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!fixture.log.replayed_too_early());
    fixture.log.settle(true);
    assert_eq!(fixture.log.waiting(), 0);
    fixture.log.go_on();
    fixture.wait_until_loaded().await;
    let heartbeat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        group_instance_id: None,
    };
    assert_eq!(
        fixture.groups.heartbeat(heartbeat).await,
        ErrorCode::UnknownMemberId
    );
}

#[tokio::test]
async fn timers_remove_a_silent_member() {
    let fixture = Fixture::loaded(&Arc::default()).await;
    let joined = fixture.lone_member("g", 50).await;
    assert_eq!(fixture.sync("g", &joined).await.assignment, "all");
    let deadline = Instant::now() + Duration::from_secs(20);
    while fixture.state("g").await != GroupState::Empty {
        assert!(Instant::now() < deadline, "the session never ends");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let log = Arc::default();
    let fixture = Fixture::loaded(&log).await;
    for n in 0..20 {
        fixture.commit(&format!("group-{n}"), n).await.unwrap();
    }
    let joined = fixture.lone_member("g", 60_000).await;
    fixture.sync("g", &joined).await;
    fixture.groups.close();
    assert_eq!(
        fixture.committed("group-1").await,
        Err(ErrorCode::NotCoordinator)
    );
    drop(fixture);

    let fixture = Fixture::loaded(&log).await;
    for n in 0..20 {
        assert_eq!(fixture.committed(&format!("group-{n}")).await, Ok(n));
    }
    assert_eq!(fixture.sync("g", &joined).await.assignment, "all");
    let listed = fixture.groups.list(&ListRequest::default()).await.unwrap();
    assert_eq!(listed.len(), 21);
}

#[tokio::test]
async fn while_loading_requests_are_told_so_and_heartbeats_are_fine() {
    let log: Arc<MemoryLog> = Arc::default();
    log.refuse_replay(true);
    let fixture = Fixture::open(&log);
    assert_eq!(
        fixture.committed("g").await,
        Err(ErrorCode::CoordinatorLoadInProgress)
    );
    let list = fixture.groups.list(&ListRequest::default()).await;
    assert_eq!(list, Err(ErrorCode::CoordinatorLoadInProgress));
    let heartbeat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: 1,
        member_id: "m".into(),
        group_instance_id: None,
    };
    assert_eq!(fixture.groups.heartbeat(heartbeat).await, ErrorCode::None);
    // A log that can be read again is read again.
    log.refuse_replay(false);
    fixture.wait_until_loaded().await;
    fixture.commit("g", 1).await.unwrap();
}

#[tokio::test]
async fn before_the_topic_exists_there_is_no_coordinator() {
    let groups = Groups::new(GroupConfig::default(), Arc::<MemoryLog>::default());
    assert_eq!(groups.partition_for("g"), None);
    let outcome = groups.commit(commit("g", 1)).await;
    assert_eq!(outcome, Err(ErrorCode::CoordinatorNotAvailable));
}

#[tokio::test]
async fn a_large_step_is_written_in_several_batches() {
    let fixture = Fixture::loaded(&Arc::default()).await;
    let mut request = commit("g", 5);
    let one = request.topics[0].partitions[0].clone();
    request.topics[0].partitions = (0..2_000)
        .map(|partition| {
            let metadata = Some("m".repeat(1_000));
            CommitPartition {
                partition,
                metadata,
                ..one.clone()
            }
        })
        .collect();
    fixture.log.stop();
    let committed = fixture.groups.commit(request.clone());
    assert!(fixture.log.waiting() > 3);
    while fixture.log.waiting() > 0 {
        fixture.log.settle(true);
    }
    assert_eq!(committed.await.unwrap()[0].partitions.len(), 2_000);
    assert_eq!(fixture.log.records(), 2_000);

    // If only a part is written, memory must learn which: it is read again.
    let replays = fixture.log.replays();
    let broken = fixture.groups.commit(request);
    fixture.log.settle(false);
    while fixture.log.waiting() > 0 {
        fixture.log.settle(true);
    }
    assert!(broken.await.is_err());
    wait_for(|| fixture.log.replays() > replays).await;
    fixture.wait_until_loaded().await;
    assert_eq!(fixture.committed("g").await, Ok(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_groups_at_once() {
    let fixture = Arc::new(Fixture::loaded(&Arc::default()).await);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..30 {
        let fixture = fixture.clone();
        tasks.spawn(async move {
            let group = format!("group-{n}");
            let joined = fixture.lone_member(&group, 60_000).await;
            assert_eq!(fixture.sync(&group, &joined).await.assignment, "all");
            for offset in 0..50 {
                let request = CommitRequest {
                    generation_id: joined.generation_id,
                    member_id: joined.member_id.clone(),
                    ..commit(&group, offset)
                };
                fixture.groups.commit(request).await.unwrap();
                assert_eq!(fixture.committed(&group).await, Ok(offset));
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}
