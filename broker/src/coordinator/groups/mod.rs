//! Classic consumer groups and committed offsets (KIP-62, KIP-345, KIP-394 and others).
//!
//! The state of a group lives in memory; what must survive is stored in `__consumer_offsets`, in
//! the records that Apache Kafka writes: a group's membership after each rebalance, and every
//! committed offset. All groups of one partition of that topic make a [`GroupShard`], a pure state
//! machine without clock, randomness or I/O. [`Groups`] is what request handlers talk to.
//!
//! ```text
//!   api ──► Groups ──► Runtime ──► GroupShard ──► join, sync, heartbeat, leave, commit, ...
//!                         │            └── replies, some parked until a rebalance completes
//!                         └──► log (a partition of __consumer_offsets)
//! ```

mod commit;
pub mod config;
mod context;
mod delete;
mod describe;

mod expire;
mod fetch;
mod group;
mod group_shard;
mod heartbeat;
mod join;
mod leave;
mod member;
mod offsets;
mod rebalance;
pub mod records;
mod reply;
mod service;
mod subscription;
mod sync;
mod timers;
mod types;

pub use config::GroupConfig;
pub use fjord_wire::ErrorCode;
pub use group_shard::GroupShard;
pub use reply::{Reply, Request};
pub use service::{Groups, partition_of};
pub use types::*;

#[cfg(test)]
mod tests;
