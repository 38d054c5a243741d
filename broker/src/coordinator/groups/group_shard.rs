//! The groups of one partition of `__consumer_offsets`, as the runtime hosts them.
//!
//! This file finds the group that a request is about, calls the file that knows the request's
//! rules, and makes the outcome a [`Step`]. It also takes back offsets that could not be written,
//! so that a full disk does not cost the groups their members.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tracing::{debug, info, warn};

use super::super::shard::{AfterAppend, AppendId, Now, ReplayError, Shard, Step, Token};
use super::config::{GroupConfig, MAX_EXPIRED_PER_PASS};
use super::context::{Context, OffsetChange};
use super::group::Group;
use super::records::{self, Entry};
use super::reply::{Reply, Request};
use super::timers::Timer;
use super::types::{
    CommitRequest, HeartbeatRequest, JoinRequest, LeaveReply, LeaveRequest, OffsetDeleteRequest,
    SyncRequest, TopicOutcomes,
};
use super::{commit, delete, describe, expire, fetch, heartbeat, join, leave, rebalance, sync};
use fjord_wire::ErrorCode;

/// An append whose outcome is not known yet.
#[derive(Debug)]
struct InFlight {
    id: AppendId,
    /// How to take the offsets in it back.
    changes: Vec<OffsetChange>,
    /// There is more than offsets in it, so that a failure means to replay everything.
    membership_changed: bool,
}

/// The groups of one partition.
#[derive(Debug)]
pub struct GroupShard {
    groups: BTreeMap<Arc<str>, Group>,
    cx: Context,
    next_append: u64,
    in_flight: VecDeque<InFlight>,
    /// Records of unknown kinds that the replay skipped.
    skipped: u64,
}

impl GroupShard {
    /// A shard without groups.
    pub fn new(config: GroupConfig) -> Self {
        Self {
            groups: BTreeMap::new(),
            cx: Context::new(config),
            next_append: 0,
            in_flight: VecDeque::new(),
            skipped: 0,
        }
    }

    /// The groups, in the order of their ids.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    fn dispatch(&mut self, token: Token, request: Request) {
        match request {
            Request::Join(request) => self.join(token, request),
            Request::Sync(request) => self.sync(token, request),
            Request::Heartbeat(request) => {
                let error = self.heartbeat(&request);
                self.cx.reply(token, Reply::Heartbeat(error));
            }
            Request::Leave(request) => self.leave(token, request),
            Request::Commit(request) => {
                let outcome = self.commit(request);
                self.cx.reply_durably(token, Reply::Commit(outcome));
            }
            Request::Fetch(request) => {
                let reply = fetch::fetch(self.groups.get(&*request.group_id), request);
                self.cx.reply_durably(token, Reply::Fetch(reply));
            }
            Request::OffsetDelete(request) => {
                let outcome = self.delete_offsets(request);
                self.cx.reply_durably(token, Reply::OffsetDelete(outcome));
            }
            Request::DeleteGroup(id) => {
                let error = self.delete_group(&id);
                self.cx.reply_durably(token, Reply::DeleteGroup(error));
            }
            Request::Describe(id) => {
                let described = match self.groups.get(&*id) {
                    Some(group) => describe::describe(group),
                    None => describe::unknown_group(id),
                };
                self.cx.reply(token, Reply::Describe(described));
            }
            Request::List(request) => {
                let listed = describe::list(self.groups.values(), &request);
                self.cx.reply(token, Reply::List(listed));
            }
            Request::TopicsDeleted(topics) => {
                for group in self.groups.values_mut() {
                    for (name, id) in &topics {
                        delete::forget_topic(group, &mut self.cx, name, *id);
                    }
                }
                self.cx.reply_durably(token, Reply::TopicsDeleted);
            }
        }
    }

    fn join(&mut self, token: Token, mut request: JoinRequest) {
        if let Err(error) = join::validate(&self.cx.config, &mut request) {
            self.cx.refuse_join(token, error, &request.member_id);
            return;
        }
        if !self.groups.contains_key(&*request.group_id) {
            if !request.member_id.is_empty() {
                self.cx
                    .refuse_join(token, ErrorCode::UnknownMemberId, &request.member_id);
                return;
            }
            if let Err(error) = self.create(&request.group_id) {
                self.cx.refuse_join(token, error, "");
                return;
            }
        }
        let id: Arc<str> = request.group_id.as_str().into();
        if let Some(group) = self.groups.get_mut(&id) {
            join::join(group, &mut self.cx, token, request);
        }
        self.forget_if_idle(&id);
    }

    fn sync(&mut self, token: Token, request: SyncRequest) {
        if request.group_id.is_empty() {
            self.cx.refuse_sync(token, ErrorCode::InvalidGroupId);
            return;
        }
        match self.groups.get_mut(&*request.group_id) {
            Some(group) => sync::sync(group, &mut self.cx, token, request),
            None => self.cx.refuse_sync(token, ErrorCode::UnknownMemberId),
        }
    }

    fn heartbeat(&mut self, request: &HeartbeatRequest) -> ErrorCode {
        if request.group_id.is_empty() {
            return ErrorCode::InvalidGroupId;
        }
        match self.groups.get(&*request.group_id) {
            Some(group) => heartbeat::heartbeat(group, &mut self.cx, request),
            None => ErrorCode::UnknownMemberId,
        }
    }

    fn leave(&mut self, token: Token, request: LeaveRequest) {
        let id = request.group_id.clone();
        let reply = if id.is_empty() {
            LeaveReply {
                error: ErrorCode::InvalidGroupId,
                members: Vec::new(),
            }
        } else {
            match self.groups.get_mut(&*request.group_id) {
                Some(group) => leave::leave(group, &mut self.cx, request),
                None => leave::unknown_group(request),
            }
        };
        self.forget_if_idle(&id);
        if self.cx.records.is_empty() {
            self.cx.reply(token, Reply::Leave(reply));
        } else {
            self.cx.reply_durably(token, Reply::Leave(reply));
        }
    }

    fn commit(&mut self, request: CommitRequest) -> TopicOutcomes {
        commit::validate_form(&request)?;
        if !self.groups.contains_key(&*request.group_id) {
            if request.generation_id >= 0 {
                return Err(commit::unknown_group(&request));
            }
            self.create(&request.group_id)?;
        }
        let id: Arc<str> = request.group_id.as_str().into();
        let Some(group) = self.groups.get_mut(&id) else {
            return Err(ErrorCode::GroupIdNotFound);
        };
        let outcome = commit::commit(group, &mut self.cx, request);
        self.forget_if_idle(&id);
        outcome
    }

    fn delete_offsets(&mut self, request: OffsetDeleteRequest) -> TopicOutcomes {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        match self.groups.get_mut(&*request.group_id) {
            Some(group) => delete::delete_offsets(group, &mut self.cx, request),
            None => Err(ErrorCode::GroupIdNotFound),
        }
    }

    fn delete_group(&mut self, id: &str) -> ErrorCode {
        let outcome = match self.groups.get_mut(id) {
            Some(group) => delete::delete_group(group, &mut self.cx),
            None => Err(ErrorCode::GroupIdNotFound),
        };
        if outcome.is_ok() {
            info!(group = id, "the group is deleted");
            self.groups.remove(id);
        }
        outcome.err().unwrap_or(ErrorCode::None)
    }

    fn create(&mut self, id: &str) -> Result<(), ErrorCode> {
        if self.groups.len() >= self.cx.config.max_groups_per_shard {
            warn!(group = id, "refusing a new group: there are too many");
            return Err(ErrorCode::PolicyViolation);
        }
        let id: Arc<str> = id.into();
        self.groups
            .insert(id.clone(), Group::new(id, self.cx.now.wall_ms));
        Ok(())
    }

    /// Drops a group that holds nothing, such as one whose only join was refused.
    fn forget_if_idle(&mut self, id: &str) {
        if self.groups.get(id).is_some_and(Group::is_forgettable) {
            self.groups.remove(id);
        }
    }

    fn timer_fired(&mut self, timer: &Timer) {
        let (Timer::Session(id, _) | Timer::Join(id) | Timer::Sync(id)) = timer else {
            self.expire();
            return;
        };
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        match timer {
            Timer::Session(_, member) => rebalance::session_ended(group, &mut self.cx, member),
            Timer::Join(_) => rebalance::join_time_is_up(group, &mut self.cx),
            Timer::Sync(_) => rebalance::sync_time_is_up(group, &mut self.cx),
            Timer::Expiry => {}
        }
        self.forget_if_idle(id);
    }

    /// One pass over the groups for expired offsets and groups without any, until it has removed
    /// as much as one pass may.
    fn expire(&mut self) {
        let mut left = MAX_EXPIRED_PER_PASS;
        let mut over = Vec::new();
        for group in self.groups.values_mut() {
            if left == 0 {
                break;
            }
            left -= expire::expire_offsets(group, &mut self.cx, left);
            if left > 0 && expire::is_over(group) {
                left -= 1;
                debug!(group = %group.id, "the group has neither members nor offsets any more");
                self.cx.store_group_removal(group);
                over.push(group.id.clone());
            }
        }
        for id in over {
            self.groups.remove(&id);
        }
        let interval_ms = self.cx.config.offsets_retention_check_interval_ms.max(1);
        self.cx
            .schedule(Timer::Expiry, if left == 0 { 1 } else { interval_ms });
    }

    fn finish(&mut self) -> Step<Reply> {
        let records = std::mem::take(&mut self.cx.records);
        let changes = std::mem::take(&mut self.cx.changes);
        let membership_changed = std::mem::take(&mut self.cx.membership_changed);
        let append = (!records.is_empty()).then(|| {
            let id = AppendId(self.next_append);
            self.next_append += 1;
            self.in_flight.push_back(InFlight {
                id,
                changes,
                membership_changed,
            });
            (id, records)
        });
        Step {
            append,
            replies: std::mem::take(&mut self.cx.replies),
            held: std::mem::take(&mut self.cx.held),
        }
    }

    /// Takes one offset back. If it was overwritten since, the later append is told what was there
    /// before this one; else memory is.
    fn take_back(&mut self, change: OffsetChange) {
        let same = |later: &&mut OffsetChange| {
            later.partition == change.partition
                && later.group == change.group
                && later.topic == change.topic
        };
        let mut later = self
            .in_flight
            .iter_mut()
            .flat_map(|append| append.changes.iter_mut());
        if let Some(later) = later.find(same) {
            later.previous = change.previous;
            return;
        }
        if let Some(group) = self.groups.get_mut(&change.group) {
            group
                .offsets
                .replace(&change.topic, change.partition, change.previous);
        }
        self.forget_if_idle(&change.group);
    }

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Offset(key, value) => {
                let id: Arc<str> = key.group.as_str().into();
                if value.is_some() && !self.groups.contains_key(&id) {
                    self.groups
                        .insert(id.clone(), Group::new(id.clone(), self.cx.now.wall_ms));
                }
                if let Some(group) = self.groups.get_mut(&id) {
                    group.offsets.replace(&key.topic, key.partition, value);
                }
                self.forget_if_idle(&id);
            }
            Entry::Group(key, value) => {
                let id: Arc<str> = key.group.as_str().into();
                let offsets = self.groups.remove(&id).map(|group| group.offsets);
                let mut group = match value {
                    Some(value) => Group::from_record(id.clone(), value),
                    None => Group::new(id.clone(), self.cx.now.wall_ms),
                };
                group.offsets = offsets.unwrap_or_default();
                self.groups.insert(id.clone(), group);
                self.forget_if_idle(&id);
            }
            Entry::Unknown(number) => {
                debug!(number, "skipping a coordinator record of an unknown kind");
                self.skipped += 1;
            }
        }
    }
}

impl Shard for GroupShard {
    type Request = Request;
    type Reply = Reply;

    fn replay(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), ReplayError> {
        let entry = records::decode(key, value).map_err(|error| ReplayError {
            reason: error.to_string(),
        })?;
        self.apply(entry);
        Ok(())
    }

    fn loaded(&mut self, now: Now) -> Step<Reply> {
        self.cx.now = now;
        if self.skipped > 0 {
            warn!(
                records = self.skipped,
                "skipped coordinator records of unknown kinds"
            );
        }
        for group in self.groups.values_mut() {
            for id in group.member_ids() {
                self.cx.restart_session(group, &id);
            }
            if group.size() > self.cx.config.max_group_size {
                rebalance::prepare_rebalance(group, &mut self.cx, "the group is over capacity");
            }
        }
        let interval_ms = self.cx.config.offsets_retention_check_interval_ms.max(1);
        self.cx.schedule(Timer::Expiry, interval_ms);
        self.finish()
    }

    fn handle(&mut self, token: Token, request: Request, now: Now) -> Step<Reply> {
        self.cx.now = now;
        self.dispatch(token, request);
        self.finish()
    }

    fn tick(&mut self, now: Now) -> Step<Reply> {
        self.cx.now = now;
        while let Some(timer) = self.cx.timers.pop_due(now.monotonic_ms) {
            self.timer_fired(&timer);
        }
        self.finish()
    }

    fn next_deadline_ms(&self) -> Option<u64> {
        self.cx.timers.next_deadline_ms()
    }

    fn appended(&mut self, append: AppendId, written: bool) -> AfterAppend {
        let Some(outcome) = self.in_flight.pop_front() else {
            return AfterAppend::Reload;
        };
        if outcome.id != append || (outcome.membership_changed && !written) {
            return AfterAppend::Reload;
        }
        if !written {
            for change in outcome.changes.into_iter().rev() {
                self.take_back(change);
            }
        }
        AfterAppend::Consistent
    }
}
