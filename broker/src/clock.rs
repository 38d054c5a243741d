//! The time as records and files carry it. Decisions take it as a value; only the edges ask for it here.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 by the system's clock; 0 if that stands before then.
pub fn now_ms() -> i64 {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
