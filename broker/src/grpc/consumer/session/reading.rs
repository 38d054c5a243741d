//! Reads of the member's partitions: one at a time, of all that is wanted.

use std::{future::Future, pin::Pin};

use fjord_proto::v1::{PartitionRecords, consume_response::Event};
use fjord_wire::{ErrorCode, messages::fetch_response::PartitionData};
use tonic::Status;

use super::Session;
use crate::grpc::{
    fetch::{self, Wanted},
    offsets,
};

/// A read under way.
pub type Reading = Pin<Box<dyn Future<Output = Result<Vec<PartitionRecords>, Status>> + Send>>;

/// What was read; for ever nothing if nothing is being read.
pub async fn finish(reading: &mut Option<Reading>) -> Result<Vec<PartitionRecords>, Status> {
    match reading {
        Some(reading) => reading.await,
        None => std::future::pending().await,
    }
}

impl Session {
    /// Begins a read of what is wanted; nothing if nothing is.
    pub(super) fn read(&mut self) -> Option<Reading> {
        let mut wanted: Vec<(String, i32, i64)> = self
            .positions
            .wanted()
            .into_iter()
            .map(|wanted| (wanted.topic.to_owned(), wanted.partition, wanted.offset))
            .collect();
        if wanted.is_empty() {
            return None;
        }
        // None is asked for first all the time: the first ones may fill every response.
        self.reads = self.reads.wrapping_add(1);
        let first = self.reads % wanted.len();
        wanted.rotate_left(first);
        let (client, limits) = (self.client.clone(), self.limits);
        Some(Box::pin(async move {
            let places: Vec<Wanted<'_>> = wanted
                .iter()
                .map(|(topic, partition, offset)| Wanted {
                    topic,
                    partition: *partition,
                    offset: *offset,
                })
                .collect();
            let found = fetch::read(&client, limits, &places).await?;
            // Reads do not wait any more then: this one and the next and the next would keep a thread busy for ever.
            client.refuse_if_stopping()?;
            let named = |(place, data): (usize, PartitionData)| {
                let (topic, partition, offset) = &wanted[place];
                fetch::partition_records(topic, *partition, *offset, data)
            };
            Ok(found.into_iter().map(named).collect())
        }))
    }

    /// Takes in what was read.
    pub(super) async fn take(&mut self, found: Vec<PartitionRecords>) -> Result<(), Status> {
        for mut records in found {
            let out_of_range = ErrorCode::OffsetOutOfRange.name();
            let reason = records.error.as_ref().map(|error| error.reason.as_str());
            if reason == Some(out_of_range) {
                // Retention was faster than the group: go on where the member wants to begin.
                let (topic, partition) = (records.topic.clone(), records.partition);
                let found = offsets::find(&self.client, &topic, partition, self.start).await?;
                if let Ok(offset) = found {
                    self.positions.seek(&topic, partition, offset);
                    continue;
                }
            }
            if self.positions.send(&mut records) {
                let partition = (records.topic.clone(), records.partition);
                let next_offset = records.next_offset;
                let sequence = self.outbox.push(Event::Records(records));
                self.progress.step(sequence, partition, next_offset);
            }
        }
        Ok(())
    }
}
