//! Calls of gRPC clients on their way to the broker where they belong: the leader of a partition, the coordinator of a
//! group, the leader of the quorum. So any broker takes any call.
//!
//! ```text
//!   grpc ─► Router ─► route: which broker? ─┬─ this one ─────────────────► api::local ─► handler
//!              ▲                            └─ another ─► peer ─(peer gRPC)─► service ─► handler there
//!              └── moved, or the broker was lost: once the metadata says where to, again, within a bound
//! ```
//!
//! What is forwarded is the request that a Kafka client would send to the other broker. A broker that gets one waits until
//! it has the metadata that the sender went by, serves it as its own, and never hands it on: if it is not the right one
//! any more it says so, as it would to a Kafka client.
//!
//! - `route` says where a request belongs, as a pure function of the metadata.
//! - `partitions` takes requests apart by the leaders of their partitions, and puts the answers together again.
//! - `produce` keeps the order of a producer's requests, also when their leader dies under them.
//! - `fetch` asks several leaders at once, and waits no longer than for the first that has something.
//! - `groups` and `brokers` are about what belongs to one coordinator or to one broker.

mod brokers;
mod fetch;
mod groups;
mod outcome;
mod partitions;
mod peer;
mod produce;
mod route;
mod router;
mod service;
#[cfg(test)]
mod tests;

pub use self::brokers::LogDirs;
pub use self::outcome::Failed;
pub use self::peer::Peers;
pub use self::produce::{Producing, Sent};
pub use self::router::{Routed, Router};
pub use self::service::Service;

/// Largest forwarded request and answer: more than a gRPC client may send (`fjord.grpc.message.max.bytes`) and than a
/// fetch gives at once by default (`fetch.max.bytes`).
const MESSAGE_BYTES: usize = 128 << 20;
/// Largest request in such a message, beside what is said of its client.
const REQUEST_BYTES: usize = MESSAGE_BYTES - (1 << 20);
