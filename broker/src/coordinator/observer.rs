//! What the metadata tells the group coordinator: that `__consumer_offsets` exists, and which topics are
//! gone.
//!
//! ```text
//!   MetadataStore ─► GroupsObserver (notes deleted topics) ──┐ wakes
//!        └─► published images ─────────────────────────► run ─► Groups: open, close, topics_deleted
//! ```
//!
//! The coordinator acts after the publication and not before it: it writes to a topic of the image, and
//! removing the offsets of deleted topics takes longer than an observer may. Offsets carry the id of
//! their topic, so nothing of a deleted topic shows in the meantime.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::groups::Groups;
use crate::metadata::{Delta, Image, ImageObserver, MetadataStore, topic_name};

/// Deleted topics that wait for the coordinator. Beyond that their offsets are left to expire.
const MAX_WAITING_TOPICS: usize = 100_000;

/// Notes what the coordinator has to act on, and has it act. Clones are one.
#[derive(Clone, Default)]
pub struct GroupsObserver {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Names and ids.
    deleted: Mutex<Vec<(String, Uuid)>>,
    has_deleted: Notify,
}

impl ImageObserver for GroupsObserver {
    fn before_publish(&self, _old: &Image, _new: &Image, delta: &Delta) {
        if delta.topics_deleted.is_empty() {
            return;
        }
        let mut deleted = self
            .inner
            .deleted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let room = MAX_WAITING_TOPICS.saturating_sub(deleted.len());
        let left_out = delta.topics_deleted.len().saturating_sub(room);
        let topics = delta.topics_deleted.iter().take(room);
        deleted.extend(topics.map(|topic| (topic.name.to_string(), topic.id)));
        drop(deleted);
        if left_out > 0 {
            warn!(
                topics = left_out,
                "offsets of deleted topics are left to expire"
            );
        }
        self.inner.has_deleted.notify_one();
    }
}

impl GroupsObserver {
    /// Keeps the coordinator at the state of the metadata, until cancelled. The store must be one that
    /// this observer was given to. What the image says at the time of the call is acted on before the
    /// first wait.
    pub async fn run(&self, groups: Groups, metadata: MetadataStore, cancel: CancellationToken) {
        let mut images = metadata.subscribe();
        let mut opened = None;
        loop {
            let image = Arc::clone(&images.borrow_and_update());
            opened = follow(&groups, opened, &image);
            tokio::select! {
                () = cancel.cancelled() => return,
                changed = images.changed() => if changed.is_err() {
                    return;
                },
                () = self.inner.has_deleted.notified() => {
                    let removal = groups.topics_deleted(self.take_deleted());
                    tokio::select! {
                        () = cancel.cancelled() => return,
                        () = removal => {}
                    }
                }
            }
        }
    }

    fn take_deleted(&self) -> Vec<(String, Uuid)> {
        let mut deleted = self
            .inner
            .deleted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *deleted)
    }
}

/// Opens and closes the coordinator as its topic comes and goes. `opened` is the topic's id that the
/// coordinator is open for; returned is what it is now.
fn follow(groups: &Groups, opened: Option<Uuid>, image: &Image) -> Option<Uuid> {
    let topic = image.topic(topic_name::CONSUMER_OFFSETS);
    let topic_id = topic.map(|topic| topic.id);
    if opened == topic_id {
        return opened;
    }
    if opened.is_some() {
        groups.close();
    }
    if let Some(topic) = topic {
        let partition_count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        groups.open(partition_count);
    }
    topic_id
}
