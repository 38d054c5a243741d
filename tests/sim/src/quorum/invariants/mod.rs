//! What must hold of the quorum, whatever happens. Each takes what was seen, and says what is wrong with it.

mod acknowledged;
mod one_leader;
mod one_sequence;
mod refused;

pub use acknowledged::Acknowledged;
pub use one_leader::OneLeader;
pub use one_sequence::OneSequence;
pub use refused::Refused;
