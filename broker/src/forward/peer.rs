//! Sending calls to other brokers, one by one or in their order.
//!
//! ```text
//!   Peers::call ─► Call(one) ─► answer
//!   Line::send ─► queue ─► Ordered(stream) ─► answers, in the order of the calls ─► whoever waits
//! ```

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use fjord_proto::peer::v1::{
    self, ForwardedAnswer, ForwardedCall, forward_service_client::ForwardServiceClient,
};
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::Channel};
use tracing::debug;

use super::{MESSAGE_BYTES, outcome::Outcome};
use crate::{controller::was_not_sent, net::CloseConnection, replication::peers::PeerChannels};

/// Calls of one line that wait for being sent; whoever has more waits.
const QUEUE: usize = 8;

/// The other brokers. Clones are one.
#[derive(Clone)]
pub struct Peers(Arc<PeerChannels>);

impl Peers {
    /// The brokers that these channels lead to.
    pub fn new(channels: Arc<PeerChannels>) -> Peers {
        Peers(channels)
    }

    /// Sends one call.
    pub async fn call(&self, call: ForwardedCall) -> Outcome<Bytes> {
        let Some(mut client) = self.client(call.broker_id) else {
            return Outcome::NotDone("the metadata has no address of it".to_owned());
        };
        match client.call(call).await {
            Ok(answer) => outcome(answer.into_inner()),
            Err(status) => lost(&status),
        }
    }

    /// A line to a broker, over which calls take effect in their order.
    pub fn line(&self, broker_id: i32) -> Line {
        let (queue, queued) = mpsc::channel(QUEUE);
        if let Some(client) = self.client(broker_id) {
            tokio::spawn(carry(client, queued));
        }
        Line { queue }
    }

    fn client(&self, broker_id: i32) -> Option<ForwardServiceClient<Channel>> {
        let client = ForwardServiceClient::new(self.0.to(broker_id)?);
        Some(
            client
                .max_decoding_message_size(MESSAGE_BYTES)
                .max_encoding_message_size(MESSAGE_BYTES),
        )
    }
}

/// See [`Peers::line`]. It ends when the last clone is dropped, and breaks when the broker is lost.
#[derive(Clone)]
pub struct Line {
    queue: mpsc::Sender<Sent>,
}

impl Line {
    /// Whether calls may still get through.
    pub fn is_alive(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Whether it is the same line.
    pub fn is(&self, other: &Line) -> bool {
        self.queue.same_channel(&other.queue)
    }

    /// Puts a call in its place behind the earlier ones.
    pub async fn send(&self, call: ForwardedCall) -> oneshot::Receiver<Outcome<Bytes>> {
        let (told, outcome) = oneshot::channel();
        let promise = Promise {
            told: Some(told),
            is_on_its_way: false,
        };
        // If the line is broken, dropping the call says so.
        let _ = self.queue.send(Sent { call, promise }).await;
        outcome
    }
}

/// A call in the queue.
struct Sent {
    call: ForwardedCall,
    promise: Promise,
}

/// Whoever sent a call is told what became of it, whatever happens.
struct Promise {
    told: Option<oneshot::Sender<Outcome<Bytes>>>,
    /// Whether the call has left the queue.
    is_on_its_way: bool,
}

impl Promise {
    fn keep(mut self, outcome: Outcome<Bytes>) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome<Bytes>) {
        if let Some(told) = self.told.take() {
            // Nobody waits any more if the client has gone.
            let _ = told.send(outcome);
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let reason = "the connection to it broke".to_owned();
        self.tell(match self.is_on_its_way {
            true => Outcome::Unknown(reason),
            false => Outcome::NotDone(reason),
        });
    }
}

/// Carries the calls of one line to the other broker, and the answers back.
async fn carry(mut client: ForwardServiceClient<Channel>, queued: mpsc::Receiver<Sent>) {
    let waiting = Arc::new(Mutex::new(VecDeque::<Promise>::new()));
    let sent = Arc::clone(&waiting);
    let calls = ReceiverStream::new(queued).map(move |mut queued: Sent| {
        queued.promise.is_on_its_way = true;
        let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push_back(queued.promise);
        queued.call
    });
    let mut answers = match client.ordered(calls).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return debug!(%status, "a broker cannot be reached for forwarded calls"),
    };
    loop {
        let answer = match answers.message().await {
            Ok(Some(answer)) => answer,
            Ok(None) => return,
            Err(status) => return debug!(%status, "forwarded calls were lost underway"),
        };
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.pop_front() {
            Some(promise) => promise.keep(outcome(answer)),
            None => return debug!("a broker answered more than it was asked"),
        }
    }
}

fn outcome(answer: ForwardedAnswer) -> Outcome<Bytes> {
    use v1::forwarded_answer::Outcome as Sent;
    match answer.outcome {
        Some(Sent::Response(response)) => Outcome::Answered(Some(response), answer.position),
        Some(Sent::Refused(reason)) => Outcome::Refused(CloseConnection::because(reason)),
        Some(Sent::NotDone(reason)) => Outcome::NotDone(reason),
        None => Outcome::Answered(None, answer.position),
    }
}

fn lost(status: &Status) -> Outcome<Bytes> {
    debug!(%status, "a forwarded call was lost");
    match was_not_sent(status) {
        true => Outcome::NotDone("no connection to it comes up".to_owned()),
        false => Outcome::Unknown("the connection to it broke".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> (Promise, oneshot::Receiver<Outcome<Bytes>>) {
        let (told, outcome) = oneshot::channel();
        let promise = Promise {
            told: Some(told),
            is_on_its_way: false,
        };
        (promise, outcome)
    }

    #[test]
    fn a_call_that_is_dropped_was_not_done_unless_it_was_on_its_way() {
        let (promise, mut outcome) = sent();
        drop(promise);
        assert!(matches!(outcome.try_recv(), Ok(Outcome::NotDone(_))));

        let (mut promise, mut outcome) = sent();
        promise.is_on_its_way = true;
        drop(promise);
        assert!(matches!(outcome.try_recv(), Ok(Outcome::Unknown(_))));

        let (promise, mut outcome) = sent();
        promise.keep(Outcome::Answered(None, 7));
        assert!(matches!(outcome.try_recv(), Ok(Outcome::Answered(None, 7))));
    }

    #[tokio::test]
    async fn a_line_to_nowhere_is_broken() {
        let peers = Peers::new(Arc::default());
        let line = peers.line(3);
        assert!(!line.is_alive());
        let outcome = line.send(ForwardedCall::default()).await;
        assert!(matches!(outcome.await, Ok(Outcome::NotDone(_))));
    }
}
