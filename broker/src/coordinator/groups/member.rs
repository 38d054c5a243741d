//! One member of a classic group.

use std::sync::Arc;

use bytes::Bytes;

use super::super::shard::Token;
use super::types::Protocol;

/// One member of a classic group.
#[derive(Debug, Clone)]
pub struct Member {
    /// The id that the coordinator gave it.
    pub id: Arc<str>,
    /// The id that a static member brings (KIP-345).
    pub instance_id: Option<String>,
    /// The client's own name.
    pub client_id: String,
    /// Where the client connected from.
    pub client_host: String,
    /// How long a rebalance waits for it.
    pub rebalance_timeout_ms: i32,
    /// After which silence it is taken for dead.
    pub session_timeout_ms: i32,
    /// In its order of preference, each name once.
    pub protocols: Vec<Protocol>,
    /// What the leader gave it to do; empty during a rebalance.
    pub assignment: Bytes,
    /// Its JoinGroup that waits for the others. Changed by the group only, which counts these.
    pub(super) awaiting_join: Option<Token>,
    /// Its SyncGroup that waits for the leader's.
    pub(super) awaiting_sync: Option<Token>,
    /// It waits in its first join, so that a session that ends means it went away.
    pub is_new: bool,
}

impl Member {
    /// Whether a session that ends now says nothing about the member, because its request is the
    /// one that waits.
    pub fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    /// The member's metadata for a protocol; empty if it does not support it.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        let found = self
            .protocols
            .iter()
            .find(|supported| supported.name == protocol);
        found
            .map(|supported| supported.metadata.clone())
            .unwrap_or_default()
    }

    /// Whether its request to join waits for the others.
    pub fn is_awaiting_join(&self) -> bool {
        self.awaiting_join.is_some()
    }
}
