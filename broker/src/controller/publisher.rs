//! Publishes what was committed: the newest image at a time, to the observers first and then to everyone.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::committed::{Committed, Taken};
use crate::metadata::{Delta, Image, ImageObserver, delta::Touched};

/// What is published.
#[derive(Clone)]
pub struct Published {
    /// The newest image that all observers have acted on.
    pub images: Arc<watch::Sender<Arc<Image>>>,
    /// How many changes it has seen.
    pub changes: Arc<watch::Sender<u64>>,
}

impl Published {
    /// Nothing yet.
    pub fn new() -> Published {
        Published {
            images: Arc::new(watch::Sender::new(Arc::default())),
            changes: Arc::new(watch::Sender::new(0)),
        }
    }
}

/// Publishes until `stop` is cancelled. Observers may take milliseconds and more, so they are called on a thread for
/// blocking work; what is committed meanwhile is published at once afterwards.
pub async fn publish(
    committed: Arc<Committed>,
    observer: Arc<dyn ImageObserver>,
    published: Published,
    stop: CancellationToken,
) {
    let mut applied = committed.applied();
    let mut is_first = true;
    loop {
        // Marked as seen before it is taken: a change in between is taken twice rather than never.
        applied.borrow_and_update();
        let taken = committed.take();
        if is_first || taken.changes != *published.changes.borrow() {
            let old = Arc::clone(&published.images.borrow());
            let (observer, first) = (Arc::clone(&observer), is_first);
            let observed =
                tokio::task::spawn_blocking(move || observe(&*observer, &old, taken, first));
            match observed.await {
                Ok((image, changes)) => {
                    published.images.send_replace(image);
                    published.changes.send_replace(changes);
                    debug!(changes, "metadata published");
                }
                Err(failed) => {
                    // Whoever waits for this change learns that it does not come.
                    error!(%failed, "acting on a change of the metadata ended");
                    return;
                }
            }
            is_first = false;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = applied.changed() => if changed.is_err() { return },
        }
    }
}

fn observe(
    observer: &dyn ImageObserver,
    old: &Image,
    taken: Taken,
    is_first: bool,
) -> (Arc<Image>, u64) {
    let Taken {
        image,
        changes,
        touched,
    } = taken;
    let delta = if is_first {
        Delta::from_nothing(&image)
    } else {
        let touched = touched.unwrap_or_else(|| Touched::everything(old, &image));
        Delta::between(old, &image, &touched)
    };
    observer.before_publish(old, &image, &delta);
    (image, changes)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use uuid::Uuid;

    use super::*;
    use crate::metadata::{
        commands::testing::{create, image_with_brokers},
        proposal::Proposal,
    };

    #[derive(Default)]
    struct Recorder(Mutex<Vec<Delta>>);

    impl ImageObserver for Arc<Recorder> {
        fn before_publish(&self, _: &Image, _: &Image, delta: &Delta) {
            self.0.lock().unwrap().push(delta.clone());
        }
    }

    fn apply(committed: &Committed, base: u64, image: &Image) {
        let id = Uuid::from_u128(base.into());
        let records = image.to_records();
        committed.apply(Proposal { id, base, records });
    }

    #[tokio::test]
    async fn observers_see_all_there_is_and_then_each_change() {
        let committed = Committed::new();
        let brokers = image_with_brokers(1);
        let one = create(&brokers, "one");
        apply(&committed, 0, &one);
        let (published, stop) = (Published::new(), CancellationToken::new());
        let seen = Arc::new(Recorder::default());
        let observer: Arc<dyn ImageObserver> = Arc::new(Arc::clone(&seen));
        let task = publish(
            Arc::clone(&committed),
            observer,
            published.clone(),
            stop.clone(),
        );
        let task = tokio::spawn(task);
        let mut changes = published.changes.subscribe();
        changes.wait_for(|changes| *changes == 1).await.unwrap();
        apply(&committed, 1, &create(&one, "other"));
        changes.wait_for(|changes| *changes == 2).await.unwrap();
        assert_eq!(published.images.borrow().topic_count(), 2);
        stop.cancel();
        task.await.unwrap();
        let seen = seen.0.lock().unwrap();
        let created: Vec<usize> = seen
            .iter()
            .map(|delta| delta.topics_created.len())
            .collect();
        assert_eq!(created, [1, 1]);
    }
}
