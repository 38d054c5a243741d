//! The metadata of several brokers: decided by the leader of a quorum, known to all, and who of them is alive.
//!
//! ```text
//!   any broker                       leader of the quorum                              every broker
//!   MetadataStore::submit ─► client ─► leader: batch::decide ─► propose ─► Raft ─► committed: newest image
//!            ▲                          ▲ fence, unfence                                │
//!            │                       sessions ◄── heartbeats (each broker's)         publisher: observers
//!            └──────── answer, once this broker has published the change ◄──────────────┘
//! ```
//!
//! - Only the leader decides, one batch of commands after the other, and what is replicated are the records that it decided
//!   on, never the commands: brokers of different releases could decide differently.
//! - A proposal names the number of changes that it was decided on ([`crate::metadata::proposal`]). If others came first, it
//!   changes nothing, anywhere, and is decided anew. So neither an old leader nor a lost answer can do harm.
//! - A broker acts on no metadata that is older than its own registration: [`Cluster::start`] says in which order it starts.
//! - Every broker keeps a session with the leader. A broken connection fences it after a short grace, silence after the
//!   session timeout; [`sessions`] decides, as a function of values.
//!
//! The only broker of a cluster has none of this: its metadata is in a partition of its own log.

mod batch;
mod channels;
mod client;
mod cluster;
mod committed;
mod directory;
mod error;
mod figures;
mod heartbeats;
mod join;
mod leader;
mod peer_server;
mod publisher;
mod registration;
mod reply;
mod service;
pub mod sessions;
mod start;
#[cfg(test)]
mod tests;

pub use client::was_not_sent;
pub use cluster::Cluster;
pub use directory::is_of_several;
pub use error::StartError;
pub use peer_server::LateRoutes;
pub use registration::PEER_ENDPOINT;
