//! The operator: it makes what `Cluster` and `Topic` resources ask for, and keeps it so.
//!
//! ```text
//!   API server ──watch──► cluster::controller ──► pure planners (resources, rollout, scaling) ──► server-side apply
//!                         topic::controller   ──► pure planner (diff)                          ──► brokers' gRPC API
//!                                 ▲                                                                   │
//!                                 └──────────────── what the brokers say (brokers) ◄──────────────────┘
//! ```
//!
//! The resources say what should be; the brokers decide how it stays safe. Whatever decides here is a function of
//! values: observed state in, a plan out. Shells fetch the state and carry the plan out; what must survive a restart of
//! the operator is in the resources' status.

pub mod api;
pub mod brokers;
pub mod cluster;
pub mod context;
pub mod leader;
pub mod metrics;
#[cfg(test)]
mod testing;
pub mod topic;

/// The field manager of every server-side apply.
pub const FIELD_MANAGER: &str = "fjord-operator";
