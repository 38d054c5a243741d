//! Known mistakes, compiled in by the feature `mistakes` only, to see that tests find them. The environment variable
//! `FJORD_MISTAKE` names the one that is made; without it all is as it should be.

use std::sync::OnceLock;

/// The vote is not synced before it is given: after a power cut, a node votes again in the same term.
pub const VOTE_NOT_SYNCED: &str = "vote-not-synced";
/// Entries count as durable once they are written: a power cut takes back what was committed.
pub const APPEND_NOT_SYNCED: &str = "append-not-synced";
/// A node with a new, empty disk is taken for the voter that it was before.
pub const NEW_DISK_ACCEPTED: &str = "new-disk-accepted";

/// Whether this run makes this mistake.
pub fn made(mistake: &str) -> bool {
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("FJORD_MISTAKE").ok());
    chosen.as_deref() == Some(mistake)
}
