//! The time as records and files carry it. Decisions take it as a value; only the edges ask for it here.

use std::{
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

/// Milliseconds since 1970 by the system's clock; 0 if that stands before then.
pub fn now_ms() -> i64 {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds by a clock that never goes back, since some moment of this process. It is the runtime's clock, which
/// stands still where a test has paused it.
pub fn monotonic_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = Instant::now().saturating_duration_since(*START.get_or_init(Instant::now));
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
