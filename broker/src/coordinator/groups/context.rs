//! What a step of the group coordinator works with besides the group itself: the time, the timers,
//! and the step's outcome as it grows.

use std::sync::Arc;

use super::super::shard::{Now, Record, Token};
use super::config::GroupConfig;
use super::group::Group;
use super::records::group_metadata::{GroupMetadataKey, GroupMetadataValue};
use super::records::offset_commit::{OffsetCommitKey, OffsetCommitValue};
use super::records::{group_metadata, offset_commit};
use super::reply::Reply;
use super::timers::{Timer, Timers};
use super::types::{JoinReply, SyncReply};
use fjord_wire::ErrorCode;

/// How to take back a change of one committed offset that could not be written.
#[derive(Debug)]
pub struct OffsetChange {
    /// The group.
    pub group: Arc<str>,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// What was committed before.
    pub previous: Option<OffsetCommitValue>,
}

/// The step's surroundings and its outcome so far.
#[derive(Debug)]
pub struct Context {
    /// The coordinator's settings.
    pub config: GroupConfig,
    /// All deadlines of the shard.
    pub timers: Timers,
    /// The time of this step.
    pub now: Now,
    /// Records to append.
    pub records: Vec<Record>,
    /// How to take back the offsets among them.
    pub changes: Vec<OffsetChange>,
    /// Some record is about more than offsets, which cannot be taken back singly.
    pub membership_changed: bool,
    /// Replies to send now.
    pub replies: Vec<(Token, Reply)>,
    /// Replies to send when everything is durable.
    pub held: Vec<(Token, Reply)>,
}

impl Context {
    /// A context before its first step.
    pub fn new(config: GroupConfig) -> Self {
        Self {
            config,
            timers: Timers::default(),
            now: Now {
                wall_ms: 0,
                monotonic_ms: 0,
            },
            records: Vec::new(),
            changes: Vec::new(),
            membership_changed: false,
            replies: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Sends a reply now.
    pub fn reply(&mut self, token: Token, reply: Reply) {
        self.replies.push((token, reply));
    }

    /// Sends a reply once everything is durable that it may tell of.
    pub fn reply_durably(&mut self, token: Token, reply: Reply) {
        self.held.push((token, reply));
    }

    /// Refuses a join.
    pub fn refuse_join(&mut self, token: Token, error: ErrorCode, member_id: &str) {
        self.reply(token, Reply::Join(JoinReply::refuse(error, member_id)));
    }

    /// Refuses a sync.
    pub fn refuse_sync(&mut self, token: Token, error: ErrorCode) {
        self.reply(token, Reply::Sync(SyncReply::refuse(error)));
    }

    /// Answers a join that may have been waiting.
    pub fn refuse_parked_join(&mut self, token: Option<Token>, error: ErrorCode, member_id: &str) {
        if let Some(token) = token {
            self.refuse_join(token, error, member_id);
        }
    }

    /// Answers a sync that may have been waiting.
    pub fn refuse_parked_sync(&mut self, token: Option<Token>, error: ErrorCode) {
        if let Some(token) = token {
            self.refuse_sync(token, error);
        }
    }

    /// Stores a group's membership as it is now.
    pub fn store_group(&mut self, group: &mut Group) {
        let value = group.to_record();
        self.store_group_record(group, &value);
    }

    /// Stores a group's membership that was encoded before.
    pub fn store_group_record(&mut self, group: &mut Group, value: &GroupMetadataValue) {
        group.stored = true;
        self.membership_changed = true;
        let key = GroupMetadataKey::encode(&group.id);
        self.records.push(Record {
            key,
            value: Some(value.encode()),
        });
    }

    /// Stores that a group is gone, if the log knows of it.
    pub fn store_group_removal(&mut self, group: &mut Group) {
        if std::mem::take(&mut group.stored) {
            self.membership_changed = true;
            self.records.push(group_metadata::tombstone(&group.id));
        }
    }

    /// Sets or, with none, removes a committed offset in memory and in the log.
    pub fn store_offset(
        &mut self,
        group: &mut Group,
        topic: &str,
        partition: i32,
        value: Option<OffsetCommitValue>,
    ) {
        self.records.push(match &value {
            Some(value) => Record {
                key: OffsetCommitKey::encode(&group.id, topic, partition),
                value: Some(value.encode()),
            },
            None => offset_commit::tombstone(&group.id, topic, partition),
        });
        let previous = group.offsets.replace(topic, partition, value);
        let (group, topic) = (group.id.clone(), topic.to_owned());
        self.changes.push(OffsetChange {
            group,
            topic,
            partition,
            previous,
        });
    }

    /// Starts a member's session anew.
    pub fn restart_session(&mut self, group: &Group, member_id: &Arc<str>) {
        let timeout_ms = group
            .member(member_id)
            .map_or(0, |member| member.session_timeout_ms);
        self.expect_within(group, member_id, u64::try_from(timeout_ms).unwrap_or(0));
    }

    /// Expects a sign of life of a member within a time.
    pub fn expect_within(&mut self, group: &Group, member_id: &Arc<str>, timeout_ms: u64) {
        self.schedule(
            Timer::Session(group.id.clone(), member_id.clone()),
            timeout_ms,
        );
    }

    /// No longer expects anything of a member.
    pub fn end_session(&mut self, group: &Group, member_id: &Arc<str>) {
        self.timers
            .cancel(&Timer::Session(group.id.clone(), member_id.clone()));
    }

    /// Sets a timer that is due after a time.
    pub fn schedule(&mut self, timer: Timer, after_ms: u64) {
        self.timers
            .schedule(timer, self.now.monotonic_ms.saturating_add(after_ms));
    }
}
