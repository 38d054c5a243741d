//! How long something that may succeed later is tried again, and how long between two tries.

use std::time::{Duration, Instant};

use crate::{Result, error::Error};

/// The pause after the first failure; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Counts failures in a row.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    failing_since: Option<Instant>,
    failures: u32,
}

impl Patience {
    /// Gives up when nothing has succeeded for `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            failing_since: None,
            failures: 0,
        }
    }

    pub(crate) fn succeeded(&mut self) {
        self.failing_since = None;
        self.failures = 0;
    }

    /// How long to wait before the next try, or nothing if it is time to give up.
    pub(crate) fn failed(&mut self, now: Instant) -> Option<Duration> {
        let since = *self.failing_since.get_or_insert(now);
        let pause = pause(self.failures);
        self.failures = self.failures.saturating_add(1);
        (now.saturating_duration_since(since) + pause <= self.limit).then_some(pause)
    }

    /// Waits for the next try, if the error may pass and there is patience left.
    ///
    /// # Errors
    ///
    /// `error` itself if not.
    pub(crate) async fn wait(&mut self, error: Error) -> Result<()> {
        if !error.is_retriable() {
            return Err(error);
        }
        match self.failed(Instant::now()) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(error),
        }
        Ok(())
    }
}

/// The pause after so many failures before this one.
pub(crate) fn pause(failures: u32) -> Duration {
    // Beyond 2^10 the longest pause is reached long since.
    (FIRST_PAUSE * 2_u32.pow(failures.min(10))).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_patience_ends() {
        let start = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(5));
        assert_eq!(patience.failed(start), Some(FIRST_PAUSE));
        assert_eq!(patience.failed(start), Some(FIRST_PAUSE * 2));
        for _ in 0..40 {
            assert!(
                patience
                    .failed(start)
                    .is_some_and(|pause| pause <= LONGEST_PAUSE)
            );
        }
        assert_eq!(patience.failed(start + Duration::from_secs(5)), None);
        patience.succeeded();
        let later = start + Duration::from_secs(6);
        assert_eq!(patience.failed(later), Some(FIRST_PAUSE));
    }

    #[test]
    fn no_patience_is_no_second_try() {
        assert_eq!(Patience::new(Duration::ZERO).failed(Instant::now()), None);
    }
}
