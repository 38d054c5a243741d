//! Waiting for several outcomes at once with one allocation for all, and one wake-up.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Hands out slots, and is ready when all are filled.
pub struct Gather<T> {
    shared: Arc<Mutex<Outcomes<T>>>,
}

struct Outcomes<T> {
    slots: Vec<Option<T>>,
    open: usize,
    done: Option<oneshot::Sender<Vec<Option<T>>>>,
}

/// The place of one outcome. Dropped unfilled it counts as none.
pub struct Slot<T> {
    shared: Arc<Mutex<Outcomes<T>>>,
    index: usize,
}

impl<T: Send + 'static> Gather<T> {
    /// No slots yet.
    pub fn new() -> Self {
        let outcomes = Outcomes {
            slots: Vec::new(),
            // The gatherer itself, until it waits.
            open: 1,
            done: None,
        };
        Self {
            shared: Arc::new(Mutex::new(outcomes)),
        }
    }

    /// One more slot; outcomes come in the order of these calls.
    pub fn slot(&mut self) -> Slot<T> {
        let mut outcomes = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.slots.push(None);
        outcomes.open += 1;
        Slot {
            shared: Arc::clone(&self.shared),
            index: outcomes.slots.len() - 1,
        }
    }

    /// All outcomes, once the last slot is filled or dropped.
    pub fn finish(self) -> impl Future<Output = Vec<Option<T>>> + Send + 'static {
        let (sender, receiver) = oneshot::channel();
        {
            let mut outcomes = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            outcomes.done = Some(sender);
        }
        close_one(&self.shared);
        async move { receiver.await.unwrap_or_default() }
    }
}

impl<T> Slot<T> {
    /// The place of this slot's outcome among all.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Fills the slot.
    pub fn fill(self, outcome: T) {
        let mut outcomes = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.slots[self.index] = Some(outcome);
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        close_one(&self.shared);
    }
}

fn close_one<T>(shared: &Mutex<Outcomes<T>>) {
    let mut outcomes = shared.lock().unwrap_or_else(PoisonError::into_inner);
    outcomes.open -= 1;
    if outcomes.open == 0
        && let Some(done) = outcomes.done.take()
    {
        // Nobody waits any more if the connection is gone.
        let _ = done.send(std::mem::take(&mut outcomes.slots));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn outcomes_come_in_the_order_of_slots_whoever_is_first() {
        let mut gather = Gather::new();
        let (one, two, three) = (gather.slot(), gather.slot(), gather.slot());
        three.fill(3);
        let all = gather.finish();
        one.fill(1);
        drop(two);
        assert_eq!(all.await, [Some(1), None, Some(3)]);
    }

    #[tokio::test]
    async fn without_slots_there_is_nothing_to_wait_for() {
        assert_eq!(Gather::<u8>::new().finish().await, []);
    }
}
