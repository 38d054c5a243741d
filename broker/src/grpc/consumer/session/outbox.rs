//! Events on their way to the client, in order. Nothing is read while any wait here, so that they are few.

use std::collections::VecDeque;

use fjord_proto::v1::{ConsumeResponse, consume_response::Event};

use crate::grpc::consumer::Events;

/// What the client is to be told.
pub struct Outbox {
    events: Events,
    pending: VecDeque<ConsumeResponse>,
}

impl Outbox {
    /// An empty one.
    pub fn new(events: Events) -> Self {
        Self {
            events,
            pending: VecDeque::new(),
        }
    }

    /// Adds an event.
    pub fn push(&mut self, event: Event) {
        self.pending
            .push_back(ConsumeResponse { event: Some(event) });
    }

    /// Whether all is delivered.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Hands the first event over as soon as the client takes one. Dropping the future loses nothing.
    pub async fn deliver(&mut self) {
        if let Ok(permit) = self.events.reserve().await
            && let Some(event) = self.pending.pop_front()
        {
            permit.send(Ok(event));
        }
    }
}
