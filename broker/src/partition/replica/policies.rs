//! What a topic's configs mean for cleaning up a log. Pure.

use fjord_log::{CompactionPolicy, RetentionPolicy};

use crate::config::{CleanerConfig, TopicConfig};

/// What goes by age and size (`cleanup.policy=delete`).
pub(super) fn retention(config: &TopicConfig) -> Option<RetentionPolicy> {
    config.cleanup_policy.delete.then(|| RetentionPolicy {
        max_age_ms: u64::try_from(config.retention_ms).ok(),
        max_bytes: u64::try_from(config.retention_bytes).ok(),
    })
}

/// What goes because newer records have its key (`cleanup.policy=compact`).
pub(super) fn compaction(
    config: &TopicConfig,
    cleaner: &CleanerConfig,
) -> Option<CompactionPolicy> {
    let milliseconds = |value: i64| u64::try_from(value).unwrap_or(0);
    let is_on = config.cleanup_policy.compact && cleaner.enabled;
    is_on.then(|| CompactionPolicy {
        min_dirty_ratio: config.min_cleanable_dirty_ratio,
        min_lag_ms: milliseconds(config.min_compaction_lag_ms),
        max_lag_ms: milliseconds(config.max_compaction_lag_ms),
        delete_retention_ms: milliseconds(config.delete_retention_ms),
        dedupe_bytes: cleaner.dedupe_buffer_bytes,
    })
}
