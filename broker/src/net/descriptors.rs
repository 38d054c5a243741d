//! File descriptors: how many this process may have, and how many of them connections may take.
//!
//! A connection that comes too late is turned away while there still are descriptors for the log's
//! files; if accepting failed for want of them instead, so would the log.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The part of all descriptors that is kept for files and for HTTP and gRPC: one in so many.
const KEPT_PART: u64 = 4;

/// What is kept at least.
const KEPT_MIN: u64 = 256;

/// Raises the limit of descriptors as far as the system lets this process do it. Systems start
/// programs with a low one only for the sake of those that still use `select`.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(failed) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%failed, limit = limit.current, "cannot raise the limit of file descriptors");
    }
}

/// The most connections that this process has descriptors for.
pub(super) fn max_connections() -> usize {
    getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, left_for_connections)
}

fn left_for_connections(descriptors: u64) -> usize {
    let kept = (descriptors / KEPT_PART).max(KEPT_MIN);
    usize::try_from(descriptors.saturating_sub(kept)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_keep_their_part() {
        assert_eq!(left_for_connections(100_000), 75_000);
        assert_eq!(left_for_connections(1024), 768);
        assert_eq!(left_for_connections(512), 256);
        assert_eq!(left_for_connections(100), 0);
    }
}
