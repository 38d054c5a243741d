//! The state machine of the simulated nodes: a chain over all commands, so that two states are the same if they come
//! from the same commands in the same order.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fjord_quorum::{NodeId, Position, RestoreError, StateMachine};

use super::history::History;

/// What a state machine has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Index of the last command.
    pub index: u64,
    /// Commands so far.
    pub count: u64,
    /// The hash of all commands with their positions, in order.
    pub hash: u64,
}

impl Chain {
    /// After one more command.
    pub fn with(self, position: Position, command: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        (self.hash, position.term, position.index, command).hash(&mut hasher);
        Self {
            index: position.index,
            count: self.count + 1,
            hash: hasher.finish(),
        }
    }
}

/// One node's state machine, which tells the history of all it does.
pub struct Machine {
    pub node: NodeId,
    pub chain: Chain,
    pub history: Arc<History>,
}

impl StateMachine for Machine {
    fn apply(&mut self, position: Position, command: &[u8]) -> Bytes {
        let before = self.chain;
        self.chain = before.with(position, command);
        self.history.applied(self.node, before, self.chain, command);
        Bytes::copy_from_slice(&self.chain.hash.to_be_bytes())
    }

    fn snapshot(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u64(self.chain.index);
        bytes.put_u64(self.chain.count);
        bytes.put_u64(self.chain.hash);
        bytes.freeze()
    }

    fn restore(&mut self, mut snapshot: &[u8]) -> Result<(), RestoreError> {
        if snapshot.len() != 24 {
            return Err(RestoreError("not a chain".to_owned()));
        }
        self.chain = Chain {
            index: snapshot.get_u64(),
            count: snapshot.get_u64(),
            hash: snapshot.get_u64(),
        };
        self.history.restored(self.node, self.chain);
        Ok(())
    }
}
