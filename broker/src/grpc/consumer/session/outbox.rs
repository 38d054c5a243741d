//! Events on their way to the client, in order and counted. Nothing is read while any wait here, so that they are few.

use std::collections::VecDeque;

use fjord_proto::v1::{ConsumeResponse, consume_response::Event};

use crate::grpc::consumer::Events;

/// With so many answers waiting, no more commands are taken.
const MOST_PENDING: usize = 1024;

/// What the client is to be told.
pub struct Outbox {
    events: Events,
    pending: VecDeque<ConsumeResponse>,
    /// That of the last response.
    sequence: u64,
}

impl Outbox {
    /// An empty one.
    pub fn new(events: Events) -> Self {
        Self {
            events,
            pending: VecDeque::new(),
            sequence: 0,
        }
    }

    /// Adds an event; returns the sequence of its response.
    pub fn push(&mut self, event: Event) -> u64 {
        self.sequence += 1;
        self.pending.push_back(ConsumeResponse {
            sequence: self.sequence,
            event: Some(event),
        });
        self.sequence
    }

    /// The sequence of the last response that was handed over; 0 before the first.
    pub fn delivered(&self) -> u64 {
        self.sequence - self.pending.len() as u64
    }

    /// Whether commands may be taken, which add their answers.
    pub fn has_room(&self) -> bool {
        self.pending.len() < MOST_PENDING
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
    fn responses_are_counted_and_bounded() {
        let (events, _client) = mpsc::channel(1);
        let mut outbox = Outbox::new(events);
        for sequence in 1..=MOST_PENDING as u64 {
            assert!(outbox.has_room());
            assert_eq!(outbox.push(Event::Revoked(Default::default())), sequence);
        }
        assert!(!outbox.has_room());
        assert_eq!(outbox.delivered(), 0);
        assert_eq!(outbox.deliver().now_or_never(), Some(()));
        assert_eq!(outbox.delivered(), 1);
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
