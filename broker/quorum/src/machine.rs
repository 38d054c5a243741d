//! The state machine that is handed in, with its position.
//!
//! The state lives in memory. After a restart it is the last snapshot plus the log up to the committed position.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};

use crate::snapshots::Snapshots;
use crate::store::Store;
use crate::types::{LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};

/// A snapshot that the state machine cannot read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot cannot be read: {0}")]
pub struct RestoreError(pub String);

/// Where a command is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The term of the leader that appended it. Never falls from one command to the next.
    pub term: u64,
    /// Its index. Rises from one command to the next, with gaps: the log also holds entries of the consensus itself.
    pub index: u64,
}

/// What the committed commands are for.
///
/// It must be deterministic: the same commands at the same positions give the same state and the same replies, on all
/// nodes, whatever was restored before. So it looks at no clock and draws no random number: what is needed of them is in
/// the command. It starts empty at every start of the node, and is then given the last snapshot and the commands since.
/// A command that makes no sense is answered, not refused: it is committed already. All calls come from one task at a
/// time on a thread of the runtime, and must not block.
pub trait StateMachine: Send + Sync + 'static {
    /// Takes a committed command, and returns the reply to its proposer (which is dropped on all nodes but the one that
    /// proposed, and after a restart). Called once for each command and state, in the log's order.
    fn apply(&mut self, position: Position, command: &[u8]) -> Bytes;

    /// The state as bytes, for [`Self::restore`]. Everything that [`Self::apply`] depends on must be in them.
    fn snapshot(&self) -> Bytes;

    /// Replaces the state, which may not be empty, by the one that [`Self::snapshot`] returned, here or on another node.
    ///
    /// # Errors
    /// The bytes are no such state; the node stops.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError>;
}

struct State {
    machine: Box<dyn StateMachine>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

/// The state machine as the consensus sees it. Clones share it.
#[derive(Clone)]
pub(crate) struct Machine {
    state: Arc<Mutex<State>>,
    snapshots: Arc<Snapshots>,
}

/// A state at one position, to be kept as the node's snapshot.
pub(crate) struct Builder {
    snapshots: Arc<Snapshots>,
    meta: SnapshotMeta,
    data: Bytes,
}

impl Machine {
    pub fn new(machine: Box<dyn StateMachine>, store: Arc<dyn Store>) -> Self {
        let state = State {
            machine,
            applied: None,
            membership: StoredMembership::default(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            snapshots: Arc::new(Snapshots::new(store)),
        }
    }

    #[cfg(test)]
    pub fn snapshot_bytes(&self) -> Bytes {
        self.state().machine.snapshot()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A machine that has panicked half-way must not be read; the core stops with the panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        self.snapshots.save(&self.meta, &self.data, false).await?;
        Ok(Snapshot {
            meta: self.meta.clone(),
            snapshot: self.data.clone(),
        })
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let state = self.state();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let reply = {
                let mut state = self.state();
                let reply = match &entry.payload {
                    EntryPayload::Blank => Bytes::new(),
                    EntryPayload::Normal(command) => {
                        let position = Position {
                            term: entry.log_id.leader_id.term,
                            index: entry.log_id.index,
                        };
                        state.machine.apply(position, &command.0)
                    }
                    EntryPayload::Membership(members) => {
                        state.membership =
                            StoredMembership::new(Some(entry.log_id), members.clone());
                        Bytes::new()
                    }
                };
                state.applied = Some(entry.log_id);
                reply
            };
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let state = self.state();
        Builder {
            snapshots: Arc::clone(&self.snapshots),
            meta: SnapshotMeta {
                last_log_id: state.applied,
                last_membership: state.membership.clone(),
            },
            data: state.machine.snapshot(),
        }
    }

    /// Kept before it is taken, so that a crash never leaves a log that begins after the snapshot.
    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        data: Bytes,
    ) -> Result<(), io::Error> {
        self.snapshots.save(meta, &data, true).await?;
        let mut state = self.state();
        state.machine.restore(&data).map_err(io::Error::other)?;
        state.applied = meta.last_log_id;
        state.membership = meta.last_membership.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(self.snapshots.load().await?)
    }
}
