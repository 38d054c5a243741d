//! What request handlers talk to: one method for each request, on a cheap handle.
//!
//! Every method handles its request before it returns and gives back a future of the reply, which
//! borrows nothing. That is the two-stage form that handlers need: the requests of a connection
//! take effect in their order and wait for the disk and for each other's rebalance side by side.
//!
//! While a shard is being replayed, requests get COORDINATOR_LOAD_IN_PROGRESS; where it is not
//! hosted, or cannot write, NOT_COORDINATOR, upon which clients look for the coordinator again.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use fjord_wire::ErrorCode;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::runtime::{Runtime, ShardLog, Unavailable};
use super::types::{
    CommitRequest, DescribedGroup, FetchReply, FetchRequest, HeartbeatRequest, JoinReply,
    JoinRequest, LeaveReply, LeaveRequest, ListRequest, ListedGroup, OffsetDeleteRequest,
    SyncReply, SyncRequest, TopicOutcomes,
};
use super::{GroupConfig, GroupShard, Reply, Request, describe};

/// The group coordinator of this broker. Clones share it.
#[derive(Clone)]
pub struct Groups {
    runtime: Runtime<GroupShard>,
    /// How many partitions `__consumer_offsets` has; 0 while that is not known.
    partition_count: Arc<AtomicI32>,
    commit_timeout: Duration,
}

impl Groups {
    /// A coordinator that hosts nothing yet.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(config: GroupConfig, log: Arc<dyn ShardLog>) -> Self {
        Self {
            commit_timeout: config.commit_timeout,
            runtime: Runtime::new(log, move || GroupShard::new(config.clone())),
            partition_count: Arc::default(),
        }
    }

    /// Tells the coordinator how many partitions `__consumer_offsets` has, once the topic exists. The number
    /// never changes: groups would move.
    pub fn set_partition_count(&self, partition_count: i32) {
        self.partition_count
            .store(partition_count, Ordering::Release);
    }

    /// Hosts the groups of one partition, which this broker leads from now on, in the given epoch. They are replayed.
    /// If it leads it in that epoch already, nothing happens.
    pub fn host(&self, partition: i32, leader_epoch: i32) {
        self.runtime.load(partition, leader_epoch);
    }

    /// Does not host the groups of one partition any more: another broker leads it.
    pub fn give_up(&self, partition: i32) {
        self.runtime.unload(partition);
    }

    /// Stops hosting everything. Whatever waits gets NOT_COORDINATOR.
    pub fn close(&self) {
        for partition in self.runtime.partitions() {
            self.runtime.unload(partition);
        }
    }

    /// Whether everything that is hosted has been replayed.
    pub fn is_loaded(&self) -> bool {
        self.runtime.is_loaded()
    }

    /// Serves sessions, rebalance timeouts and the expiry of offsets, until cancelled.
    pub async fn run(&self, cancel: CancellationToken) {
        self.runtime.run(cancel).await;
    }

    /// The partition of `__consumer_offsets` that a group belongs to; none while the topic's
    /// number of partitions is not known.
    pub fn partition_for(&self, group_id: &str) -> Option<i32> {
        partition_of(group_id, self.partition_count.load(Ordering::Acquire))
    }

    /// JoinGroup. The reply comes when the rebalance's join phase completes.
    pub fn join(
        &self,
        request: JoinRequest,
    ) -> impl Future<Output = JoinReply> + Send + 'static + use<> {
        let partition = self.partition_for(&request.group_id);
        let member_id = request.member_id.clone();
        self.ask(
            partition,
            Request::Join(request),
            |reply| {
                if let Reply::Join(reply) = reply {
                    Some(reply)
                } else {
                    None
                }
            },
            move |error| JoinReply::refuse(error, member_id),
        )
    }

    /// SyncGroup. The reply comes when the leader has handed in the assignment and it is durable.
    pub fn sync(
        &self,
        request: SyncRequest,
    ) -> impl Future<Output = SyncReply> + Send + 'static + use<> {
        let partition = self.partition_for(&request.group_id);
        self.ask(
            partition,
            Request::Sync(request),
            |reply| {
                if let Reply::Sync(reply) = reply {
                    Some(reply)
                } else {
                    None
                }
            },
            SyncReply::refuse,
        )
    }

    /// Heartbeat. While the shard loads, nobody can know better than that the member is fine.
    pub fn heartbeat(
        &self,
        request: HeartbeatRequest,
    ) -> impl Future<Output = ErrorCode> + Send + 'static + use<> {
        let partition = self.partition_for(&request.group_id);
        self.ask(
            partition,
            Request::Heartbeat(request),
            |reply| {
                if let Reply::Heartbeat(error) = reply {
                    Some(error)
                } else {
                    None
                }
            },
            |error| match error {
                ErrorCode::CoordinatorLoadInProgress => ErrorCode::None,
                error => error,
            },
        )
    }

    /// LeaveGroup.
    pub fn leave(
        &self,
        request: LeaveRequest,
    ) -> impl Future<Output = LeaveReply> + Send + 'static + use<> {
        let partition = self.partition_for(&request.group_id);
        self.ask(
            partition,
            Request::Leave(request),
            |reply| {
                if let Reply::Leave(reply) = reply {
                    Some(reply)
                } else {
                    None
                }
            },
            |error| LeaveReply {
                error,
                members: Vec::new(),
            },
        )
    }

    /// OffsetCommit. The reply comes when the offsets are durable. If that takes longer than
    /// `offsets.commit.timeout.ms`, it is COORDINATOR_NOT_AVAILABLE, upon which clients commit again, as
    /// with Kafka; the offsets may be committed all the same.
    pub fn commit(
        &self,
        request: CommitRequest,
    ) -> impl Future<Output = TopicOutcomes> + Send + 'static + use<> {
        let partition = self.partition_for(&request.group_id);
        let committed = self.ask(
            partition,
            Request::Commit(request),
            |reply| {
                if let Reply::Commit(outcome) = reply {
                    Some(outcome)
                } else {
                    None
                }
            },
            Err,
        );
        let limit = self.commit_timeout;
        async move {
            let outcome = tokio::time::timeout(limit, committed).await;
            outcome.unwrap_or(Err(ErrorCode::CoordinatorNotAvailable))
        }
    }

    /// OffsetFetch for one group. Every offset in the reply is durable.
    pub fn fetch(
        &self,
        request: FetchRequest,
    ) -> impl Future<Output = FetchReply> + Send + 'static + use<> {
        let partition = self.partition_for(&request.group_id);
        let group_id = request.group_id.clone();
        self.ask(
            partition,
            Request::Fetch(request),
            |reply| {
                if let Reply::Fetch(reply) = reply {
                    Some(reply)
                } else {
                    None
                }
            },
            move |error| FetchReply {
                group_id,
                error,
                topics: Vec::new(),
            },
        )
    }

    /// OffsetDelete. The reply comes when the offsets are durably gone.
    pub fn delete_offsets(
        &self,
        request: OffsetDeleteRequest,
    ) -> impl Future<Output = TopicOutcomes> + Send + 'static + use<> {
        let partition = self.partition_for(&request.group_id);
        self.ask(
            partition,
            Request::OffsetDelete(request),
            |reply| {
                if let Reply::OffsetDelete(outcome) = reply {
                    Some(outcome)
                } else {
                    None
                }
            },
            Err,
        )
    }

    /// DeleteGroups for one group. The reply comes when the group is durably gone.
    pub fn delete_group(
        &self,
        id: &str,
    ) -> impl Future<Output = ErrorCode> + Send + 'static + use<> {
        self.ask(
            self.partition_for(id),
            Request::DeleteGroup(id.to_owned()),
            |reply| {
                if let Reply::DeleteGroup(error) = reply {
                    Some(error)
                } else {
                    None
                }
            },
            |error| error,
        )
    }

    /// DescribeGroups for one group.
    pub fn describe(
        &self,
        id: &str,
    ) -> impl Future<Output = DescribedGroup> + Send + 'static + use<> {
        let group_id = id.to_owned();
        self.ask(
            self.partition_for(id),
            Request::Describe(id.to_owned()),
            |reply| {
                if let Reply::Describe(described) = reply {
                    Some(described)
                } else {
                    None
                }
            },
            |error| describe::undescribed(group_id, error, None),
        )
    }

    /// ListGroups over all that is hosted here; an error if a part of it is being replayed.
    pub fn list(
        &self,
        request: &ListRequest,
    ) -> impl Future<Output = Result<Vec<ListedGroup>, ErrorCode>> + Send + 'static + use<> {
        let replies = self.ask_all(&Request::List(request.clone()));
        async move {
            let mut groups = Vec::new();
            for reply in replies {
                match reply.await {
                    Ok(Reply::List(listed)) => groups.extend(listed),
                    Ok(_) | Err(Unavailable::NotHere) => {}
                    Err(error) => return Err(code(error)),
                }
            }
            Ok(groups)
        }
    }

    /// Removes what groups committed for topics (names and ids) that were deleted. A shard that is
    /// being replayed keeps it until it expires; its id keeps it from being given out meanwhile.
    pub fn topics_deleted(
        &self,
        topics: Vec<(String, Uuid)>,
    ) -> impl Future<Output = ()> + Send + 'static + use<> {
        let replies = self.ask_all(&Request::TopicsDeleted(topics));
        async move {
            for reply in replies {
                if let Err(error) = reply.await {
                    tracing::warn!(%error, "offsets of deleted topics are left to expire");
                }
            }
        }
    }

    fn ask<R, E, F>(
        &self,
        partition: Option<i32>,
        request: Request,
        expected: E,
        refuse: F,
    ) -> impl Future<Output = R> + Send + 'static + use<R, E, F>
    where
        R: Send + 'static,
        E: FnOnce(Reply) -> Option<R> + Send + 'static,
        F: FnOnce(ErrorCode) -> R + Send + 'static,
    {
        let reply = partition.map(|partition| self.runtime.submit(partition, request));
        async move {
            let Some(reply) = reply else {
                return refuse(ErrorCode::CoordinatorNotAvailable);
            };
            match reply.await.map(expected) {
                Ok(Some(reply)) => reply,
                Ok(None) => refuse(ErrorCode::UnknownServerError),
                Err(error) => refuse(code(error)),
            }
        }
    }

    fn ask_all(
        &self,
        request: &Request,
    ) -> Vec<impl Future<Output = Result<Reply, Unavailable>> + Send + 'static + use<>> {
        let partitions = self.runtime.partitions().into_iter();
        partitions
            .map(|partition| self.runtime.submit(partition, request.clone()))
            .collect()
    }
}

fn code(error: Unavailable) -> ErrorCode {
    match error {
        Unavailable::Loading => ErrorCode::CoordinatorLoadInProgress,
        Unavailable::NotHere | Unavailable::WriteFailed => ErrorCode::NotCoordinator,
    }
}

/// The partition of `__consumer_offsets`, which has so many, that a group belongs to; none, if it has none.
pub fn partition_of(group_id: &str, partition_count: i32) -> Option<i32> {
    let hash = || java_hash(group_id).checked_abs().unwrap_or(0);
    (partition_count > 0).then(|| hash() % partition_count)
}

/// The hash of a string in Java, by which Kafka spreads groups over partitions.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_spread_as_kafka_spreads_them() {
        // Computed by Kafka 4.3.1 for 50 partitions; the last one's hash has no absolute value.
        let expected = [
            ("my-group", 12),
            ("", 0),
            ("connect-cluster", 13),
            ("a", 47),
            ("gr\u{fc}\u{df}e", 23),
            ("console-consumer-12345", 6),
            ("polygenelubricants", 0),
        ];
        for (group, partition) in expected {
            assert_eq!(partition_of(group, 50), Some(partition), "{group}");
        }
        assert_eq!(partition_of("a", 0), None);
    }
}
