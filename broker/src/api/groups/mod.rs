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

pub use delete_groups::DeleteGroups;
pub use describe_groups::DescribeGroups;
pub use find_coordinator::FindCoordinator;
pub use heartbeat::Heartbeat;
pub use join_group::JoinGroup;
pub use leave_group::LeaveGroup;
pub use list_groups::ListGroups;
pub use offset_commit::OffsetCommit;
pub use offset_delete::OffsetDelete;
pub use offset_fetch::OffsetFetch;
pub use sync_group::SyncGroup;

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
