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

    /// Hands the first event over as soon as the client takes one; waits for ever if there is none, or if the client
    /// has gone: whoever runs the session ends it then. Dropping the future loses nothing.
    pub async fn deliver(&mut self) {
        if !self.pending.is_empty()
            && let Ok(permit) = self.events.reserve().await
            && let Some(event) = self.pending.pop_front()
        {
            permit.send(Ok(event));
        } else {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn events_go_out_in_order_as_the_client_takes_them() {
        let (events, mut client) = mpsc::channel(1);
        let mut outbox = Outbox::new(events);
        assert_eq!(outbox.deliver().now_or_never(), None, "there is none");
        outbox.push(Event::Revoked(Default::default()));
        outbox.push(Event::Assigned(Default::default()));
        assert_eq!(outbox.deliver().now_or_never(), Some(()));
        assert_eq!(outbox.deliver().now_or_never(), None, "no room");
        let first = client.try_recv().unwrap().unwrap().event;
        assert!(matches!(first, Some(Event::Revoked(_))));
        assert_eq!(outbox.deliver().now_or_never(), Some(()));
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_client_that_has_gone_does_not_keep_the_session_busy() {
        let (events, client) = mpsc::channel(1);
        drop(client);
        let mut outbox = Outbox::new(events);
        outbox.push(Event::Revoked(Default::default()));
        assert_eq!(outbox.deliver().now_or_never(), None);
    }
}
