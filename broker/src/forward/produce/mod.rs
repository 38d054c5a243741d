//! Produce requests of one gRPC call, in their order.
//!
//! ```text
//!   begin ─► its place in the partitions' queues ─► here, or over the line to each leader ─► response
//!              ▲ may it be sent?                                                       │ moved, lost
//!              └── its turn: all earlier ones for the partition are settled ◄──────────┘
//! ```
//!
//! Requests follow each other without a wait as long as nothing happens: calls of one line take effect in their order.
//! When a leader moves or is lost, what was under way to it fails, and is sent again one request after the other; new
//! requests for its partitions wait until then. So an idempotent producer's sequences reach the new leader in their
//! order, and what the old one had written already is recognised there. What has no sequence is sent again only if it
//! certainly was not written.
//!
//! - `queues` decides what may be sent, as pure state; `order` keeps it for a call, with the lines to leaders.
//! - `job` sends a request, and makes out what became of it.

mod job;
mod order;
mod queues;

use std::{collections::HashMap, sync::Arc, time::Duration};

use fjord_wire::messages::{produce_request::ProduceRequest, produce_response::ProduceResponse};
use tokio::time::Instant;

use self::{
    job::{Job, Part},
    order::Order,
};
use super::{outcome::Failed, partitions::ByPartition, router::Router};
use crate::{
    api::local::{self, Begun},
    net::CloseConnection,
};

/// The produce requests of one gRPC call. Clones are one.
#[derive(Clone)]
pub struct Producing {
    router: Router,
    order: Arc<Order>,
}

/// A request that has its place in the order.
pub enum Sent {
    /// In a cluster of one broker.
    Alone(Begun<ProduceRequest>),
    /// In one of several.
    Routed(Box<Pending>),
}

/// A request whose parts are under way, or wait for being sent.
pub struct Pending {
    job: Job,
    parts: Vec<Part>,
}

impl Producing {
    /// The requests of a call that takes this way.
    pub fn new(router: Router) -> Producing {
        Producing {
            router,
            order: Arc::default(),
        }
    }

    /// Puts a request behind all earlier ones, and sends what may be sent of it.
    ///
    /// # Errors
    ///
    /// The request makes no sense.
    pub async fn begin(
        &self,
        version: i16,
        request: ProduceRequest,
    ) -> Result<Sent, CloseConnection> {
        let router = &self.router;
        if router.peers.is_none() {
            let begun = local::begin(router.broker(), router.caller(), version, request).await?;
            return Ok(Sent::Alone(begun));
        }
        let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
        let deadline = Instant::now() + timeout;
        let has_sequence = has_sequence(&request);
        let place = self.order.enter(request.partitions(), has_sequence).await;
        let job = Job {
            router: router.clone(),
            version,
            request,
            deadline,
            has_sequence,
            place,
        };
        let ready = job.place.ready(router, &job.request.partitions());
        let parts = job.send(ready).await?;
        Ok(Sent::Routed(Box::new(Pending { job, parts })))
    }
}

impl Sent {
    /// The response; nothing if the request gets none.
    ///
    /// # Errors
    ///
    /// The request makes no sense.
    pub async fn response(self) -> Result<Option<ProduceResponse>, Failed> {
        match self {
            Sent::Alone(begun) => Ok(begun.response().await?),
            Sent::Routed(pending) => pending.response().await,
        }
    }
}

impl Pending {
    async fn response(self) -> Result<Option<ProduceResponse>, Failed> {
        let Pending { job, mut parts } = self;
        let mut answers = HashMap::new();
        let mut open = job.unsent();
        loop {
            let mut position = None;
            for part in parts {
                let moved = job.take(part, &mut open, &mut answers).await?;
                position = position.max(moved);
            }
            if open.is_empty() {
                break;
            }
            let waited = match position {
                Some(position) => job.router.moved(position, job.deadline).await,
                None => true,
            };
            let next = match waited {
                true => job.next(&open).await?,
                false => None,
            };
            match next {
                Some(next) => parts = next,
                None => {
                    for (partition, error) in open {
                        let refused = ProduceRequest::refused(partition.1, &error);
                        answers.insert(partition, refused);
                    }
                    break;
                }
            }
        }
        if job.request.acks == 0 {
            return Ok(None);
        }
        Ok(Some(job.request.in_order(answers)))
    }
}

/// Whether an idempotent producer numbers the batches: the broker has made them, so one stands for all.
fn has_sequence(request: &ProduceRequest) -> bool {
    let mut partitions = request
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data);
    let records = partitions.find_map(|partition| partition.records.as_ref());
    let batch = records.and_then(|records| records.batches().next());
    batch.is_some_and(|batch| batch.is_ok_and(|batch| batch.header.producer_id >= 0))
}
