//! How a partition changes: every command that touches replicas, in-sync replicas or leaders goes
//! through here, so that elections, eligible leader replicas, reassignments and epochs have one rule.
//!
//! ```text
//!   wanted replicas, ISR ─► drop inactive brokers ─► complete reassignment ─► elect ─► ELR ─► epochs
//! ```
//!
//! Which brokers are active is read from the image, so a command that fences a broker applies the
//! broker's record first and then changes the partitions on the image that this makes.

use serde::{Deserialize, Serialize};

use crate::metadata::{
    Image, Partition, Topic,
    image::NO_LEADER,
    records::{LeaderRecoveryState, PartitionChangeRecord, Record, without},
};

/// What holds for topics that say nothing themselves, where no dynamic default of the cluster does: the
/// static configs of the broker that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElectionDefaults {
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election: bool,
}

/// How many in-sync replicas the partitions of a topic need for an acknowledgement with acks=all, at
/// `replica_count` replicas. Leaders count by this too: their own dynamic configs do not matter for it.
pub fn min_in_sync_replicas(
    image: &Image,
    topic: &Topic,
    replica_count: usize,
    defaults: ElectionDefaults,
) -> usize {
    TopicRules::of(image, topic, defaults).min_in_sync(replica_count)
}

/// The configs of a topic that decide elections.
#[derive(Debug, Clone, Copy)]
pub(super) struct TopicRules {
    min_insync_replicas: usize,
    unclean_leader_election: bool,
}

/// How far an election may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Election {
    /// A valid leader stays; otherwise one is elected, uncleanly only if the topic says so.
    Needed,
    /// The first replica takes over if it is valid.
    Preferred,
    /// Like `Needed`, but uncleanly whatever the topic says: an administrator has asked for it.
    Unclean,
}

/// A broker whose copy of the log can no longer be relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Distrust {
    pub broker_id: i32,
    /// Nothing is left of it at all: the broker is no last known leader either.
    pub is_lost: bool,
}

/// A change of one partition, to be adjusted before [`PartitionChange::build`].
pub(super) struct PartitionChange<'a> {
    image: &'a Image,
    rules: TopicRules,
    current: &'a Partition,
    /// The partition as it is wanted: replicas, in-sync replicas, adding, removing, recovery state.
    pub wanted: Partition,
    pub election: Election,
    pub distrust: Option<Distrust>,
}

impl TopicRules {
    pub fn of(image: &Image, topic: &Topic, defaults: ElectionDefaults) -> TopicRules {
        let config = |name: &str| {
            let own = topic.configs.get(name);
            own.or_else(|| image.broker_default_configs().get(name))
        };
        let min_insync_replicas = config("min.insync.replicas").and_then(|v| v.trim().parse().ok());
        let unclean = config("unclean.leader.election.enable");
        TopicRules {
            min_insync_replicas: min_insync_replicas.unwrap_or(defaults.min_insync_replicas),
            unclean_leader_election: unclean.map_or(defaults.unclean_leader_election, |v| {
                v.trim().eq_ignore_ascii_case("true")
            }),
        }
    }

    /// How many in-sync replicas an acknowledgement needs; never more than there are replicas.
    pub fn min_in_sync(&self, replica_count: usize) -> usize {
        self.min_insync_replicas.clamp(1, replica_count.max(1))
    }
}

impl<'a> PartitionChange<'a> {
    pub fn new(image: &'a Image, rules: TopicRules, current: &'a Partition) -> Self {
        PartitionChange {
            image,
            rules,
            current,
            wanted: current.clone(),
            election: Election::Needed,
            distrust: None,
        }
    }

    /// The partition after the change; `None` if nothing changes.
    pub fn build(mut self) -> Option<Partition> {
        self.drop_inactive();
        self.complete_reassignment();
        let trusted = self.formerly_in_sync();
        let is_clean = self.elect(&trusted);
        // An election can put the only replica in sync that the reassignment was waiting for.
        self.complete_reassignment();
        self.set_eligible(&trusted, is_clean);
        self.set_last_known_leader();
        let PartitionChange {
            current,
            mut wanted,
            ..
        } = self;
        if wanted == *current {
            return None;
        }
        // As in Kafka, also when a broker stops being a replica: what it has asked the leader before does
        // not count if it becomes a replica again, with an empty log.
        let some_gone = !current
            .replicas
            .iter()
            .all(|id| wanted.replicas.contains(id));
        if wanted.leader != current.leader || some_gone {
            wanted.leader_epoch = current.leader_epoch + 1;
        }
        wanted.partition_epoch = current.partition_epoch + 1;
        Some(wanted)
    }

    fn is_active(&self, id: i32) -> bool {
        self.image
            .broker(id)
            .is_some_and(|broker| broker.is_active())
    }

    fn drop_inactive(&mut self) {
        let mut in_sync = std::mem::take(&mut self.wanted.in_sync_replicas);
        in_sync.retain(|id| self.is_active(*id) && self.wanted.replicas.contains(id));
        self.wanted.in_sync_replicas = in_sync;
    }

    /// KIP-455: once all that were added are in sync, those that are removed go, unless that left
    /// fewer in-sync replicas than an acknowledgement needs.
    fn complete_reassignment(&mut self) {
        let wanted = &mut self.wanted;
        if !wanted.is_reassigned() {
            return;
        }
        let target = wanted.target_replicas();
        let remaining = without(&wanted.in_sync_replicas, &wanted.removing_replicas);
        let needed = self.rules.min_in_sync(target.len());
        let needed = needed.min(wanted.in_sync_replicas.len()).max(1);
        let all_added = wanted
            .adding_replicas
            .iter()
            .all(|id| remaining.contains(id));
        if all_added && remaining.len() >= needed {
            wanted.replicas = target;
            wanted.in_sync_replicas = remaining;
            wanted.adding_replicas.clear();
            wanted.removing_replicas.clear();
        }
    }

    /// Replicas that were in sync or eligible before the change and whose log is still relied upon.
    fn formerly_in_sync(&self) -> Vec<i32> {
        let current = self.current;
        let distrusted = self.distrust.map(|distrust| distrust.broker_id);
        let before = [&current.in_sync_replicas, &current.eligible_leader_replicas];
        let mut trusted = Vec::new();
        for id in before.into_iter().flatten() {
            if Some(*id) != distrusted && !trusted.contains(id) {
                trusted.push(*id);
            }
        }
        trusted
    }

    /// Sets the leader, by the order of rule 6. Returns whether the leader has all that was
    /// acknowledged.
    fn elect(&mut self, trusted: &[i32]) -> bool {
        let replicas = &self.wanted.replicas;
        let in_sync = &self.wanted.in_sync_replicas;
        let below_min = in_sync.len() < self.rules.min_in_sync(replicas.len());
        let leader = self.wanted.leader;
        let preferred = replicas[0];
        let wants_preferred = self.election == Election::Preferred && in_sync.contains(&preferred);
        if wants_preferred {
            self.wanted.leader = preferred;
            return true;
        }
        if leader != NO_LEADER && in_sync.contains(&leader) {
            return true;
        }
        let first = |is_candidate: &dyn Fn(i32) -> bool| {
            let mut candidates = replicas.iter().copied();
            candidates.find(|id| self.is_active(*id) && is_candidate(*id))
        };
        if let Some(id) = first(&|id| in_sync.contains(&id)) {
            self.wanted.leader = id;
            return true;
        }
        // Without in-sync replicas nothing was acknowledged since the eligible ones left them.
        if below_min && let Some(id) = first(&|id| trusted.contains(&id)) {
            self.lead_alone(id);
            return true;
        }
        if let Some(id) = self.unclean_candidate(trusted) {
            self.lead_alone(id);
            self.wanted.leader_recovery_state = LeaderRecoveryState::Recovering;
            return false;
        }
        self.wanted.leader = NO_LEADER;
        true
    }

    /// The last known leader where no eligible replica is left, else any active replica where that is
    /// allowed.
    fn unclean_candidate(&self, trusted: &[i32]) -> Option<i32> {
        let replicas = &self.wanted.replicas;
        let last = self.last_leader();
        let some_eligible = trusted.iter().any(|id| replicas.contains(id));
        if !some_eligible && last != NO_LEADER && self.is_active(last) {
            return Some(last);
        }
        let is_allowed = self.rules.unclean_leader_election || self.election == Election::Unclean;
        // A replica that is only being added may have nothing at all; only a person may choose it.
        let is_candidate = |id: &i32| {
            let is_new = self.wanted.adding_replicas.contains(id);
            self.is_active(*id) && (!is_new || self.election == Election::Unclean)
        };
        let mut active = replicas.iter().copied().filter(is_candidate);
        active.next().filter(|_| is_allowed)
    }

    fn lead_alone(&mut self, id: i32) {
        self.wanted.leader = id;
        self.wanted.in_sync_replicas = vec![id];
    }

    /// KIP-966: while fewer are in sync than an acknowledgement needs, those that were in sync stay
    /// eligible, since nothing is acknowledged without them.
    fn set_eligible(&mut self, trusted: &[i32], is_clean: bool) {
        let wanted = &mut self.wanted;
        let needed = self.rules.min_in_sync(wanted.replicas.len());
        let mut last_known = std::mem::take(&mut wanted.last_known_eligible_leader_replicas);
        wanted.eligible_leader_replicas.clear();
        if !is_clean || wanted.in_sync_replicas.len() >= needed {
            return;
        }
        let is_out =
            |id: &i32| wanted.replicas.contains(id) && !wanted.in_sync_replicas.contains(id);
        wanted.eligible_leader_replicas = trusted.iter().copied().filter(is_out).collect();
        let distrusted = self.distrust.filter(|distrust| {
            let id = distrust.broker_id;
            let was_in_sync = self.current.in_sync_replicas.contains(&id)
                || self.current.eligible_leader_replicas.contains(&id);
            was_in_sync && !last_known.contains(&id)
        });
        last_known.extend(distrusted.map(|distrust| distrust.broker_id));
        let lost = self.distrust.filter(|distrust| distrust.is_lost);
        last_known.retain(|id| {
            is_out(id)
                && !wanted.eligible_leader_replicas.contains(id)
                && Some(*id) != lost.map(|distrust| distrust.broker_id)
        });
        wanted.last_known_eligible_leader_replicas = last_known;
    }

    /// The current leader, or the last known one if there is none; none if its log is lost.
    fn last_leader(&self) -> i32 {
        let last = match self.current.leader {
            NO_LEADER => self.current.last_known_leader,
            leader => leader,
        };
        let is_lost = self
            .distrust
            .is_some_and(|distrust| distrust.is_lost && distrust.broker_id == last);
        match self.wanted.replicas.contains(&last) && !is_lost {
            true => last,
            false => NO_LEADER,
        }
    }

    fn set_last_known_leader(&mut self) {
        self.wanted.last_known_leader = match self.wanted.leader {
            NO_LEADER => self.last_leader(),
            _ => NO_LEADER,
        };
    }
}

/// The record of a changed partition.
pub(super) fn change_record(topic: &Topic, index: usize, state: Partition) -> Record {
    let index = u32::try_from(index).expect("a topic has far fewer partitions than 2^32");
    Record::from(PartitionChangeRecord {
        topic_id: topic.id,
        index,
        state,
    })
}

/// Changes all partitions that `is_concerned` selects; one pass over all partitions.
pub(super) fn change_partitions(
    image: &Image,
    defaults: ElectionDefaults,
    is_concerned: impl Fn(&Partition) -> bool,
    adjust: impl Fn(&mut PartitionChange<'_>),
) -> Vec<Record> {
    let mut records = Vec::new();
    for topic in image.topics() {
        let mut rules = None;
        for (index, partition) in topic.partitions.iter().enumerate() {
            if !is_concerned(partition) {
                continue;
            }
            let rules = *rules.get_or_insert_with(|| TopicRules::of(image, topic, defaults));
            let mut change = PartitionChange::new(image, rules, partition);
            adjust(&mut change);
            let state = change.build();
            records.extend(state.map(|state| change_record(topic, index, state)));
        }
    }
    records
}
