//! Coordinators: pure state machines over one runtime that replays, parks and expires.

pub mod groups;
pub mod observer;
pub mod runtime;
pub mod shard;
#[cfg(test)]
pub(crate) mod testing;
