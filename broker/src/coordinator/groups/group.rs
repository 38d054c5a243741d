//! One classic group: its members, its state, and its committed offsets.
//!
//! Everything here is bookkeeping that keeps the parts of a group consistent with each other; who
//! may do what and when is decided in the files about the single requests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::super::shard::Token;
use super::member::Member;
use super::offsets::Offsets;
use super::records::group_metadata::{GroupMetadataValue, MemberMetadata};
use super::subscription::{self, CONSUMER_PROTOCOL_TYPE};
use super::types::{GroupState, Protocol};
use fjord_wire::ErrorCode;

/// How long an initial rebalance still waits for more members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitialDelay {
    /// The running delay.
    pub delay_ms: u64,
    /// How much longer it may be extended.
    pub remaining_ms: u64,
}

/// A classic group.
#[derive(Debug)]
pub struct Group {
    /// The group's id.
    pub id: Arc<str>,
    state: GroupState,
    previous_state: GroupState,
    state_timestamp_ms: Option<i64>,
    /// Set by the first member and kept when the members are gone; none for a group that only
    /// commits offsets.
    pub protocol_type: Option<String>,
    /// What the members of this generation agreed on.
    pub protocol: Option<String>,
    /// The number of the last rebalance.
    pub generation: i32,
    /// The member that assigns.
    pub leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, Member>,
    static_members: HashMap<String, Arc<str>>,
    /// Ids given to members that have not joined with them yet (KIP-394).
    pub pending_joins: BTreeSet<Arc<str>>,
    /// Members of this generation that have not asked for their assignment yet.
    pub pending_syncs: BTreeSet<Arc<str>>,
    supported: HashMap<String, usize>,
    awaiting_joins: usize,
    subscribed_topics: Option<BTreeSet<String>>,
    /// Somebody joined during the running initial delay.
    pub new_member_added: bool,
    /// Set while the group waits for more members than its first.
    pub initial_delay: Option<InitialDelay>,
    /// The log holds a membership record of this group, so that its end needs a tombstone.
    pub stored: bool,
    /// The committed offsets.
    pub offsets: Offsets,
}

impl Group {
    /// A group without members.
    pub fn new(id: Arc<str>, now_ms: i64) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            previous_state: GroupState::Dead,
            state_timestamp_ms: Some(now_ms),
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            pending_joins: BTreeSet::new(),
            pending_syncs: BTreeSet::new(),
            supported: HashMap::new(),
            awaiting_joins: 0,
            subscribed_topics: None,
            new_member_added: false,
            initial_delay: None,
            stored: false,
            offsets: Offsets::default(),
        }
    }

    /// A group as it was stored.
    pub fn from_record(id: Arc<str>, value: GroupMetadataValue) -> Self {
        let mut group = Self::new(id, 0);
        group.stored = true;
        group.state_timestamp_ms = value.state_timestamp_ms;
        group.generation = value.generation;
        group.protocol_type = Some(value.protocol_type).filter(|name| !name.is_empty());
        group.protocol = value.protocol;
        let protocol_name = group.protocol.clone().unwrap_or_default();
        for stored in value.members {
            group.add(Member {
                id: stored.member_id.into(),
                instance_id: stored.group_instance_id,
                client_id: stored.client_id,
                client_host: stored.client_host,
                rebalance_timeout_ms: stored.rebalance_timeout_ms,
                session_timeout_ms: stored.session_timeout_ms,
                protocols: vec![Protocol {
                    name: protocol_name.clone(),
                    metadata: stored.subscription,
                }],
                assignment: stored.assignment,
                awaiting_join: None,
                awaiting_sync: None,
                is_new: false,
            });
        }
        if !group.members.is_empty() {
            group.state = GroupState::Stable;
        }
        if let Some((leader, _)) = value
            .leader
            .and_then(|id| group.members.get_key_value(&*id))
        {
            group.leader = Some(leader.clone());
        }
        group.subscribed_topics = group.compute_subscribed_topics();
        group
    }

    /// What is stored of the group.
    pub fn to_record(&self) -> GroupMetadataValue {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.values().map(|member| MemberMetadata {
            member_id: member.id.to_string(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(protocol),
            assignment: member.assignment.clone(),
        });
        GroupMetadataValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.as_deref().map(str::to_owned),
            state_timestamp_ms: self.state_timestamp_ms,
            members: members.collect(),
        }
    }

    /// The group's state.
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// The state before the present one.
    pub fn previous_state(&self) -> GroupState {
        self.previous_state
    }

    /// When the group got into its state; none if an old record did not say.
    pub fn state_timestamp_ms(&self) -> Option<i64> {
        self.state_timestamp_ms
    }

    /// Changes the state.
    pub fn transition_to(&mut self, state: GroupState, now_ms: i64) {
        self.previous_state = self.state;
        self.state = state;
        self.state_timestamp_ms = Some(now_ms);
    }

    /// All members, in the order of their ids.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The members' ids, for loops that change members.
    pub fn member_ids(&self) -> Vec<Arc<str>> {
        self.members.keys().cloned().collect()
    }

    /// How many members there are.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// A member by its id.
    pub fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    /// A member by its id, to change what is its own.
    pub fn member_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.members.get_mut(id)
    }

    /// The member id of a static member.
    pub fn static_member(&self, instance_id: &str) -> Option<&Arc<str>> {
        self.static_members.get(instance_id)
    }

    /// Checks that a member is who it says it is.
    ///
    /// # Errors
    /// FENCED_INSTANCE_ID if another one has taken its static id over (KIP-345), else
    /// UNKNOWN_MEMBER_ID.
    pub fn validate_member(&self, id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if **current != *id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(id) {
            Ok(())
        } else {
            Err(ErrorCode::UnknownMemberId)
        }
    }

    /// Whether this member assigns.
    pub fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// How many members wait in their join.
    pub fn awaiting_joins(&self) -> usize {
        self.awaiting_joins
    }

    /// Whether everybody is there whom the group expects, ids given out included.
    pub fn has_all_members_joined(&self) -> bool {
        self.awaiting_joins == self.members.len() && self.pending_joins.is_empty()
    }

    /// How long a rebalance waits: as long as the most patient member.
    pub fn rebalance_timeout_ms(&self) -> u64 {
        let longest = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms)
            .max();
        u64::try_from(longest.unwrap_or(0)).unwrap_or(0)
    }

    /// Whether nothing would be lost with the group: it was never stored, holds no offsets, and
    /// nobody is about to join.
    pub fn is_forgettable(&self) -> bool {
        self.state == GroupState::Empty
            && !self.stored
            && self.offsets.is_empty()
            && self.pending_joins.is_empty()
    }

    /// Adds a member; the first one makes the protocol type and is the leader.
    pub fn add(&mut self, member: Member) {
        if let Some(instance_id) = &member.instance_id {
            self.static_members
                .insert(instance_id.clone(), member.id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.count_protocols(&member.protocols, true);
        self.awaiting_joins += usize::from(member.awaiting_join.is_some());
        self.pending_joins.remove(&member.id);
        self.members.insert(member.id.clone(), member);
    }

    /// Removes a member or a pending id; another member becomes the leader if it was that one.
    pub fn remove(&mut self, id: &str) -> Option<Member> {
        self.pending_joins.remove(id);
        self.pending_syncs.remove(id);
        let member = self.members.remove(id)?;
        self.count_protocols(&member.protocols, false);
        self.awaiting_joins -= usize::from(member.awaiting_join.is_some());
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// Gives a static member a new id and keeps all else of it, its leadership too.
    pub fn rename_static(&mut self, old_id: &str, new_id: &Arc<str>) {
        let Some(mut member) = self.members.remove(old_id) else {
            return;
        };
        self.pending_syncs.remove(old_id);
        member.id = new_id.clone();
        if let Some(instance_id) = &member.instance_id {
            self.static_members
                .insert(instance_id.clone(), new_id.clone());
        }
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        self.members.insert(new_id.clone(), member);
    }

    /// Takes over what a member says about itself in a repeated join.
    pub fn update(
        &mut self,
        id: &str,
        protocols: Vec<Protocol>,
        rebalance_ms: i32,
        session_ms: i32,
    ) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        member.rebalance_timeout_ms = rebalance_ms;
        member.session_timeout_ms = session_ms;
        let old = std::mem::replace(&mut member.protocols, protocols.clone());
        self.count_protocols(&old, false);
        self.count_protocols(&protocols, true);
    }

    /// Sets or takes the join that a member waits in, and returns the one before.
    pub fn set_awaiting_join(&mut self, id: &str, token: Option<Token>) -> Option<Token> {
        let member = self.members.get_mut(id)?;
        let before = std::mem::replace(&mut member.awaiting_join, token);
        self.awaiting_joins += usize::from(token.is_some());
        self.awaiting_joins -= usize::from(before.is_some());
        before
    }

    /// Sets or takes the sync that a member waits in, and returns the one before.
    pub fn set_awaiting_sync(&mut self, id: &str, token: Option<Token>) -> Option<Token> {
        std::mem::replace(&mut self.members.get_mut(id)?.awaiting_sync, token)
    }

    /// Whether a member with these protocols fits the others.
    pub fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == GroupState::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols
                .iter()
                .any(|protocol| self.is_candidate(&protocol.name))
    }

    /// The protocol that all members support and most of them prefer; of several such, the one
    /// that the first member in the order of ids prefers.
    pub fn select_protocol(&self) -> Option<String> {
        let mut votes: Vec<(&str, usize)> = Vec::new();
        for member in self.members.values() {
            let choice = member
                .protocols
                .iter()
                .find(|protocol| self.is_candidate(&protocol.name));
            let Some(choice) = choice else { continue };
            match votes.iter_mut().find(|(name, _)| *name == choice.name) {
                Some((_, count)) => *count += 1,
                None => votes.push((&choice.name, 1)),
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max()?;
        votes
            .iter()
            .find(|(_, count)| *count == most)
            .map(|(name, _)| (*name).to_owned())
    }

    /// Starts the next generation with the members that are there.
    pub fn start_generation(&mut self, now_ms: i64) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.protocol = self.select_protocol();
        self.subscribed_topics = self.compute_subscribed_topics();
        self.pending_syncs.clear();
        let next = if self.members.is_empty() {
            GroupState::Empty
        } else {
            GroupState::CompletingRebalance
        };
        self.transition_to(next, now_ms);
    }

    /// Gives every member its part of an assignment; who is not in it gets an empty one.
    pub fn assign(&mut self, mut assignments: HashMap<String, Bytes>) {
        for member in self.members.values_mut() {
            member.assignment = assignments.remove(&*member.id).unwrap_or_default();
        }
    }

    /// Whether the group consists of consumers.
    pub fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// Whether the members are known to read their topics by subscription.
    pub fn knows_subscribed_topics(&self) -> bool {
        self.subscribed_topics.is_some()
    }

    /// Whether some member reads this topic; if the consumers' metadata cannot be read, any topic
    /// may be one of theirs.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    fn compute_subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        let mut all = BTreeSet::new();
        for member in self.members.values() {
            let metadata = member.metadata(self.protocol.as_deref()?);
            match subscription::topics(metadata) {
                Ok(topics) => all.extend(topics),
                Err(error) => {
                    tracing::warn!(group = %self.id, member = %member.id, %error,
                        "a consumer's subscription cannot be read");
                    return None;
                }
            }
        }
        Some(all)
    }

    fn is_candidate(&self, protocol: &str) -> bool {
        self.supported.get(protocol).copied().unwrap_or(0) == self.members.len()
    }

    fn count_protocols(&mut self, protocols: &[Protocol], added: bool) {
        for protocol in protocols {
            let count = self.supported.entry(protocol.name.clone()).or_default();
            if added {
                *count += 1;
            } else if *count > 1 {
                *count -= 1;
            } else {
                self.supported.remove(&protocol.name);
            }
        }
    }
}
