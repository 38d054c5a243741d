//! What a leader hears of its followers, and what it asks for because of them.

use std::{sync::Arc, time::Duration};

use fjord_log::WrittenHook;

use super::{Replica, Role};
use crate::partition::{
    in_sync::{Proposal, Refusal},
    links::Link,
};

/// Where a follower is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerAt {
    /// The epoch of its broker's registration.
    pub broker_epoch: i64,
    /// Everything before this offset is on its disk.
    pub end: u64,
}

impl Replica {
    /// A follower begins to follow, with a log that agrees with this one and is on disk before `end`.
    /// Returns whether this broker leads in that epoch, and knows the follower as a replica.
    pub fn follower_begins(
        self: &Arc<Self>,
        link: &Arc<Link>,
        follower: FollowerAt,
        leader_epoch: i32,
        now_ms: u64,
    ) -> bool {
        let begun = self.as_leader(|leadership| {
            let FollowerAt {
                broker_epoch, end, ..
            } = follower;
            let partition = leadership.in_sync.partition();
            // A new replica may know of it before the leader does. It has to ask again: where nothing is written, the
            // leader would not hear of it otherwise.
            let is_replica = partition.replicas.contains(&link.follower);
            if partition.leader_epoch != leader_epoch || !is_replica {
                return false;
            }
            link.set_in_sync(partition.in_sync_replicas.contains(&link.follower));
            if leadership.links.is_empty() {
                self.log.on_written(Some(self.mark_links()));
            }
            leadership
                .in_sync
                .follower_begins(link.follower, broker_epoch, end, now_ms);
            leadership
                .links
                .retain(|other| other.follower != link.follower);
            leadership.links.push(Arc::clone(link));
            true
        });
        begun.unwrap_or(false)
    }

    /// What the log calls when it has more for followers.
    fn mark_links(self: &Arc<Self>) -> WrittenHook {
        let this = Arc::downgrade(self);
        Arc::new(move || {
            if let Some(this) = this.upgrade()
                && let Role::Leader(leadership) = &*this.role()
            {
                leadership.links.iter().for_each(Link::mark);
            }
        })
    }

    /// A follower has more on disk.
    pub fn follower_at(&self, link: &Arc<Link>, follower: FollowerAt, now_ms: u64) {
        self.as_leader(|leadership| {
            // A link of an earlier connection, or of an earlier epoch, says nothing any more.
            if leadership
                .links
                .iter()
                .any(|known| Arc::ptr_eq(known, link))
            {
                let FollowerAt {
                    broker_epoch, end, ..
                } = follower;
                leadership
                    .in_sync
                    .follower_at(link.follower, broker_epoch, end, now_ms);
            }
        });
    }

    /// A follower's stream is over.
    pub fn follower_ends(&self, link: &Arc<Link>) {
        self.as_leader(|leadership| {
            leadership.links.retain(|known| !Arc::ptr_eq(known, link));
            if leadership.links.is_empty() {
                self.log.on_written(None);
            }
        });
    }

    /// The change of in-sync replicas that this leader should ask for now: those who have caught up join, those who lag leave.
    pub fn propose(
        &self,
        now_ms: u64,
        max_lag: Duration,
        active: impl Fn(i32) -> Option<i64>,
    ) -> Option<Proposal> {
        let mut role = self.role();
        let Role::Leader(leadership) = &mut *role else {
            return None;
        };
        let in_sync = &mut leadership.in_sync;
        in_sync
            .unsettled(now_ms, &active)
            .or_else(|| in_sync.propose(now_ms, max_lag, &active))
    }

    /// A proposal was not carried out.
    pub fn refused(&self, proposal: &Proposal, refusal: Refusal, now_ms: u64) {
        self.as_leader(|leadership| leadership.in_sync.refused(proposal, refusal, now_ms));
    }
}
