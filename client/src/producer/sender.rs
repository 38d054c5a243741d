//! The task that sends a producer's batches on one stream, takes the answers, and begins again when the stream breaks.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use fjord_proto::v1::{
    InitProducerRequest, ProduceStreamRequest, ProduceStreamResponse, produce_stream_response,
    producer_service_client::ProducerServiceClient,
};
use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{
    batch::Identity,
    delivery::{Outcome, Placed},
    state::{State, Step},
};
use crate::{
    Client, Result,
    error::{Error, TOO_LARGE},
    retry::pause,
};

/// How many requests wait for the connection. The bytes in flight are the bound that matters.
const REQUESTS: usize = 8;
/// How often it is looked for records that could not be delivered in time.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(1);
/// How much longer than the broker may take an answer is waited for.
const ANSWER_SLACK: Duration = Duration::from_secs(5);

/// What a producer and its task share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Tells the task that there is something to do.
    pub(super) wake: Notify,
}

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self {
            state: Mutex::new(state),
            wake: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with this lock")
    }
}

/// The task.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) client: Client,
    pub(super) shared: Arc<Shared>,
    pub(super) request_timeout: Duration,
    /// Failures of connections in a row.
    pub(super) failures: u32,
}

/// A stream of requests and its answers.
struct Link {
    requests: mpsc::Sender<ProduceStreamRequest>,
    answers: Streaming<ProduceStreamResponse>,
}

/// What to do after waiting.
enum Waited {
    Answer(ProduceStreamResponse),
    Nothing,
}

impl Sender {
    /// Sends until the producer is closed and all is answered.
    pub(super) async fn run(mut self) {
        while self.has_work().await {
            let connection = self.client.connection();
            let error = match self.open().await {
                Ok(link) => match self.drive(link).await {
                    Ok(()) => return,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let now = Instant::now();
            {
                let mut state = self.shared.state();
                // A message that is too large ends the stream, and the broker does not read what follows.
                if error.reason() == TOO_LARGE && state.stopped_at_oldest(error.clone(), now) {
                    continue;
                }
                state.disconnected(&error, now);
                if error.is_retriable() {
                    state.expire(now);
                } else {
                    state.fail_all(&error);
                }
            }
            sleep(pause(self.failures)).await;
            self.failures = self.failures.saturating_add(1);
            if matches!(error, Error::Disconnected { .. } | Error::Timeout { .. }) {
                // If nobody is there, the old connection is tried again, which says so.
                let _ = self.client.reconnect(&connection).await;
            }
        }
    }

    /// Waits until there is something to send. False if nothing ever will be.
    async fn has_work(&self) -> bool {
        loop {
            {
                let state = self.shared.state();
                if !state.is_empty() {
                    return true;
                }
                if state.closed {
                    return false;
                }
            }
            self.shared.wake.notified().await;
        }
    }

    async fn open(&self) -> Result<Link> {
        let connection = self.client.connection();
        let mut service = ProducerServiceClient::new(connection.channel.clone())
            .max_decoding_message_size(self.client.options().max_message_bytes);
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let opening = service.produce_stream(ReceiverStream::new(receiver));
        let answers = self.client.open_stream(&connection, opening).await?;
        Ok(Link { requests, answers })
    }

    /// Sends and takes answers until the producer is closed, or the stream breaks.
    async fn drive(&mut self, mut link: Link) -> Result<()> {
        let mut next_expiry = Instant::now() + EXPIRE_INTERVAL;
        loop {
            let now = Instant::now();
            if now >= next_expiry {
                self.shared.state().expire(now);
                next_expiry = now + EXPIRE_INTERVAL;
            }
            let (full, wait_until) = self.send_all(&link, now).await?;
            let (done, oldest) = {
                let state = self.shared.state();
                (state.closed && state.is_empty(), state.oldest_in_flight())
            };
            if done {
                self.finish(link).await;
                return Ok(());
            }
            let limit = self.request_timeout + ANSWER_SLACK;
            if oldest.is_some_and(|sent| now.saturating_duration_since(sent) > limit) {
                return Err(self.timed_out(limit));
            }
            let wait_until = wait_until.map_or(next_expiry, |at| at.min(next_expiry));
            match self.wait(&mut link, full, wait_until).await? {
                Waited::Answer(answer) => self.take(answer)?,
                Waited::Nothing => {}
            }
        }
    }

    /// Hands over what can be sent now. Returns whether the connection takes no more, and else until when to wait.
    async fn send_all(&mut self, link: &Link, now: Instant) -> Result<(bool, Option<Instant>)> {
        loop {
            let permit = match link.requests.try_reserve() {
                Ok(permit) => permit,
                Err(mpsc::error::TrySendError::Full(())) => return Ok((true, None)),
                // Then the answers say why.
                Err(mpsc::error::TrySendError::Closed(())) => return Ok((false, None)),
            };
            let step = self.shared.state().step(now);
            match step {
                Step::Send(request) => permit.send(request),
                Step::Wait(until) => return Ok((false, until)),
                Step::Identity => {
                    let identity = init_producer(&self.client).await?;
                    self.shared.state().renew(identity);
                }
            }
        }
    }

    async fn wait(&self, link: &mut Link, full: bool, until: Instant) -> Result<Waited> {
        tokio::select! {
            biased;
            answer = link.answers.message() => match answer {
                Ok(Some(answer)) => Ok(Waited::Answer(answer)),
                Ok(None) => Err(Error::Disconnected {
                    address: self.client.address(),
                    cause: "the broker ended the stream".to_owned(),
                }),
                Err(status) => Err(self.client.error(&self.client.connection(), &status)),
            },
            // If it is closed, the answers say why.
            _ = link.requests.reserve(), if full => Ok(Waited::Nothing),
            () = self.shared.wake.notified() => Ok(Waited::Nothing),
            () = sleep_until(until.into()) => Ok(Waited::Nothing),
        }
    }

    fn take(&mut self, answer: ProduceStreamResponse) -> Result<()> {
        self.failures = 0;
        let now = Instant::now();
        let outcome = outcome(answer.result, now);
        if self.shared.state().answered(answer.id, outcome, now) {
            return Ok(());
        }
        Err(Error::Disconnected {
            address: self.client.address(),
            cause: format!("an answer came out of order: {}", answer.id),
        })
    }

    /// Says that no more comes, and waits until the broker has taken all.
    async fn finish(&self, link: Link) {
        let Link {
            requests,
            mut answers,
        } = link;
        drop(requests);
        let to_the_end = async { while let Ok(Some(_)) = answers.message().await {} };
        // What the broker says now belongs to no record: all have been answered, or want no answer.
        let _ = timeout(self.request_timeout, to_the_end).await;
    }

    fn timed_out(&self, after: Duration) -> Error {
        Error::Timeout {
            address: self.client.address(),
            after,
        }
    }
}

/// Asks for a producer id.
pub(super) async fn init_producer(client: &Client) -> Result<Identity> {
    let connection = client.connection();
    let mut service = ProducerServiceClient::new(connection.channel.clone());
    match service
        .init_producer(client.request(InitProducerRequest {}))
        .await
    {
        Ok(response) => {
            let response = response.into_inner();
            Ok(Identity {
                producer_id: response.producer_id,
                producer_epoch: response.producer_epoch,
            })
        }
        Err(status) => Err(client.failed(&connection, &status).await),
    }
}

/// What an answer says about the one batch that its request had.
fn outcome(result: Option<produce_stream_response::Result>, now: Instant) -> Outcome {
    let nothing = || Error::Invalid("the broker's answer says nothing".to_owned());
    match result.ok_or_else(nothing)? {
        produce_stream_response::Result::Error(error) => Err(error.into()),
        produce_stream_response::Result::Response(response) => {
            let partition = response.partitions.into_iter().next().ok_or_else(nothing)?;
            if let Some(error) = partition.error {
                return Err(error.into());
            }
            Ok(Placed {
                base_offset: (partition.base_offset >= 0).then_some(partition.base_offset),
                append_time_ms: partition.append_time_ms,
                acknowledged: now,
            })
        }
    }
}
