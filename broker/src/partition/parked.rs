//! Fetches that wait for records (`fetch.min.bytes`, `fetch.max.wait.ms`).
//!
//! A fetch registers with every partition that it asks for; each append adds its bytes to all fetches
//! registered there, and a fetch wakes when it has been told of enough. Nothing unregisters: a partition
//! drops what is no longer waited for when it next looks at its list, which is at most twice as long as
//! what is alive.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::Notify;

/// A list is looked through once it is this long, and after that whenever it has doubled.
const FIRST_SWEEP_AT: usize = 16;

/// A fetch that waits.
#[derive(Debug)]
pub struct ParkedFetch {
    min_bytes: usize,
    told_bytes: AtomicUsize,
    changed: AtomicBool,
    wake: Notify,
}

impl ParkedFetch {
    /// A fetch that waits for `min_bytes`.
    pub fn new(min_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            min_bytes,
            told_bytes: AtomicUsize::new(0),
            changed: AtomicBool::new(false),
            wake: Notify::new(),
        })
    }

    /// Waits until enough bytes were appended since the last wake-up, or something else changed.
    pub async fn woken(&self) {
        loop {
            let notified = self.wake.notified();
            if self.changed.swap(false, SeqCst) || self.told_bytes.load(SeqCst) >= self.min_bytes {
                self.told_bytes.store(0, SeqCst);
                return;
            }
            notified.await;
        }
    }

    fn tell(&self, bytes: usize) {
        if self.told_bytes.fetch_add(bytes, SeqCst) + bytes >= self.min_bytes {
            self.wake.notify_one();
        }
    }

    fn tell_changed(&self) {
        self.changed.store(true, SeqCst);
        self.wake.notify_one();
    }
}

#[derive(Debug, Default)]
struct List {
    fetches: Vec<Weak<ParkedFetch>>,
    sweep_at: usize,
}

/// The fetches that wait for one partition.
#[derive(Debug, Default)]
pub struct Parked {
    list: Mutex<List>,
}

impl Parked {
    /// Registers a fetch.
    pub fn park(&self, fetch: &Arc<ParkedFetch>) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.fetches.len() >= list.sweep_at.max(FIRST_SWEEP_AT) {
            list.fetches.retain(|fetch| fetch.strong_count() > 0);
            list.sweep_at = list.fetches.len() * 2;
        }
        list.fetches.push(Arc::downgrade(fetch));
    }

    /// Tells all of bytes that can be read now.
    pub fn appended(&self, bytes: usize) {
        self.each(|fetch| fetch.tell(bytes));
    }

    /// Tells all to look again.
    pub fn changed(&self) {
        self.each(ParkedFetch::tell_changed);
    }

    fn each(&self, tell: impl Fn(&ParkedFetch)) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.fetches.retain(|fetch| match fetch.upgrade() {
            Some(fetch) => {
                tell(&fetch);
                true
            }
            None => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_woken(fetch: &Arc<ParkedFetch>) -> bool {
        let mut woken = tokio_test_poll(fetch);
        woken.take().is_some()
    }

    /// Polls the wait once.
    fn tokio_test_poll(fetch: &Arc<ParkedFetch>) -> Option<()> {
        use std::{future::Future, pin::pin, task::Context, task::Poll, task::Waker};
        let mut future = pin!(fetch.woken());
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(()) => Some(()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn bytes_of_several_partitions_add_up() {
        let (one, other) = (Parked::default(), Parked::default());
        let fetch = ParkedFetch::new(100);
        one.park(&fetch);
        other.park(&fetch);
        one.appended(60);
        assert!(!is_woken(&fetch));
        other.appended(60);
        assert!(is_woken(&fetch));
        assert!(!is_woken(&fetch));
    }

    #[test]
    fn a_change_wakes_whatever_was_asked_for() {
        let parked = Parked::default();
        let fetch = ParkedFetch::new(usize::MAX);
        parked.park(&fetch);
        parked.changed();
        assert!(is_woken(&fetch));
    }

    #[test]
    fn the_list_does_not_grow_with_fetches_that_are_over() {
        let parked = Parked::default();
        let alive = ParkedFetch::new(1);
        parked.park(&alive);
        for _ in 0..1000 {
            parked.park(&ParkedFetch::new(1));
        }
        assert!(parked.list.lock().unwrap().fetches.len() <= FIRST_SWEEP_AT);
        parked.appended(1);
        assert!(is_woken(&alive));
    }
}
