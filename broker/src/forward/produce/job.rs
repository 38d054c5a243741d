//! One produce request: sending its parts to their leaders, and what becomes of them.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use fjord_wire::{
    ErrorCode,
    messages::{
        produce_request::ProduceRequest,
        produce_response::{PartitionProduceResponse, ProduceResponse},
    },
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until, timeout_at},
};

use super::order::{InOrder, Ready, Way};
use crate::{
    api::{
        error::ApiError,
        local::{self, Begun},
    },
    forward::{
        outcome::{Failed, Outcome},
        partitions::ByPartition,
        route::{Place, TopicPartition},
        router::{Left, PAUSE, Router, decoded},
    },
    net::CloseConnection,
};

/// A request with its place in the order.
pub struct Job {
    pub router: Router,
    pub version: i16,
    pub request: ProduceRequest,
    pub deadline: Instant,
    pub has_sequence: bool,
    pub place: InOrder,
}

/// The part of a request for one leader.
pub struct Part {
    place: Place,
    partitions: Vec<TopicPartition>,
    /// Those of them for which no other request was under way when it was sent.
    alone: HashSet<TopicPartition>,
    under_way: UnderWay,
}

enum UnderWay {
    Here(Result<Begun<ProduceRequest>, CloseConnection>),
    There(oneshot::Receiver<Outcome<Bytes>>),
}

/// The partitions that have no answer yet, and why.
pub type Open = HashMap<TopicPartition, ApiError>;

impl Job {
    /// All partitions, none of which was sent yet.
    pub fn unsent(&self) -> Open {
        let partitions = self.request.partitions().into_iter();
        let unsent = |partition| (partition, ErrorCode::LeaderNotAvailable.into());
        partitions.map(unsent).collect()
    }

    /// Sends the parts, each over its way.
    pub async fn send(&self, ready: Ready) -> Result<Vec<Part>, CloseConnection> {
        let mut parts = Vec::with_capacity(ready.len());
        for (place, way, partitions) in ready {
            let wanted: HashSet<&TopicPartition> = partitions.iter().collect();
            let part = self.request.only(&wanted);
            let failed = |partition: &&TopicPartition| self.place.has_failed(partition);
            let alone = partitions.iter().filter(failed).cloned().collect();
            let under_way = match (place, &way) {
                (Place::There(broker), Way::Over(line)) => {
                    let call = self.router.message(broker, self.version, &part)?;
                    UnderWay::There(line.send(call).await)
                }
                _ => {
                    let (broker, caller) = (self.router.broker(), self.router.caller());
                    UnderWay::Here(local::begin(broker, caller, self.version, part).await)
                }
            };
            self.place.sent(&partitions, &way);
            parts.push(Part {
                place,
                partitions,
                alone,
                under_way,
            });
        }
        Ok(parts)
    }

    /// Waits until something of what is open may be sent, and sends it. Nothing if that takes too long, or the broker
    /// stops.
    pub async fn next(&self, open: &Open) -> Result<Option<Vec<Part>>, CloseConnection> {
        let mut changes = self.place.changes();
        loop {
            changes.borrow_and_update();
            let ready = self.place.ready(&self.router, open.keys());
            if !ready.is_empty() {
                return self.send(ready).await.map(Some);
            }
            tokio::select! {
                // The order lives as long as this does.
                _ = changes.changed() => {}
                // The metadata may name a leader now.
                () = tokio::time::sleep(PAUSE) => {}
                () = sleep_until(self.deadline) => return Ok(None),
                () = self.router.broker().stopping.cancelled() => return Ok(None),
            }
        }
    }

    /// Waits for one part, and takes in what became of it: answers leave `open`. If something has moved, returns how
    /// many changes of the metadata those who said so had acted on.
    pub async fn take(
        &self,
        part: Part,
        open: &mut Open,
        answers: &mut HashMap<TopicPartition, PartitionProduceResponse>,
    ) -> Result<Option<u64>, Failed> {
        let Part {
            place,
            partitions,
            alone,
            under_way,
        } = part;
        let outcome = self.outcome(under_way).await;
        // An old leader may have written them before it was replaced, or lost.
        let may_be_written = !matches!(outcome, Outcome::NotDone(_));
        let mut found = HashMap::new();
        let mut moved = Left::nothing();
        moved.take::<ProduceRequest>(place, partitions.clone(), outcome, &mut found)?;
        if may_be_written && !self.has_sequence {
            for (partition, error) in moved.errors.drain() {
                let refused = ProduceRequest::refused(partition.1, &may_be(&error));
                found.insert(partition, refused);
            }
        }
        if self.has_sequence {
            // Unless it went alone, an earlier request has failed, which is sent again.
            let code = ErrorCode::OutOfOrderSequenceNumber;
            let early = found.extract_if(|partition, answer| {
                answer.error_code == code.code() && !alone.contains(partition)
            });
            for (partition, answer) in early {
                let message = answer.error_message;
                moved.errors.insert(partition, ApiError { code, message });
            }
        }
        for partition in &partitions {
            open.remove(partition);
        }
        answers.extend(found);
        self.place.took(&partitions, |partition| {
            moved.errors.contains_key(partition)
        });
        let position = (!moved.errors.is_empty()).then_some(moved.position);
        open.extend(moved.errors);
        Ok(position)
    }

    async fn outcome(&self, under_way: UnderWay) -> Outcome<ProduceResponse> {
        match under_way {
            UnderWay::Here(Err(close)) => Outcome::Refused(close),
            UnderWay::Here(Ok(begun)) => match begun.response().await {
                Ok(response) => Outcome::Answered(response, 0),
                Err(close) => Outcome::Refused(close),
            },
            UnderWay::There(outcome) => match timeout_at(self.deadline, outcome).await {
                Ok(Ok(outcome)) => {
                    let version = self.version;
                    outcome.and_then(|response| decoded::<ProduceRequest>(response, version))
                }
                Ok(Err(_)) => Outcome::Unknown("the connection to it broke".to_owned()),
                Err(_) => Outcome::Unknown("it did not answer in time".to_owned()),
            },
        }
    }
}

/// The error of records that may have been written.
fn may_be(error: &ApiError) -> ApiError {
    let reason = match &error.message {
        Some(message) => message.clone(),
        None => error.code.message().to_owned(),
    };
    ApiError::new(
        error.code,
        format!(
            "{reason}; the records may be written, and are certainly written once only with a sequence"
        ),
    )
}
