//! What the broker that decides proposes to the quorum's log, and what each node makes of it.
//!
//! ```text
//!   Command ─► commands::execute(image at N) ─► Proposal { base: N, records } ─► quorum's log
//!   each node: committed Proposal ─► Replicated::apply: at N? then the image after the records, at N + 1
//! ```
//!
//! A proposal names the number of changes that its image had seen. If another change was committed
//! meanwhile, because there is another leader now or the proposal was sent twice, nothing is applied,
//! and the command is decided again on the newest image. So it does not matter how often bytes are proposed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Image,
    records::{DecodeError, EncodedRecord, Record},
};

/// The version of proposals that is written, and the newest that is read.
pub const PROPOSAL_VERSION: u8 = 0;

/// The records of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Chosen by the proposer, never used before; by it a proposer that has lost the answer finds out whether
    /// its proposal was applied.
    pub id: Uuid,
    /// How many changes the image had seen on which the command was decided.
    pub base: u64,
    /// The change.
    pub records: Vec<Record>,
}

/// A proposal that does not fit: nothing is applied. This is the same on all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the metadata has moved from {base} to {changes} changes")]
pub struct Moved {
    /// What the proposal names.
    pub base: u64,
    /// How many changes there are.
    pub changes: u64,
    /// The proposal that was applied last. If that is the one that was refused, it was proposed twice.
    pub last: Uuid,
}

/// Bytes that this program does not understand. A node that meets them among what is committed must
/// stop: without them its metadata would differ from that of the others.
#[derive(Debug, thiserror::Error)]
pub enum ProposalDecodeError {
    /// There are no bytes at all.
    #[error("no proposal")]
    Empty,
    /// They were written by a newer version of the program.
    #[error("the proposal has version {0}, but this program reads up to {PROPOSAL_VERSION}")]
    NewerVersion(u8),
    /// They are not what the version promises.
    #[error("the proposal is damaged: {0}")]
    Malformed(String),
    /// One of the records.
    #[error(transparent)]
    Record(#[from] DecodeError),
    /// The records make no valid metadata.
    #[error("the snapshot holds invalid metadata: {0}")]
    Invalid(String),
}

/// Keys and values are text, as in the log of a single broker.
#[derive(Serialize, Deserialize)]
struct Stored {
    id: Uuid,
    base: u64,
    records: Vec<(String, Option<String>)>,
}

impl Proposal {
    /// The bytes to propose.
    pub fn encode(&self) -> Vec<u8> {
        encode(self.id, self.base, &self.records)
    }

    /// Reads what [`Proposal::encode`] wrote, or what an older version of it did.
    pub fn decode(bytes: &[u8]) -> Result<Proposal, ProposalDecodeError> {
        let (version, rest) = bytes.split_first().ok_or(ProposalDecodeError::Empty)?;
        if *version > PROPOSAL_VERSION {
            return Err(ProposalDecodeError::NewerVersion(*version));
        }
        let stored: Stored = ciborium::from_reader(rest)
            .map_err(|error| ProposalDecodeError::Malformed(error.to_string()))?;
        let records = stored.records.iter().map(|(key, value)| {
            let value = value.as_ref().map(String::as_bytes);
            Record::decode(key.as_bytes(), value)
        });
        Ok(Proposal {
            id: stored.id,
            base: stored.base,
            records: records.collect::<Result<_, _>>()?,
        })
    }
}

fn encode(id: Uuid, base: u64, records: &[Record]) -> Vec<u8> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("keys and JSON are text");
    let stored = |record: &Record| {
        let EncodedRecord { key, value } = record.encode();
        (text(&key), value.map(|value| text(&value)))
    };
    let stored = Stored {
        id,
        base,
        records: records.iter().map(stored).collect(),
    };
    let mut bytes = vec![PROPOSAL_VERSION];
    ciborium::into_writer(&stored, &mut bytes).expect("a vector takes all, and so does CBOR");
    bytes
}

/// The metadata as every node has it after the same committed proposals.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replicated {
    image: Arc<Image>,
    changes: u64,
    last: Uuid,
}

impl Replicated {
    /// The metadata after all proposals that were applied.
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// How many proposals were applied: the base of the next one.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Applies a committed proposal if it was decided on this very image.
    pub fn apply(&mut self, proposal: Proposal) -> Result<(), Moved> {
        let Proposal { id, base, records } = proposal;
        if base != self.changes {
            return Err(Moved {
                base,
                changes: self.changes,
                last: self.last,
            });
        }
        let image = Image::clone(&self.image);
        self.image = Arc::new(records.into_iter().fold(image, Image::apply));
        self.changes += 1;
        self.last = id;
        Ok(())
    }

    /// The state as bytes: a proposal that makes it from nothing.
    pub fn snapshot(&self) -> Vec<u8> {
        encode(self.last, self.changes, &self.image.to_records())
    }

    /// The state that [`Replicated::snapshot`] wrote, here or on another node.
    pub fn restore(snapshot: &[u8]) -> Result<Replicated, ProposalDecodeError> {
        let Proposal { id, base, records } = Proposal::decode(snapshot)?;
        let image = records.into_iter().fold(Image::default(), Image::apply);
        image.validate().map_err(ProposalDecodeError::Invalid)?;
        Ok(Replicated {
            image: Arc::new(image),
            changes: base,
            last: id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::commands::{
        self, Command, CreateTopics, DeleteTopics, FenceBroker,
        testing::{CONDITIONS, DEFAULTS, image_with_brokers, new_topic},
    };

    fn create(name: &str) -> Command {
        let request = CreateTopics {
            topics: vec![new_topic(name)],
            defaults: DEFAULTS,
            validate_only: false,
        };
        request.into()
    }

    fn decide(state: &Replicated, id: u128, command: &Command) -> Proposal {
        let decision = commands::execute(state.image(), command, &CONDITIONS);
        Proposal {
            id: Uuid::from_u128(id),
            base: state.changes(),
            records: decision.records,
        }
    }

    fn founded() -> Replicated {
        let mut state = Replicated::default();
        let founding = Proposal {
            id: Uuid::from_u128(1),
            base: 0,
            records: image_with_brokers(3).to_records(),
        };
        state.apply(founding).unwrap();
        state
    }

    #[test]
    fn of_two_proposals_on_one_image_the_first_is_applied() {
        let mut state = founded();
        let first = decide(&state, 2, &create("a"));
        let second = decide(&state, 3, &create("a"));
        state.apply(first.clone()).unwrap();
        let moved = state.apply(second).unwrap_err();
        assert_eq!((moved.base, moved.changes), (1, 2));
        assert_eq!(moved.last, first.id);
        // Decided again, the command meets the topic.
        assert_eq!(decide(&state, 4, &create("a")).records, []);
        // Proposed twice, the first tells by its id that it was applied.
        let again = state.apply(first.clone()).unwrap_err();
        assert_eq!(again.last, first.id);
        assert_eq!(state.image().topic_count(), 1);
    }

    #[test]
    fn nodes_with_the_same_proposals_are_the_same_also_from_a_snapshot() {
        let (mut one, mut other) = (founded(), founded());
        let fence = FenceBroker {
            broker_id: 0,
            broker_epoch: 0,
            is_silent: false,
        };
        for (id, command) in (2..).zip([create("a"), fence.into(), create("b")]) {
            let bytes = decide(&one, id, &command).encode();
            one.apply(Proposal::decode(&bytes).unwrap()).unwrap();
            other.apply(Proposal::decode(&bytes).unwrap()).unwrap();
            other = Replicated::restore(&other.snapshot()).unwrap();
        }
        assert_eq!(one, other);
        let ids = vec![one.image().topic("a").unwrap().id];
        let bytes = decide(&one, 9, &DeleteTopics { ids }.into()).encode();
        for state in [&mut one, &mut other] {
            state.apply(Proposal::decode(&bytes).unwrap()).unwrap();
        }
        assert_eq!(one, other);
        assert_eq!(one.image().topic_count(), 1);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        use ProposalDecodeError as Error;
        assert!(matches!(Proposal::decode(&[]), Err(Error::Empty)));
        let mut bytes = decide(&founded(), 2, &create("a")).encode();
        assert!(Proposal::decode(&bytes).is_ok());
        let cut = Proposal::decode(&bytes[..bytes.len() - 1]);
        assert!(matches!(cut, Err(Error::Malformed(_))));
        bytes[0] = PROPOSAL_VERSION + 1;
        assert!(matches!(
            Proposal::decode(&bytes),
            Err(Error::NewerVersion(1))
        ));
    }
}
