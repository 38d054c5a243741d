//! The metadata as this node has it from the quorum: the newest state, and what changed since it was last published.
//!
//! ```text
//!   quorum ─► Machine::apply ─► Committed: newest state, touched ─► publisher ─► observers ─► readers
//! ```
//!
//! The quorum's state machine must not block, so all that it does here is to fold records in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fjord_quorum::{Position, RestoreError, StateMachine};
use tokio::sync::watch;

use super::reply::Reply;
use crate::metadata::{
    Image,
    delta::Touched,
    proposal::{Proposal, Replicated},
};

/// What has been committed, shared by the state machine and those who read it.
pub struct Committed {
    state: Mutex<State>,
    /// How many changes were applied.
    applied: watch::Sender<u64>,
    /// Why this node cannot go on.
    failure: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct State {
    replicated: Replicated,
    touched: Touched,
    /// The state was replaced by a snapshot's, so what was touched is not known.
    is_replaced: bool,
}

/// The newest image, and what differs from the one that was taken before.
pub struct Taken {
    /// The image.
    pub image: Arc<Image>,
    /// How many changes it has seen.
    pub changes: u64,
    /// What was touched; nothing if that is not known.
    pub touched: Option<Touched>,
}

impl Committed {
    /// No metadata yet.
    pub fn new() -> Arc<Committed> {
        Arc::new(Committed {
            state: Mutex::default(),
            applied: watch::Sender::new(0),
            failure: watch::Sender::new(None),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest state.
    pub fn state(&self) -> Replicated {
        self.lock().replicated.clone()
    }

    /// The newest image.
    pub fn image(&self) -> Arc<Image> {
        Arc::clone(self.lock().replicated.image())
    }

    /// How many changes were applied, now and later.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// Why this node cannot go on, if it cannot.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.subscribe()
    }

    /// The newest image with what was touched since the last call.
    pub fn take(&self) -> Taken {
        let mut state = self.lock();
        let touched = std::mem::take(&mut state.touched);
        let is_known = !std::mem::take(&mut state.is_replaced);
        Taken {
            image: Arc::clone(state.replicated.image()),
            changes: state.replicated.changes(),
            touched: is_known.then_some(touched),
        }
    }

    /// Takes a committed proposal.
    pub fn apply(&self, proposal: Proposal) -> Reply {
        let mut state = self.lock();
        if proposal.base == state.replicated.changes() {
            for record in &proposal.records {
                state.touched.note(record);
            }
        }
        match state.replicated.apply(proposal) {
            Ok(()) => {
                let changes = state.replicated.changes();
                drop(state);
                self.applied.send_replace(changes);
                Reply::Applied(changes)
            }
            Err(moved) => Reply::Moved(moved.last),
        }
    }

    fn replace(&self, replicated: Replicated) {
        let mut state = self.lock();
        let changes = replicated.changes();
        state.replicated = replicated;
        state.is_replaced = true;
        drop(state);
        self.applied.send_replace(changes);
    }
}

/// The metadata as the quorum's state machine.
pub struct Machine(pub Arc<Committed>);

impl StateMachine for Machine {
    /// # Panics
    /// The bytes are not understood: a newer program wrote them. To go on without them would make this node's metadata
    /// differ from that of all others. The quorum applies nothing more then, and makes no snapshot; the broker ends.
    fn apply(&mut self, _position: Position, command: &[u8]) -> Bytes {
        match Proposal::decode(command) {
            Ok(proposal) => self.0.apply(proposal).encode(),
            Err(error) => {
                let reason =
                    format!("a committed change of the metadata is not understood: {error}");
                self.0.failure.send_replace(Some(reason.clone()));
                panic!("{reason}");
            }
        }
    }

    fn snapshot(&self) -> Bytes {
        self.0.state().snapshot().into()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        match Replicated::restore(snapshot) {
            Ok(replicated) => {
                self.0.replace(replicated);
                Ok(())
            }
            Err(error) => {
                let reason = format!("a snapshot of the metadata is not understood: {error}");
                self.0.failure.send_replace(Some(reason.clone()));
                Err(RestoreError(reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::metadata::{
        Delta,
        commands::testing::{create, image_with_brokers},
    };

    const AT: Position = Position { term: 1, index: 1 };

    fn bytes(id: u128, base: u64, image: &Image) -> Vec<u8> {
        let proposal = Proposal {
            id: Uuid::from_u128(id),
            base,
            records: image.to_records(),
        };
        proposal.encode()
    }

    fn apply(machine: &mut Machine, bytes: &[u8]) -> Reply {
        Reply::decode(&machine.apply(AT, bytes)).unwrap()
    }

    #[test]
    fn what_is_taken_is_all_that_came_since() {
        let committed = Committed::new();
        let mut machine = Machine(Arc::clone(&committed));
        let brokers = image_with_brokers(1);
        let topics = create(&brokers, "t");
        assert_eq!(
            apply(&mut machine, &bytes(1, 0, &brokers)),
            Reply::Applied(1)
        );
        let moved = Reply::Moved(Uuid::from_u128(1));
        assert_eq!(apply(&mut machine, &bytes(2, 0, &topics)), moved);
        assert_eq!(
            apply(&mut machine, &bytes(3, 1, &topics)),
            Reply::Applied(2)
        );
        let taken = committed.take();
        assert_eq!((taken.changes, *committed.applied().borrow()), (2, 2));
        let touched = taken.touched.unwrap();
        let delta = Delta::between(&Image::default(), &taken.image, &touched);
        assert_eq!(delta.topics_created.len(), 1);
        let again = committed.take();
        let none = Delta::between(&taken.image, &again.image, &again.touched.unwrap());
        assert_eq!(none, Delta::default());
    }

    #[test]
    fn after_a_snapshot_everything_may_differ() {
        let topics = create(&image_with_brokers(1), "t");
        let mut source = Machine(Committed::new());
        apply(&mut source, &bytes(1, 0, &topics));
        let committed = Committed::new();
        let mut machine = Machine(Arc::clone(&committed));
        machine.restore(&source.snapshot()).unwrap();
        let taken = committed.take();
        assert_eq!(taken.changes, 1);
        assert!(taken.touched.is_none());
        let touched = Touched::everything(&Image::default(), &taken.image);
        let delta = Delta::between(&Image::default(), &taken.image, &touched);
        assert_eq!(delta.topics_created.len(), 1);
        assert!(machine.restore(b"no").is_err());
        assert!(committed.failure().borrow().is_some());
    }

    #[test]
    #[should_panic(expected = "not understood")]
    fn a_change_that_is_not_understood_ends_the_node() {
        Machine(Committed::new()).apply(AT, &[255]);
    }
}
