//! Record batches (format v2): the rope that carries them through the broker.

mod rope;

pub use rope::Records;
