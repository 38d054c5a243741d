//! Sends records, as fast as possible or at a rate, and notes how long each takes to be acknowledged.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fjord_client::{Delivery, Error, Producer, ProducerRecord};
use hdrhistogram::Histogram;
use rand::{Rng, RngCore};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::sleep_until,
};

use crate::{
    failure::Failure,
    format::{histogram::latencies, pacer::Pacer},
    progress::Progress,
};

/// Random bytes that values are cut from.
const POOL_BYTES: usize = 4 << 20;
/// How many deliveries are waited for together.
const LIST: usize = 256;
/// How many such lists may wait. What is in flight is bounded by the producer.
const LISTS: usize = 1024;

/// Random bytes that values are cut from without copying.
#[derive(Debug, Clone)]
pub struct Pool {
    bytes: Bytes,
    size: usize,
}

impl Pool {
    /// Values of `size` bytes.
    pub fn new(size: usize) -> Self {
        let mut bytes = vec![0; POOL_BYTES + size];
        rand::rng().fill_bytes(&mut bytes);
        Self {
            bytes: bytes.into(),
            size,
        }
    }

    /// Another value.
    pub fn value(&self) -> Bytes {
        let start = rand::rng().random_range(0..POOL_BYTES);
        self.bytes.slice(start..start + self.size)
    }
}

/// What is to be sent by one producer.
pub struct Load {
    pub topic: Arc<str>,
    pub count: Option<u64>,
    pub limit: Duration,
    /// Records a second.
    pub rate: Option<f64>,
    pub start: Instant,
    pub progress: Progress,
    /// True when no more is to be sent.
    pub stop: watch::Receiver<bool>,
}

/// What was acknowledged.
pub struct Acknowledged {
    pub records: u64,
    /// When the last one was.
    pub last: Instant,
    /// In microseconds.
    pub latencies: Histogram<u64>,
}

impl Load {
    /// Sends all; `value` makes the value of a record that is due at a time.
    ///
    /// # Errors
    ///
    /// The first record that was not delivered.
    pub async fn run(
        mut self,
        producer: &Producer,
        mut value: impl FnMut(Instant) -> Bytes,
    ) -> Result<Acknowledged, Failure> {
        let (lists, collector) = collect(self.start, self.progress.clone());
        let pacer = self.rate.map(|rate| Pacer::new(self.start, rate));
        let mut list = Vec::with_capacity(LIST);
        let mut sent = Ok(());
        for number in 0..self.count.unwrap_or(u64::MAX) {
            if *self.stop.borrow() {
                break;
            }
            let mut due = Instant::now();
            if let Some(pacer) = pacer {
                let now = due;
                due = pacer.due(number);
                if due > now {
                    tokio::select! {
                        () = sleep_until(due.into()) => {}
                        _ = self.stop.changed() => break,
                    }
                }
            }
            if due.saturating_duration_since(self.start) >= self.limit {
                break;
            }
            let record = ProducerRecord::new(Arc::clone(&self.topic)).value(value(due));
            match producer.send(record).await {
                Ok(delivery) => list.push((delivery, due)),
                Err(error) => {
                    sent = Err(error);
                    break;
                }
            }
            if list.len() == LIST && lists.send(std::mem::take(&mut list)).await.is_err() {
                // A delivery failed: the collector says which.
                break;
            }
        }
        let _ = lists.send(list).await;
        drop(lists);
        let closed = producer.close().await;
        let acknowledged = collector
            .await
            .map_err(|error| Failure::Other(format!("counting deliveries failed: {error}")))??;
        sent?;
        closed?;
        Ok(acknowledged)
    }
}

type Sent = Vec<(Delivery, Instant)>;

fn collect(
    start: Instant,
    progress: Progress,
) -> (mpsc::Sender<Sent>, JoinHandle<Result<Acknowledged, Error>>) {
    let (sender, mut lists) = mpsc::channel::<Sent>(LISTS);
    let task = tokio::spawn(async move {
        let mut acknowledged = Acknowledged {
            records: 0,
            last: start,
            latencies: latencies(),
        };
        while let Some(list) = lists.recv().await {
            let count = list.len() as u64;
            for (delivery, due) in list {
                let at = delivery.await?.acknowledged;
                acknowledged.last = acknowledged.last.max(at);
                record(
                    &mut acknowledged.latencies,
                    at.saturating_duration_since(due),
                );
            }
            acknowledged.records += count;
            progress.add(count);
        }
        Ok(acknowledged)
    });
    (sender, task)
}

/// Notes a latency.
pub fn record(latencies: &mut Histogram<u64>, latency: Duration) {
    // Longer than an hour counts as an hour, shorter than a microsecond as one.
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    latencies.saturating_record(micros.max(1));
}
