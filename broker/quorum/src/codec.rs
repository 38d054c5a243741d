//! Translations between the consensus' types and the messages of `fjord.peer.v1`, which go over the wire and to
//! disk.

use std::collections::{BTreeMap, BTreeSet};

use openraft::EntryPayload;
use openraft::vote::leader_id_std::CommittedLeaderId;

use crate::proto;
use crate::types::{
    Command, Entry, LogId, Member, Membership, SnapshotMeta, StoredMembership, Vote,
};

/// A message that does not hold what it must.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message lacks {0}")]
pub struct CodecError(pub &'static str);

pub(crate) fn log_id(id: &LogId) -> proto::LogId {
    proto::LogId {
        term: id.leader_id.term,
        index: id.index,
    }
}

pub(crate) fn read_log_id(id: &proto::LogId) -> LogId {
    LogId::new(CommittedLeaderId { term: id.term }, id.index)
}

pub(crate) fn vote(vote: &Vote) -> proto::Vote {
    proto::Vote {
        term: vote.leader_id.term,
        node_id: vote.leader_id.voted_for,
        committed: vote.committed,
    }
}

pub(crate) fn read_vote(vote: Option<&proto::Vote>) -> Result<Vote, CodecError> {
    let vote = vote.ok_or(CodecError("a vote"))?;
    Ok(if vote.committed {
        Vote::new_committed(vote.term, vote.node_id)
    } else {
        Vote::new(vote.term, vote.node_id)
    })
}

pub(crate) fn membership(membership: &Membership) -> proto::Membership {
    let configs = membership.get_joint_config().iter();
    let nodes = membership.nodes();
    proto::Membership {
        configs: configs
            .map(|voters| proto::membership::Voters {
                node_ids: voters.iter().copied().collect(),
            })
            .collect(),
        nodes: nodes
            .map(|(id, member)| proto::Node {
                node_id: *id,
                address: member.address.clone(),
                incarnation: member.incarnation,
            })
            .collect(),
    }
}

pub(crate) fn read_membership(message: &proto::Membership) -> Result<Membership, CodecError> {
    let configs: Vec<BTreeSet<_>> = message
        .configs
        .iter()
        .map(|voters| voters.node_ids.iter().copied().collect())
        .collect();
    let nodes: BTreeMap<_, _> = message
        .nodes
        .iter()
        .map(|node| {
            let member = Member {
                address: node.address.clone(),
                incarnation: node.incarnation,
            };
            (node.node_id, member)
        })
        .collect();
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|_| CodecError("the nodes of its voters"))
}

pub(crate) fn stored_membership(stored: &StoredMembership) -> proto::StoredMembership {
    proto::StoredMembership {
        log_id: stored.log_id().as_ref().map(log_id),
        membership: Some(membership(stored.membership())),
    }
}

pub(crate) fn read_stored_membership(
    message: &proto::StoredMembership,
) -> Result<StoredMembership, CodecError> {
    let members = message.membership.as_ref();
    let members = read_membership(members.ok_or(CodecError("a membership"))?)?;
    Ok(StoredMembership::new(
        message.log_id.as_ref().map(read_log_id),
        members,
    ))
}

pub(crate) fn entry(entry: &Entry) -> proto::Entry {
    let payload = match &entry.payload {
        EntryPayload::Blank => None,
        EntryPayload::Normal(command) => Some(proto::entry::Payload::Command(command.0.clone())),
        EntryPayload::Membership(members) => {
            Some(proto::entry::Payload::Membership(membership(members)))
        }
    };
    proto::Entry {
        log_id: Some(log_id(&entry.log_id)),
        payload,
    }
}

pub(crate) fn read_entry(message: proto::Entry) -> Result<Entry, CodecError> {
    let id = message.log_id.as_ref().ok_or(CodecError("a log id"))?;
    let payload = match message.payload {
        None => EntryPayload::Blank,
        Some(proto::entry::Payload::Command(bytes)) => EntryPayload::Normal(Command(bytes)),
        Some(proto::entry::Payload::Membership(members)) => {
            EntryPayload::Membership(read_membership(&members)?)
        }
    };
    Ok(Entry {
        log_id: read_log_id(id),
        payload,
    })
}

pub(crate) fn snapshot_meta(meta: &SnapshotMeta) -> proto::SnapshotMeta {
    proto::SnapshotMeta {
        last_log_id: meta.last_log_id.as_ref().map(log_id),
        last_membership: Some(stored_membership(&meta.last_membership)),
    }
}

pub(crate) fn read_snapshot_meta(
    message: &proto::SnapshotMeta,
) -> Result<SnapshotMeta, CodecError> {
    let members = message.last_membership.as_ref();
    Ok(SnapshotMeta {
        last_log_id: message.last_log_id.as_ref().map(read_log_id),
        last_membership: read_stored_membership(members.ok_or(CodecError("a membership"))?)?,
    })
}
