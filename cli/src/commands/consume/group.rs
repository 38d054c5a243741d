//! Reading as a member of a group, which commits what is printed, and where it began in the partitions that it got, so
//! that the group goes on there even if nothing came.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use fjord_client::{
    Client, Consumer, Event, Position, SubscribeOptions,
    proto::{Assigned, AssignedPartition, CommittedOffset},
};
use tokio::time::sleep_until;

use super::{ConsumeArgs, Printer, direct::offsets};
use crate::{failure::Failure, format::place::Place, interrupt::Interrupts};

/// How often is committed.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// What a commit says while the group shares its partitions out anew: what is not noted is read again.
const REBALANCING: [&str; 4] = [
    "ILLEGAL_GENERATION",
    "REBALANCE_IN_PROGRESS",
    "UNKNOWN_MEMBER_ID",
    "NOT_COORDINATOR",
];

/// Reads and prints.
///
/// # Errors
///
/// Why it failed.
pub async fn run(
    client: &Client,
    args: &ConsumeArgs,
    group: &str,
    printer: Printer,
    interrupts: &mut Interrupts,
) -> Result<(), Failure> {
    let mut options = SubscribeOptions::new(group, args.topics.iter().cloned());
    options.pattern = args.pattern.clone().unwrap_or_default();
    options.instance_id = args.instance_id.clone().unwrap_or_default();
    options.client_id = "fjord".to_owned();
    options.retry_for = client.options().request_timeout;
    options.start = match args.from {
        Place::Beginning => Position::Earliest,
        Place::End => Position::Latest,
        _ => {
            return Err(Failure::Usage(
                "in a group --from is beginning or end; to go elsewhere, use fjord group reset-offsets".to_owned(),
            ));
        }
    };
    let consumer = tokio::select! {
        consumer = client.consumer(options) => consumer?,
        () = interrupts.next() => return Ok(()),
    };
    let mut member = Member {
        client,
        consumer,
        printer,
        until_end: args.until_end,
        ends: BTreeMap::new(),
        printed: BTreeMap::new(),
        committed_at: Instant::now(),
        has_partitions: false,
    };
    let outcome = member.read(interrupts).await;
    // Whatever happened: what is printed is committed, and others get the partitions at once.
    let committed = member.commit().await;
    let left = member.consumer.leave().await;
    outcome.and(committed)?;
    Ok(left?)
}

type Partition = (String, i32);

struct Member<'a> {
    client: &'a Client,
    consumer: Consumer,
    printer: Printer,
    until_end: bool,
    /// Where the assigned partitions ended that are not read until there; with `until_end`.
    ends: BTreeMap<Partition, i64>,
    /// Behind what is printed, or where a partition began, and not committed.
    printed: BTreeMap<Partition, i64>,
    committed_at: Instant,
    has_partitions: bool,
}

impl Member<'_> {
    async fn read(&mut self, interrupts: &mut Interrupts) -> Result<(), Failure> {
        while !self.is_done() {
            let commit_at = self.committed_at + COMMIT_INTERVAL;
            let event = tokio::select! {
                biased;
                () = interrupts.next() => return Ok(()),
                () = sleep_until(commit_at.into()), if !self.printed.is_empty() => {
                    self.commit().await?;
                    continue;
                }
                event = self.consumer.next() => event?,
            };
            match event {
                Some(Event::Assigned(assigned)) => self.assigned(assigned).await?,
                Some(Event::Revoked(revoked)) => {
                    self.has_partitions = false;
                    if !revoked.lost {
                        self.commit().await?;
                    }
                    self.printed.clear();
                }
                Some(Event::Records(batch)) => {
                    let next_offset = self.printer.print(&batch)?;
                    let partition = (batch.topic, batch.partition);
                    if self
                        .ends
                        .get(&partition)
                        .is_some_and(|end| next_offset >= *end)
                    {
                        self.ends.remove(&partition);
                    }
                    self.printed.insert(partition, next_offset);
                }
                None => break,
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.printer.is_done() || (self.until_end && self.has_partitions && self.ends.is_empty())
    }

    /// Notes where the partitions begin, and where those end that are not read until there.
    async fn assigned(&mut self, assigned: Assigned) -> Result<(), Failure> {
        self.has_partitions = true;
        self.ends.clear();
        let begin = |one: &AssignedPartition| ((one.topic.clone(), one.partition), one.offset);
        self.printed = assigned.partitions.iter().map(begin).collect();
        if !self.until_end {
            return Ok(());
        }
        let topics: BTreeSet<&String> = assigned.partitions.iter().map(|one| &one.topic).collect();
        for topic in topics {
            let ends = offsets(self.client, topic, Position::Latest).await?;
            for one in assigned.partitions.iter().filter(|one| one.topic == *topic) {
                let end = ends.get(&one.partition).copied().unwrap_or(0);
                if one.offset < end {
                    self.ends.insert((topic.clone(), one.partition), end);
                }
            }
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        self.committed_at = Instant::now();
        let offsets = self
            .printed
            .iter()
            .map(|((topic, partition), offset)| CommittedOffset {
                topic: topic.clone(),
                partition: *partition,
                offset: *offset,
                metadata: String::new(),
            });
        match self.consumer.commit_offsets(offsets.collect()).await {
            Ok(()) => self.printed.clear(),
            Err(error) if error.is_retriable() || REBALANCING.contains(&error.reason()) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
