//! Cluster metadata: records, the immutable image, and the pure functions that apply one to the other.
//!
//! ```text
//!   api ──► store.submit(request) ──► commands::* (pure: image + request -> records + outcome)
//!                                          │ records
//!                                          ▼
//!                              MetadataLog (`__cluster_metadata`), durable
//!                                          │ records
//!                                          ▼
//!   readers ◄── Arc<Image> ◄── ImageObserver ◄── Image::apply (pure)
//! ```
//!
//! The state is nothing but the records: [`store::MetadataStore::open`] replays them, and every later
//! image is the previous one with the records of one command applied. Records are keyed by the entity
//! they describe, so that the partition that holds them can be compacted; the rules that make replay
//! after compaction safe are in [`records`].
//!
//! With several brokers, one of them decides. Requests reach it as bytes ([`commands::Command`]), and what it
//! decides reaches all of them as bytes ([`proposal::Proposal`]) in the order of the quorum's log.

pub mod commands;
pub mod delta;
mod ids;
pub mod image;
pub mod placement;
pub mod plan;
pub mod proposal;
pub mod records;
pub mod restart;
pub mod store;
#[cfg(test)]
pub(crate) mod testing;
pub mod topic_name;

pub use delta::Delta;
pub use ids::{new_cluster_id, new_topic_id};
pub use image::{Broker, Image, Partition, Topic};
pub use store::{
    Decider, Decision, ExecuteError, ImageObserver, MetadataLog, MetadataLogError, MetadataStore,
};
