//! The APIs of consumer groups and committed offsets: wire messages to the group coordinator's values
//! and back.
//!
//! ```text
//!   request ─► authorize, resolve topics ─► coordinator::groups::Groups (first stage) ─► future
//!                                                                                          │
//!   response ◄──────────────── fields of the request's version ◄───────────────────────────┘
//! ```
//!
//! What groups do is decided by the coordinator alone. Here is what the protocol adds: who may ask,
//! which topics exist, and how each version says the outcome. None of these requests counts against a
//! quota: Kafka limits only their time on the broker, which nothing here measures.

mod delete_groups;
mod describe_groups;
mod find_coordinator;
mod heartbeat;
mod join_group;
mod leave_group;
mod list_groups;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod sync_group;

use fjord_wire::ErrorCode;

use crate::coordinator::groups::TopicOutcome;

pub(super) use delete_groups::DeleteGroups;
pub(super) use describe_groups::DescribeGroups;
pub(super) use find_coordinator::FindCoordinator;
pub(super) use heartbeat::Heartbeat;
pub(super) use join_group::JoinGroup;
pub(super) use leave_group::LeaveGroup;
pub(super) use list_groups::ListGroups;
pub(super) use offset_commit::OffsetCommit;
pub(super) use offset_delete::OffsetDelete;
pub(super) use offset_fetch::OffsetFetch;
pub(super) use sync_group::SyncGroup;

/// Writes the outcomes for the partitions that the coordinator was asked about into their error codes,
/// which come in the same order.
fn fill_in<'a>(codes: impl Iterator<Item = &'a mut i16>, outcomes: &[TopicOutcome]) {
    let mut outcomes = outcomes.iter().flat_map(|topic| &topic.partitions);
    for code in codes {
        // An outcome that is missing must not read as success.
        let outcome = outcomes
            .next()
            .map_or(ErrorCode::UnknownServerError, |(_, outcome)| *outcome);
        *code = outcome.code();
    }
}
