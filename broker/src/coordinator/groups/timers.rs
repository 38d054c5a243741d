//! The deadlines of all groups of a shard, in one ordered set.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What is due at a deadline.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// A member of a group (or one that has not joined yet) was silent for its session.
    Session(Arc<str>, Arc<str>),
    /// The join phase of a group's rebalance ends.
    Join(Arc<str>),
    /// The sync phase of a group's rebalance ends.
    Sync(Arc<str>),
    /// Look for expired offsets.
    Expiry,
}

/// Deadlines by time and by what they are for; each timer has at most one.
#[derive(Debug, Default)]
pub struct Timers {
    by_time: BTreeSet<(u64, Timer)>,
    by_timer: HashMap<Timer, u64>,
}

impl Timers {
    /// Sets or moves a deadline.
    pub fn schedule(&mut self, timer: Timer, deadline_ms: u64) {
        self.cancel(&timer);
        self.by_timer.insert(timer.clone(), deadline_ms);
        self.by_time.insert((deadline_ms, timer));
    }

    /// Removes a deadline if it is there.
    pub fn cancel(&mut self, timer: &Timer) {
        if let Some((timer, deadline_ms)) = self.by_timer.remove_entry(timer) {
            self.by_time.remove(&(deadline_ms, timer));
        }
    }

    /// Takes the earliest timer that is due.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<Timer> {
        if self.next_deadline_ms()? > now_ms {
            return None;
        }
        let (_, timer) = self.by_time.pop_first()?;
        self.by_timer.remove(&timer);
        Some(timer)
    }

    /// The earliest deadline.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.by_time.first().map(|(deadline_ms, _)| *deadline_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_has_one_deadline_and_timers_come_in_order() {
        let mut timers = Timers::default();
        let join = Timer::Join("g".into());
        let sync = Timer::Sync("g".into());
        timers.schedule(join.clone(), 10);
        timers.schedule(sync.clone(), 20);
        timers.schedule(join.clone(), 30);
        assert_eq!(timers.next_deadline_ms(), Some(20));
        assert_eq!(timers.pop_due(19), None);
        assert_eq!(timers.pop_due(30), Some(sync));
        timers.schedule(Timer::Expiry, 25);
        timers.cancel(&Timer::Expiry);
        assert_eq!(timers.pop_due(30), Some(join));
        assert_eq!(timers.next_deadline_ms(), None);
    }
}
