//! What a coordinator's state machine is to the runtime that hosts it.
//!
//! A shard holds the state of one partition of a coordinator's topic. It is a pure machine: every
//! call gets the time and gives back a [`Step`]; the runtime does the rest.
//!
//! ```text
//!   request, time ──► Shard ──► Step { records ──► log, replies now, replies once durable }
//! ```
//!
//! A step changes the shard's memory before its records are durable. Whatever may tell a client
//! about such a change goes into [`Step::held`]: it leaves when every record appended so far is
//! durable, or turns into an error when one of them could not be written.

use bytes::Bytes;
use thiserror::Error;

/// Names a request inside a shard until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Numbers the appends of a shard, upwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppendId(pub u64);

/// The time of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970: for what is stored and shown.
    pub wall_ms: i64,
    /// Milliseconds of a clock that never jumps, from any start: for deadlines.
    pub monotonic_ms: u64,
}

/// A key and a value to append; no value is a tombstone, which compaction removes in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The encoded key.
    pub key: Bytes,
    /// The encoded value, or a tombstone.
    pub value: Option<Bytes>,
}

/// What a call of a shard wants done.
#[derive(Debug)]
pub struct Step<R> {
    /// Records to append in this order, and the number of this append. The shard must be told the
    /// outcome by [`Shard::appended`].
    pub append: Option<(AppendId, Vec<Record>)>,
    /// Replies to send now.
    pub replies: Vec<(Token, R)>,
    /// Replies to send once everything appended so far is durable, this step's records included.
    pub held: Vec<(Token, R)>,
}

/// How a shard's memory relates to its log after a failed append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterAppend {
    /// Memory holds nothing that was not written.
    Consistent,
    /// The shard must be thrown away and replayed from its log.
    Reload,
}

/// A stored record that a shard cannot take in.
#[derive(Debug, Error)]
#[error("a stored coordinator record cannot be read: {reason}")]
pub struct ReplayError {
    /// What is wrong with it.
    pub reason: String,
}

/// The state machine of one partition of a coordinator's topic.
pub trait Shard: Send + 'static {
    /// What can be asked.
    type Request: Send;
    /// What is answered.
    type Reply: Send + 'static;

    /// Takes in one stored record, in the order of the log.
    ///
    /// # Errors
    /// If the record is of a kind that the shard knows and cannot be read.
    fn replay(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), ReplayError>;

    /// Starts work after the replay, which is when timers begin.
    fn loaded(&mut self, now: Now) -> Step<Self::Reply>;

    /// Handles a request. Its reply comes with this step or with a later one.
    fn handle(&mut self, token: Token, request: Self::Request, now: Now) -> Step<Self::Reply>;

    /// Handles the timers that are due.
    fn tick(&mut self, now: Now) -> Step<Self::Reply>;

    /// When the next timer is due, on the clock of [`Now::monotonic_ms`].
    fn next_deadline_ms(&self) -> Option<u64>;

    /// Learns the outcome of an append. Outcomes come in the order of the appends.
    fn appended(&mut self, append: AppendId, written: bool) -> AfterAppend;
}
