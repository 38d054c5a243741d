//! The gRPC API: one file per service of `proto/fjord/v1`.
//!
//! ```text
//!   gRPC client ─► server ─► calls ─► a service ─► backend ─► forward ─► the handler of a Kafka API, where it belongs
//!                              │          │                                    │
//!                           metrics   records: proto ⇄ record batches      error: codes ─► statuses
//! ```
//!
//! A service says in its own words what a Kafka client would ask for, and hands it to the same handlers. So both
//! protocols share every check, every error and the one log, and what one writes the other reads.

mod backend;
mod calls;
mod cluster;
mod committed;
mod configs;
mod consumer;
mod disks;
mod error;
mod fetch;
mod groups;
mod methods;
mod numbers;
mod offsets;
mod plans;
mod producer;
mod reassignments;
mod records;
mod restart;
mod server;
mod services;
#[cfg(test)]
mod tests;
mod topics;

pub use self::backend::Backend;
pub use self::server::{GrpcError, GrpcServer};
pub use self::services::services;
