//! Replication: followers have what their leaders have.
//!
//! ```text
//!  this broker follows                                   this broker leads
//!    Followers (observes the metadata)                     leader::Service, one session for each follower's broker
//!      └─ one Fetcher for each leading broker ──stream──►    ├─ Follow ─► do the logs agree? ─► Replica::follower_begins
//!           ├─ Records ─► Replica::append_from_leader  ◄──── ├─ marked links ─► what the log has more
//!           └─ on disk ─► Positions ───────────────────────► └─ Replica::follower_at ─► high watermark ─► producers
//!                                                           in_sync::run: asks the controller for other in-sync replicas
//! ```
//!
//! - One stream between two brokers carries all partitions that they have in common; a partition is a number in it.
//! - A leader sends as soon as it has something, and a follower says what is on its disk: nobody polls.
//! - A follower truncates only to where its log and its leader's diverge (KIP-101, KIP-279); `divergence` finds that.
//! - Partitions whose followers are in sync go before those that catch up, in which no producer waits; `catch_up` says
//!   how fast those may go.

mod catch_up;
mod divergence;
pub mod follower;
mod in_sync;
pub mod leader;
pub mod peers;

pub use in_sync::InSyncTask;
