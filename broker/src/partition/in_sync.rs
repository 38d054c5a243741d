//! What a leader knows of its followers, and what follows from that: the high watermark, and when the in-sync
//! replicas should change. Pure: times are handed in, proposals go out as values.
//!
//! ```text
//!   own disk ─► own_end ─┐
//!   followers ─► ends ───┼─► high watermark = least end over the maximal in-sync replicas
//!   metadata ─► ISR ─────┘       (committed ISR and additions under way; a shrink counts once it is committed)
//! ```
//!
//! The rules are those of Kafka's replication as KIP-497, KIP-841, KIP-903 and KIP-966 have left it.

use std::{collections::BTreeMap, time::Duration};

use crate::metadata::Partition;

/// A follower as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Follower {
    /// Of the broker's registration, as the broker says (KIP-903).
    broker_epoch: i64,
    /// Everything before this offset is on its disk.
    end: u64,
    /// When it last had all that the leader had had at some time: that time.
    caught_up_ms: u64,
    /// The leader's end at [`Self::probe_ms`]: when the follower gets there, it had caught up by then.
    probe_end: u64,
    probe_ms: u64,
}

/// A change of the in-sync replicas that the leader asks the controller for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// The partition's epoch that the change is based on.
    pub partition_epoch: i32,
    /// The replicas that should be in sync, with the epochs of their brokers.
    pub in_sync: Vec<(i32, i64)>,
}

/// What became of a proposal, other than being carried out, which the metadata tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The controller has refused it: a new one may be made from newer metadata.
    Refused,
    /// It may yet be carried out.
    Unknown,
}

/// The followers of one partition, during one leadership.
#[derive(Debug)]
pub struct InSync {
    me: i32,
    partition: Partition,
    min_in_sync: usize,
    /// The replicas that a proposal under way would have in sync.
    proposed: Option<Vec<i32>>,
    /// No proposal before this time.
    quiet_until_ms: u64,
    followers: BTreeMap<i32, Follower>,
    own_end: u64,
    /// Where this leadership began, in the log and in time.
    epoch_start: u64,
    began_ms: u64,
    high_watermark: u64,
}

/// How long a leader waits after a proposal was refused.
const QUIET: Duration = Duration::from_millis(100);

impl InSync {
    /// The leader `me` of `partition` begins.
    pub fn new(me: i32, partition: Partition, min_in_sync: usize, start: Start) -> Self {
        let mut begun = Self {
            me,
            partition,
            min_in_sync,
            proposed: None,
            quiet_until_ms: 0,
            followers: BTreeMap::new(),
            own_end: start.own_end,
            epoch_start: start.epoch_start,
            began_ms: start.now_ms,
            high_watermark: start.high_watermark,
        };
        begun.advance();
        begun
    }

    /// The partition as this leadership last saw it.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Everything before this offset is on the disks of all in-sync replicas. Never goes back.
    pub fn high_watermark(&self) -> u64 {
        self.high_watermark
    }

    /// Whether the high watermark is known to be at least what the last leader has shown (KIP-207): before that,
    /// offsets would seem to go back.
    pub fn is_settled(&self) -> bool {
        self.high_watermark >= self.epoch_start
    }

    /// Whether there are enough in-sync replicas for acks=all.
    pub fn has_enough(&self) -> bool {
        self.partition.in_sync_replicas.len() >= self.min_in_sync
    }

    /// How many in-sync replicas acks=all needs.
    pub fn min_in_sync(&self) -> usize {
        self.min_in_sync
    }

    /// `min.insync.replicas` has another value now.
    pub fn set_min_in_sync(&mut self, min_in_sync: usize) -> bool {
        self.min_in_sync = min_in_sync;
        self.advance()
    }

    /// The leader has everything before `end` on its disk. Returns whether the high watermark has grown.
    pub fn own(&mut self, end: u64) -> bool {
        self.own_end = self.own_end.max(end);
        self.advance()
    }

    /// What was under way when the leadership began has ended: everything before `end` is on the leader's disk, and
    /// what it had beyond was refused. Returns whether the high watermark has grown.
    pub fn begun(&mut self, end: u64) -> bool {
        self.epoch_start = self.epoch_start.min(end);
        self.own(end)
    }

    /// A follower that agrees with this leader has everything before `end` on disk. Returns whether the high
    /// watermark has grown.
    pub fn follower_at(&mut self, id: i32, broker_epoch: i64, end: u64, now_ms: u64) -> bool {
        if id == self.me || !self.partition.replicas.contains(&id) {
            return false;
        }
        let own_end = self.own_end;
        let follower = self.followers.entry(id).or_insert(Follower {
            broker_epoch,
            end,
            caught_up_ms: 0,
            probe_end: own_end,
            probe_ms: now_ms,
        });
        if broker_epoch < follower.broker_epoch {
            return false;
        }
        if broker_epoch > follower.broker_epoch {
            // The broker has started again: what its former self had may be gone.
            follower.broker_epoch = broker_epoch;
            follower.end = end;
        }
        follower.end = follower.end.max(end);
        if follower.end >= follower.probe_end {
            follower.caught_up_ms = follower.probe_ms;
            follower.probe_end = own_end;
            follower.probe_ms = now_ms;
        }
        if follower.end >= own_end {
            follower.caught_up_ms = now_ms;
        }
        self.advance()
    }

    /// A follower begins again at `end`, perhaps with less than before.
    pub fn follower_begins(&mut self, id: i32, broker_epoch: i64, end: u64, now_ms: u64) -> bool {
        self.followers.remove(&id);
        self.follower_at(id, broker_epoch, end, now_ms)
    }

    /// The metadata has changed. Returns whether the high watermark has grown.
    pub fn committed(&mut self, partition: &Partition) -> bool {
        if partition.partition_epoch <= self.partition.partition_epoch {
            return false;
        }
        self.partition = partition.clone();
        // Whatever was proposed was based on the state before.
        self.proposed = None;
        self.quiet_until_ms = 0;
        let replicas = &self.partition.replicas;
        self.followers.retain(|id, _| replicas.contains(id));
        self.advance()
    }

    /// The change that should be asked for now, if there is one and none is under way. `active` gives the epoch of a
    /// broker that may be in sync: registered, not fenced, not shutting down.
    pub fn propose(
        &mut self,
        now_ms: u64,
        max_lag: Duration,
        active: impl Fn(i32) -> Option<i64>,
    ) -> Option<Proposal> {
        if self.proposed.is_some() || now_ms < self.quiet_until_ms {
            return None;
        }
        let recovers = !self.partition.leader_recovery_state.is_recovered();
        let wanted: Vec<(i32, i64)> = self
            .partition
            .replicas
            .iter()
            .filter_map(|id| Some((*id, self.keeps_or_joins(*id, now_ms, max_lag, &active)?)))
            .collect();
        let ids: Vec<i32> = wanted.iter().map(|(id, _)| *id).collect();
        let current = &self.partition.in_sync_replicas;
        let is_same = ids.len() == current.len() && ids.iter().all(|id| current.contains(id));
        if !ids.contains(&self.me) || (is_same && !recovers) {
            return None;
        }
        self.proposed = Some(ids);
        Some(Proposal {
            leader_epoch: self.partition.leader_epoch,
            partition_epoch: self.partition.partition_epoch,
            in_sync: wanted,
        })
    }

    /// A proposal was not carried out.
    pub fn refused(&mut self, proposal: &Proposal, refusal: Refusal, now_ms: u64) {
        if proposal.partition_epoch != self.partition.partition_epoch {
            return;
        }
        let quiet = u64::try_from(QUIET.as_millis()).unwrap_or(u64::MAX);
        self.quiet_until_ms = now_ms.saturating_add(quiet);
        // What may yet be carried out still counts: those who would join may be in sync already, as far as the
        // controller is concerned. It is asked again, and says whether it was.
        if refusal == Refusal::Refused {
            self.proposed = None;
        }
    }

    /// The proposal under way whose outcome is not known, to be sent again.
    pub fn unsettled(&self, now_ms: u64, active: impl Fn(i32) -> Option<i64>) -> Option<Proposal> {
        let proposed = self.proposed.as_ref()?;
        (self.quiet_until_ms != 0 && now_ms >= self.quiet_until_ms).then(|| Proposal {
            leader_epoch: self.partition.leader_epoch,
            partition_epoch: self.partition.partition_epoch,
            in_sync: proposed
                .iter()
                .map(|id| (*id, active(*id).unwrap_or(-1)))
                .collect(),
        })
    }

    /// Whether a replica should be in sync, and with which epoch of its broker.
    fn keeps_or_joins(
        &self,
        id: i32,
        now_ms: u64,
        max_lag: Duration,
        active: &impl Fn(i32) -> Option<i64>,
    ) -> Option<i64> {
        let epoch = active(id);
        if id == self.me {
            return epoch;
        }
        let is_in_sync = self.partition.in_sync_replicas.contains(&id);
        match self.followers.get(&id) {
            Some(follower) if is_in_sync => {
                let lag_ms = now_ms.saturating_sub(follower.caught_up_ms);
                let lags = follower.end < self.own_end && u128::from(lag_ms) > max_lag.as_millis();
                // One that is fenced is taken out by the controller.
                (!lags).then(|| epoch.unwrap_or(follower.broker_epoch))
            }
            Some(follower) => {
                let has_caught_up =
                    follower.end >= self.high_watermark && follower.end >= self.epoch_start;
                let is_current = epoch == Some(follower.broker_epoch);
                (has_caught_up && is_current).then_some(follower.broker_epoch)
            }
            // Not heard of in this leadership yet: it has as much time as for catching up.
            None if is_in_sync => {
                let waited_ms = now_ms.saturating_sub(self.began_ms);
                (u128::from(waited_ms) <= max_lag.as_millis()).then(|| epoch.unwrap_or(-1))
            }
            None => None,
        }
    }

    /// Everyone whom the high watermark waits for.
    fn maximal(&self) -> impl Iterator<Item = &i32> {
        let committed = &self.partition.in_sync_replicas;
        let proposed = self.proposed.iter().flatten();
        committed
            .iter()
            .chain(proposed.filter(|id| !committed.contains(id)))
    }

    /// Moves the high watermark forward, if it can be.
    fn advance(&mut self) -> bool {
        if !self.has_enough() {
            return false;
        }
        let end_of = |id: &i32| match *id == self.me {
            true => Some(self.own_end),
            false => self.followers.get(id).map(|follower| follower.end),
        };
        let Some(Some(least)) = self
            .maximal()
            .map(end_of)
            .try_fold(None::<u64>, |least, end| {
                let end = end?;
                Some(Some(least.map_or(end, |least| least.min(end))))
            })
        else {
            return false;
        };
        let grows = least > self.high_watermark;
        self.high_watermark = self.high_watermark.max(least);
        grows
    }
}

/// Where a leadership begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The offset after the last record on the leader's disk.
    pub own_end: u64,
    /// The offset that the leadership's first record gets.
    pub epoch_start: u64,
    /// What the leader knows of its predecessor's high watermark.
    pub high_watermark: u64,
    /// The time, by the clock of all other times here.
    pub now_ms: u64,
}

#[cfg(test)]
mod tests;
