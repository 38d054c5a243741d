//! The metadata quorum: a replicated, durable, ordered log of opaque commands, and a state machine that takes the
//! committed ones in order. Raft, by openraft; its log, vote and snapshots lie in fjall and are synced before anything
//! is answered.
//!
//! ```text
//! propose(command) -> leader -> log (fsync here and on a majority) -> StateMachine::apply -> reply
//!        any node ----^  (forwarded over the peer protocol)
//! ```
//!
//! The crate knows nothing of brokers and topics. Everything that is not deterministic is handed in: the transport
//! ([`Transport`]), the store ([`Store`]), the clock (tokio's, which can be paused) and the seed of all randomness.
//!
//! # Life of a node
//!
//! - [`Quorum::start`] on its store; its [`PeerHandler`] is served to the other nodes ([`transport::service`] for gRPC).
//! - One node of a new cluster calls [`Quorum::found`], once, when all voters run. Every other node is started with the
//!   cluster's id and waits: until the cluster is founded with it, or until a member calls [`Quorum::add_learner`] or
//!   [`Quorum::add_voter`] for it. A node never founds a cluster by itself, whatever is on its disk.
//! - [`Quorum::propose`] on any node is forwarded to the leader. [`Quorum::propose_here`] is for a controller on the
//!   leader: it is appended in the term that the controller decided in, or not at all.
//! - [`Quorum::watch`] says who leads, in which term, and who is a member. A term has at most one leader, so it can be
//!   a controller's epoch. A new leader knows all that was committed before it once [`Quorum::read_index`] returned; a
//!   leader that was cut off does not notice by itself, but can neither commit nor read.
//! - [`Quorum::transfer_leader`] before a planned stop, then [`Quorum::shutdown`].
//!
//! ```no_run
//! use std::collections::BTreeMap;
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use bytes::Bytes;
//! use fjord_quorum::store::FjallStore;
//! use fjord_quorum::transport::{GrpcTransport, service};
//! use fjord_quorum::{Options, Position, Quorum, QuorumConfig, RestoreError, Role, StateMachine};
//! use tokio::sync::watch;
//!
//! /// An image that counts, published after every command.
//! struct Counter(watch::Sender<(Option<Position>, u64)>);
//!
//! impl StateMachine for Counter {
//!     fn apply(&mut self, position: Position, _command: &[u8]) -> Bytes {
//!         let count = self.0.borrow().1 + 1;
//!         self.0.send_replace((Some(position), count));
//!         Bytes::from(count.to_string())
//!     }
//!     fn snapshot(&self) -> Bytes {
//!         Bytes::copy_from_slice(&self.0.borrow().1.to_be_bytes())
//!     }
//!     fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
//!         let count = snapshot.try_into().map_err(|_| RestoreError("not a count".into()))?;
//!         self.0.send_replace((None, u64::from_be_bytes(count)));
//!         Ok(())
//!     }
//! }
//!
//! # async fn example(seed: u64) -> Result<(), Box<dyn std::error::Error>> {
//! let (publish, image) = watch::channel((None, 0));
//! let quorum = Quorum::start(Options {
//!     node_id: 1,
//!     cluster_id: Some("a-cluster".into()),
//!     config: QuorumConfig::default(),
//!     store: Arc::new(FjallStore::open(Path::new("metadata"))?),
//!     transport: Arc::new(GrpcTransport::default()),
//!     machine: Box::new(Counter(publish)),
//!     seed,
//! })
//! .await?;
//! let peers = tonic::transport::Server::builder().add_service(service(quorum.handler()));
//! tokio::spawn(peers.serve("0.0.0.0:9095".parse()?));
//!
//! // Once in the life of the cluster, on one node:
//! let voters = BTreeMap::from([(1, "one:9095".into()), (2, "two:9095".into()), (3, "three:9095".into())]);
//! quorum.found("a-cluster", &voters).await?;
//!
//! let proposed = quorum.propose("a command").await?;
//! println!("{:?} at {:?}, here: {:?}", proposed.reply, proposed.position, *image.borrow());
//! quorum.add_voter(4, "four:9095").await?;
//!
//! let state = quorum.watch().borrow().clone();
//! if state.role == Role::Leader {
//!     quorum.propose_here(state.term, "what only this leader may decide").await?;
//!     quorum.transfer_leader(None).await?;
//! }
//! quorum.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod codec;
mod config;
mod handler;
mod log_store;
mod machine;
#[cfg(feature = "mistakes")]
mod mistakes;
mod network;
mod node;
mod notices;
mod snapshots;
#[cfg(test)]
mod storage_tests;
pub mod store;
pub mod transport;
mod types;

pub use config::{ConfigError, QuorumConfig};
pub use handler::PeerHandler;
pub use machine::{Position, RestoreError, StateMachine};
pub use node::{
    ChangeError, FoundError, Options, ProposeError, Proposed, Quorum, ReadError, StartError,
    TransferError,
};
pub use store::{Store, StoreError};
pub use transport::{Transport, TransportError};
pub use types::{Command, Member, NodeId, QuorumMetrics, QuorumState, Role};

/// The messages of the peer protocol (`proto/fjord/peer/v1/quorum.proto`).
#[expect(
    clippy::all,
    unused_qualifications,
    missing_docs,
    reason = "generated code, whose style is its generator's"
)]
pub mod proto {
    tonic::include_proto!("fjord.peer.v1");
}
