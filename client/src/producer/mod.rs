//! Produces records: batches them by partition, keeps several batches under way, and repeats what may succeed later.
//!
//! ```text
//! send ──► bytes in flight ──► state: topic, partition, batch ──► sender task ──► one stream ──► broker
//!             (waits if full)        ▲                                 │
//! Delivery ◄─────────────────────────┴──── answers, in order ◄─────────┘
//! ```

mod batch;
mod delivery;
mod options;
mod queue;
mod sender;
mod state;
mod topics;

use std::{sync::Arc, time::Instant};

use fjord_proto::v1::{
    ConfigResource, CreateTopicRequest, DescribeClusterRequest, DescribeConfigsRequest,
    DescribeTopicRequest, config_resource,
};
use tokio::{
    sync::{Semaphore, TryAcquireError},
    task::JoinHandle,
};

pub use self::{
    delivery::{Delivered, Delivery},
    options::{Guarantee, ProducerOptions, ProducerRecord},
};
use self::{
    sender::{Sender, Shared, init_producer},
    state::{Pushed, State},
};
use crate::{Client, Result, error::Error, retry::Patience};

/// The config that says whether a topic that is not there is made.
const AUTO_CREATE: &str = "auto.create.topics.enable";

/// Produces records. Clones share its batches and its stream.
///
/// When the last clone is dropped without [`close`](Self::close), records that are not delivered yet are given up.
///
/// ```no_run
/// # use fjord_client::*;
/// # async fn run(client: Client) -> Result<()> {
/// let producer = client.producer(Guarantee::AtLeastOnce.options()).await?;
/// let mut deliveries = Vec::new();
/// for number in 0..1000 {
///     let record = ProducerRecord::new("numbers").value(format!("{number}"));
///     // Waits only if too much is under way.
///     deliveries.push(producer.send(record).await?);
/// }
/// for delivery in deliveries {
///     delivery.await?;
/// }
/// producer.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    client: Client,
    options: ProducerOptions,
    shared: Arc<Shared>,
    /// Bytes that may still be in flight.
    free: Arc<Semaphore>,
    /// Held while somebody asks for a topic, so that others wait for that and do not ask too.
    describing: tokio::sync::Mutex<()>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        state.fail_all(&Error::Closed);
        drop(state);
        self.shared.wake.notify_one();
    }
}

impl Client {
    /// Begins to produce.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for options that contradict each other; what the broker says when it is asked for a producer
    /// id.
    pub async fn producer(&self, options: ProducerOptions) -> Result<Producer> {
        options.check()?;
        let identity = if options.idempotent {
            Some(init_producer(self).await?)
        } else {
            None
        };
        let shared = Arc::new(Shared::new(State::new(&options, identity)));
        let sender = Sender {
            client: self.clone(),
            shared: Arc::clone(&shared),
            request_timeout: options.request_timeout,
            failures: 0,
        };
        let task = tokio::spawn(sender.run());
        let free = options.max_in_flight_bytes.min(Semaphore::MAX_PERMITS);
        Ok(Producer {
            handle: Arc::new(Handle {
                client: self.clone(),
                shared,
                free: Arc::new(Semaphore::new(free)),
                options,
                describing: tokio::sync::Mutex::new(()),
                task: tokio::sync::Mutex::new(Some(task)),
            }),
        })
    }
}

impl Producer {
    /// Takes a record. It waits while too many bytes are in flight, and when a topic is new to this producer. A topic
    /// that is not there is made if the broker has `auto.create.topics.enable` on.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the topic has no such partition, [`Error::Closed`] after [`close`](Self::close), and what
    /// the broker says when it is asked for the topic. What goes wrong later is told by the [`Delivery`].
    pub async fn send(&self, record: ProducerRecord) -> Result<Delivery> {
        let handle = &*self.handle;
        let most = handle.options.max_in_flight_bytes.min(u32::MAX as usize);
        // A record that is larger than all that may be in flight goes alone. The number fits: it is `most` at most.
        let bytes = record.size_bytes().min(most) as u32;
        let free = &handle.free;
        let permit = match Arc::clone(free).try_acquire_many_owned(bytes) {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits) => Arc::clone(free)
                .acquire_many_owned(bytes)
                .await
                .map_err(|_| Error::Closed)?,
            Err(TryAcquireError::Closed) => return Err(Error::Closed),
        };
        let (mut record, mut permit) = (record, permit);
        for last in [false, false, true] {
            let now = Instant::now();
            let pushed = {
                let mut state = handle.shared.state();
                if state.closed {
                    return Err(Error::Closed);
                }
                state.push(record, permit, now)
            };
            match pushed {
                Pushed::Taken(delivery, wake) => {
                    if wake {
                        handle.shared.wake.notify_one();
                    }
                    return Ok(delivery);
                }
                Pushed::Unknown(returned, kept) => (record, permit) = (returned, kept),
                Pushed::NoSuchPartition(returned, kept) => {
                    if last {
                        return Err(no_such_partition(&returned));
                    }
                    (record, permit) = (returned, kept);
                }
            }
            handle.describe(&record.topic, now).await?;
        }
        Err(no_such_partition(&record))
    }

    /// Sends all that waits, and waits until it is answered.
    ///
    /// # Errors
    ///
    /// The first failure among the records that were not answered yet; each [`Delivery`] tells its own.
    pub async fn flush(&self) -> Result<()> {
        let deliveries = self.handle.shared.state().flush();
        self.handle.shared.wake.notify_one();
        let mut outcome = Ok(());
        for delivery in deliveries {
            outcome = outcome.and(delivery.done().await);
        }
        outcome
    }

    /// Sends all that waits, waits until it is answered, and ends the stream. Without acks it waits until the broker
    /// has taken all. Further records are refused.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    pub async fn close(&self) -> Result<()> {
        self.handle.shared.state().closed = true;
        let outcome = self.flush().await;
        let task = self.handle.task.lock().await.take();
        if let Some(task) = task {
            // A task that panicked has nothing more to say.
            let _ = task.await;
        }
        outcome
    }
}

impl Handle {
    /// Asks how many partitions a topic has and how large its batches may be, unless somebody has just done so after `before`.
    async fn describe(&self, topic: &Arc<str>, before: Instant) -> Result<()> {
        let _one_at_a_time = self.describing.lock().await;
        if self.shared.state().is_described_after(topic, before) {
            return Ok(());
        }
        let mut patience = Patience::new(self.options.delivery_timeout);
        loop {
            let request = DescribeTopicRequest {
                topic: topic.to_string(),
            };
            let error = match self.client.describe_topic(request).await {
                Ok(response) => {
                    let mut state = self.shared.state();
                    state.described(topic, response.into(), Instant::now());
                    return Ok(());
                }
                Err(error) => error,
            };
            if error.reason() == "UNKNOWN_TOPIC_OR_PARTITION" {
                if !self.creates_topics().await? {
                    return Err(error);
                }
                self.create(topic).await?;
            } else {
                patience.wait(error).await?;
            }
        }
    }

    /// Whether the broker makes topics that are not there.
    async fn creates_topics(&self) -> Result<bool> {
        let cluster = self
            .client
            .describe_cluster(DescribeClusterRequest {})
            .await?;
        let request = DescribeConfigsRequest {
            resource: Some(ConfigResource {
                resource: Some(config_resource::Resource::Broker(cluster.broker)),
            }),
            names: vec![AUTO_CREATE.to_owned()],
        };
        let response = self.client.describe_configs(request).await?;
        let value = response
            .configs
            .into_iter()
            .next()
            .and_then(|config| config.value);
        Ok(value.as_deref() == Some("true"))
    }

    async fn create(&self, topic: &Arc<str>) -> Result<()> {
        let request = CreateTopicRequest {
            topic: topic.to_string(),
            ..CreateTopicRequest::default()
        };
        match self.client.create_topic(request).await {
            // Somebody else was faster.
            Err(error) if error.reason() == "TOPIC_ALREADY_EXISTS" => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

fn no_such_partition(record: &ProducerRecord) -> Error {
    let topic = &record.topic;
    Error::Invalid(match record.partition {
        Some(partition) => format!("topic {topic} has no partition {partition}"),
        None => format!("topic {topic} has no partitions"),
    })
}
