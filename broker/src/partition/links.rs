//! How a partition tells the streams to its followers that there is more to send.
//!
//! A stream carries many partitions. Each has a [`Link`] in the stream's [`Outbox`], which it marks when its log has
//! grown; the stream takes marked links out in turn, those of in-sync replicas first, so that catching up never
//! holds up what producers wait for. The others are taken out as fast as they may be filled.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// The links of a stream that have something to send.
#[derive(Debug, Default)]
pub struct Outbox {
    marked: Mutex<Marked>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Marked {
    in_sync: VecDeque<Arc<Link>>,
    catching_up: VecDeque<Arc<Link>>,
}

/// One partition of a stream.
#[derive(Debug)]
pub struct Link {
    /// The partition's number in the stream.
    pub handle: u32,
    /// The follower's broker.
    pub follower: i32,
    outbox: Arc<Outbox>,
    is_marked: AtomicBool,
    is_in_sync: AtomicBool,
    is_closed: AtomicBool,
}

impl Link {
    /// A link that is not marked.
    pub fn new(outbox: &Arc<Outbox>, handle: u32, follower: i32) -> Arc<Self> {
        Arc::new(Self {
            handle,
            follower,
            outbox: Arc::clone(outbox),
            is_marked: AtomicBool::new(false),
            is_in_sync: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        })
    }

    /// There is something to send.
    pub fn mark(self: &Arc<Self>) {
        if self.is_marked.swap(true, SeqCst) {
            return;
        }
        let mut marked = self.outbox.lock();
        match self.is_in_sync.load(SeqCst) || self.is_closed() {
            true => marked.in_sync.push_back(Arc::clone(self)),
            false => marked.catching_up.push_back(Arc::clone(self)),
        }
        drop(marked);
        self.outbox.wake.notify_one();
    }

    /// Whether the follower is an in-sync replica.
    pub fn set_in_sync(self: &Arc<Self>, is_in_sync: bool) {
        self.is_in_sync.store(is_in_sync, SeqCst);
        if is_in_sync {
            // Producers wait for what is marked already, too.
            let mut marked = self.outbox.lock();
            let is_this = |link: &Arc<Self>| Arc::ptr_eq(link, self);
            if let Some(at) = marked.catching_up.iter().position(is_this) {
                let link = marked.catching_up.remove(at);
                marked.in_sync.extend(link);
                drop(marked);
                self.outbox.wake.notify_one();
            }
        }
    }

    /// What [`Link::set_in_sync`] was told last.
    pub fn is_in_sync(&self) -> bool {
        self.is_in_sync.load(SeqCst)
    }

    /// Nothing is sent any more: this broker does not lead the partition in that epoch any longer.
    pub fn close(self: &Arc<Self>) {
        self.is_closed.store(true, SeqCst);
        self.mark();
    }

    /// Whether [`Link::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(SeqCst)
    }
}

impl Outbox {
    /// The next marked link, whose mark is taken away: whoever takes it sends what there is. One that catches up
    /// is not taken before the time that `catch_up_at` says.
    pub async fn next(&self, catch_up_at: impl Fn() -> Instant) -> Arc<Link> {
        loop {
            let woken = self.wake.notified();
            let at = catch_up_at();
            match self.take(at <= Instant::now()) {
                Next::Link(link) => return link,
                Next::Later => {
                    // Woken or not: it is looked again.
                    let _ = timeout_at(at, woken).await;
                }
                Next::Nothing => woken.await,
            }
        }
    }

    fn take(&self, catches_up: bool) -> Next {
        let mut marked = self.lock();
        let mut next = marked.in_sync.pop_front();
        if catches_up {
            next = next.or_else(|| marked.catching_up.pop_front());
        }
        match next {
            Some(link) => {
                link.is_marked.store(false, SeqCst);
                Next::Link(link)
            }
            None if marked.catching_up.is_empty() => Next::Nothing,
            None => Next::Later,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Marked> {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What there is to send.
enum Next {
    Link(Arc<Link>),
    /// Something for replicas that catch up, later.
    Later,
    Nothing,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_link_is_marked_once_and_in_sync_replicas_come_first() {
        let outbox = Arc::new(Outbox::default());
        let [slow, fast] = [1, 2].map(|handle| Link::new(&outbox, handle, 7));
        fast.set_in_sync(true);
        slow.mark();
        slow.mark();
        fast.mark();
        assert_eq!(taken(&outbox, true), [2, 1]);
        slow.mark();
        assert_eq!(taken(&outbox, true), [1]);
    }

    #[test]
    fn what_catches_up_waits_until_it_may_or_is_in_sync() {
        let outbox = Arc::new(Outbox::default());
        let [slow, other] = [1, 2].map(|handle| Link::new(&outbox, handle, 7));
        slow.mark();
        other.mark();
        assert!(matches!(outbox.take(false), Next::Later));
        slow.set_in_sync(true);
        assert_eq!(taken(&outbox, false), [1]);
        assert_eq!(taken(&outbox, true), [2]);
        assert!(matches!(outbox.take(false), Next::Nothing));
    }

    #[tokio::test]
    async fn the_next_is_taken_when_it_is_time() {
        let outbox = Arc::new(Outbox::default());
        let link = Link::new(&outbox, 1, 7);
        link.mark();
        let at = Instant::now() + Duration::from_millis(30);
        assert_eq!(outbox.next(|| at).await.handle, 1);
        assert!(Instant::now() >= at);
    }

    fn taken(outbox: &Outbox, catches_up: bool) -> Vec<u32> {
        let next = || match outbox.take(catches_up) {
            Next::Link(link) => Some(link.handle),
            Next::Later | Next::Nothing => None,
        };
        std::iter::from_fn(next).collect()
    }
}
