//! What became of the records that were sent.

use std::collections::BTreeMap;

use fjord_client::{Delivered, Delivery, Error};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{failure::Failure, format::size::grouped, progress::Progress};

/// How many lists of deliveries may wait. What is in flight is bounded by the producer.
const LISTS: usize = 64;

/// Waits for deliveries in a task of its own.
pub struct Collector {
    lists: mpsc::Sender<Vec<Delivery>>,
    task: JoinHandle<Counted>,
}

/// What became of all records that were sent.
#[derive(Default)]
pub struct Counted {
    /// Those that were delivered.
    pub delivered: Summary,
    /// The first delivery that failed.
    pub failed: Option<Error>,
}

/// How many records went where.
#[derive(Debug, Default)]
pub struct Summary {
    records: u64,
    partitions: BTreeMap<i32, Range>,
}

#[derive(Debug, Default)]
struct Range {
    records: u64,
    first: Option<i64>,
    last: Option<i64>,
}

impl Collector {
    /// Counts what was delivered in `progress`.
    pub fn start(progress: Progress) -> Self {
        let (lists, mut receiver) = mpsc::channel::<Vec<Delivery>>(LISTS);
        let task = tokio::spawn(async move {
            let mut counted = Counted::default();
            while let Some(list) = receiver.recv().await {
                for delivery in list {
                    match delivery.await {
                        Ok(delivered) => {
                            counted.delivered.add(&delivered);
                            progress.add(1);
                        }
                        Err(error) => counted.failed = counted.failed.or(Some(error)),
                    }
                }
                // Nothing more is to be sent; what has been is counted to its end.
                if counted.failed.is_some() {
                    receiver.close();
                }
            }
            counted
        });
        Self { lists, task }
    }

    /// Takes deliveries. If one has failed before, they are given back, and nothing more is to be sent.
    ///
    /// # Errors
    ///
    /// `list` itself.
    pub async fn take(&self, list: Vec<Delivery>) -> Result<(), Vec<Delivery>> {
        if list.is_empty() && !self.lists.is_closed() {
            return Ok(());
        }
        self.lists.send(list).await.map_err(|refused| refused.0)
    }

    /// Waits for all, and for those that [`take`](Self::take) gave back.
    ///
    /// # Errors
    ///
    /// If they cannot be counted.
    pub async fn finish(self, given_back: Vec<Delivery>) -> Result<Counted, Failure> {
        drop(self.lists);
        let counted = self.task.await;
        let mut counted = counted
            .map_err(|error| Failure::Other(format!("counting deliveries failed: {error}")))?;
        for delivery in given_back {
            if let Ok(delivered) = delivery.await {
                counted.delivered.add(&delivered);
            }
        }
        Ok(counted)
    }
}

impl Summary {
    fn add(&mut self, delivered: &Delivered) {
        self.records += 1;
        let range = self.partitions.entry(delivered.partition).or_default();
        range.records += 1;
        range.first = least(range.first, delivered.offset);
        range.last = range.last.max(delivered.offset);
    }

    /// Whether nothing was delivered.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// One line.
    pub fn to_text(&self, topic: &str) -> String {
        let records = if self.records == 1 {
            "record"
        } else {
            "records"
        };
        match self.partitions.len() {
            1 => {
                let (partition, range) = self.partitions.first_key_value().unwrap_or((&0, &EMPTY));
                let offsets = match (range.first, range.last) {
                    (Some(first), Some(last)) if first < last => {
                        format!(", offsets {first} to {last}")
                    }
                    (Some(first), _) => format!(", offset {first}"),
                    _ => String::new(),
                };
                format!(
                    "{} {records} to {topic}, partition {partition}{offsets}\n",
                    grouped(self.records)
                )
            }
            count => format!(
                "{} {records} to {topic}, {count} partitions\n",
                grouped(self.records)
            ),
        }
    }

    /// With each partition.
    pub fn to_json(&self, topic: &str) -> Value {
        let partitions = self.partitions.iter().map(|(partition, range)| {
            json!({
                "partition": partition,
                "records": range.records,
                "first_offset": range.first,
                "last_offset": range.last,
            })
        });
        json!({
            "topic": topic,
            "records": self.records,
            "partitions": partitions.collect::<Vec<_>>(),
        })
    }
}

const EMPTY: Range = Range {
    records: 0,
    first: None,
    last: None,
};

fn least(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn records_are_counted_by_partition() {
        let mut summary = Summary::default();
        let mut add = |partition, offset| {
            summary.add(&Delivered {
                topic: "t".into(),
                partition,
                offset,
                append_time_ms: None,
                acknowledged: Instant::now(),
            });
        };
        add(1, Some(5));
        add(1, Some(6));
        assert_eq!(
            summary.to_text("t"),
            "2 records to t, partition 1, offsets 5 to 6\n"
        );
        summary.add(&Delivered {
            topic: "t".into(),
            partition: 0,
            offset: None,
            append_time_ms: None,
            acknowledged: Instant::now(),
        });
        assert_eq!(summary.to_text("t"), "3 records to t, 2 partitions\n");
        let json = summary.to_json("t");
        assert_eq!(json["records"], 3);
        assert_eq!(json["partitions"][0]["first_offset"], Value::Null);
        assert_eq!(json["partitions"][1]["last_offset"], 6);
    }
}
