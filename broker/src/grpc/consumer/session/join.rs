//! How a member gets its partitions, and when it has to join again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use fjord_proto::v1::{
    Assigned, AssignedPartition, Pause, Resume, Seek, consume_request::Command,
    consume_response::Event,
};
use fjord_wire::ErrorCode;
use regex::Regex;
use tonic::Status;
use tracing::debug;

use super::{
    Session, Turn,
    commands::{refused, subscribed_already, without_effect},
};
use crate::{
    api::error::ApiError,
    grpc::{
        backend::{Backend, Client},
        consumer::{
            membership::{Membership, is_passing},
            protocol::{Partitions, each},
        },
        error,
        offsets::{self, Place},
    },
};

const LONGEST_PATTERN: usize = 1000;

/// How long to wait before a partition is asked again that could not say where it begins.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Where reading begins, by partition.
type Starts = Vec<((String, i32), i64)>;

/// What an attempt to join has come to.
enum Attempt {
    Joined(Starts),
    /// The group has changed meanwhile.
    Again,
    Left,
}

impl Session {
    /// Joins the group, and sends what the member is assigned.
    pub(super) async fn join(&mut self) -> Result<Turn, Status> {
        let starts = loop {
            match self.attempt().await? {
                Attempt::Joined(starts) => break starts,
                Attempt::Again => {}
                Attempt::Left => return Ok(Turn::Left),
            }
        };
        let assigned = starts
            .iter()
            .map(|((topic, partition), offset)| AssignedPartition {
                topic: topic.clone(),
                partition: *partition,
                offset: *offset,
            });
        let sequence = self.outbox.push(Event::Assigned(Assigned {
            member_id: self.membership.member_id.clone(),
            generation: self.membership.generation,
            partitions: assigned.collect(),
        }));
        self.progress.assign(sequence, starts.iter().cloned());
        self.positions.assign(starts);
        Ok(Turn::Rebalance)
    }

    async fn attempt(&mut self) -> Result<Attempt, Status> {
        let topics = self.topics_now();
        self.joined_with = self.partition_counts(&topics);
        let (backend, client, start) = (self.backend.clone(), self.client.clone(), self.start);
        let membership = &mut self.membership;
        let joining = async {
            let partitions = membership.join(&topics, || backend.image()).await?;
            starts(membership, &backend, &client, &partitions, start).await
        };
        let mut joining = std::pin::pin!(joining);
        loop {
            tokio::select! {
                joined = &mut joining => return Ok(match joined? {
                    Some(starts) => Attempt::Joined(starts),
                    None => Attempt::Again,
                }),
                () = self.outbox.deliver() => {}
                command = self.commands.next(), if self.outbox.has_room() => match command? {
                    Command::Leave(_) => return Ok(Attempt::Left),
                    Command::Credit(credit) => self.positions.add_credit(credit.records),
                    Command::Commit(commit) => {
                        self.outbox.push(refused(commit));
                    }
                    Command::Subscribe(_) => return Err(subscribed_already()),
                    Command::Seek(Seek { id, .. })
                    | Command::Pause(Pause { id, .. })
                    | Command::Resume(Resume { id, .. }) => {
                        self.outbox.push(without_effect(id));
                    }
                    // For partitions that were given back before.
                    Command::Release(_) => {}
                },
            }
        }
    }

    /// Asks how the group is; says so if the member has to join again.
    pub(super) async fn heartbeat(&mut self) -> Result<Option<Turn>, Status> {
        let code = self.membership.heartbeat().await?;
        match code {
            ErrorCode::None => {}
            ErrorCode::RebalanceInProgress => return Ok(Some(Turn::Rebalance)),
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                return Ok(Some(Turn::Lost));
            }
            code if is_passing(code) => return Ok(None),
            code => error::check(code.code(), None)?,
        }
        let topics = self.topics_now();
        // New partitions concern the member that assigns; new topics the one that reads them.
        let now = self.partition_counts(&topics);
        let changed = match self.membership.leads {
            true => now != self.joined_with,
            false => !now.keys().eq(self.joined_with.keys()),
        };
        Ok(changed.then_some(Turn::Rebalance))
    }

    /// The topics that the member reads now.
    fn topics_now(&self) -> BTreeSet<String> {
        let mut topics = self.topics.clone();
        if let Some(pattern) = &self.pattern {
            let image = self.backend.image();
            let matching = image
                .topics()
                .filter(|topic| !topic.is_internal() && pattern.is_match(&topic.name));
            topics.extend(matching.map(|topic| topic.name.to_string()));
        }
        topics
    }

    fn partition_counts(&self, topics: &BTreeSet<String>) -> BTreeMap<String, usize> {
        let image = self.backend.image();
        let count = |name: &String| Some((name.clone(), image.topic(name)?.partitions.len()));
        topics.iter().filter_map(count).collect()
    }
}

/// Where reading begins in each partition: where the group is, or else where the member wants to. Asks until every
/// partition has said so; nothing if the group changes meanwhile.
async fn starts(
    membership: &Membership,
    backend: &Backend,
    client: &Client,
    partitions: &Partitions,
    start: Place,
) -> Result<Option<Starts>, Status> {
    let committed = membership.committed(partitions).await?;
    let mut starts = Starts::new();
    for (topic, partition) in each(partitions) {
        let key = (topic.to_owned(), partition);
        let offset = match committed.get(&key) {
            Some(offset) => *offset,
            None => loop {
                let found = offsets::find(client, topic, partition, start).await?;
                if let Some(offset) = known(found).map_err(|error| error::status(&error))? {
                    break offset;
                }
                debug!(
                    topic,
                    partition, "a partition cannot say yet where it begins"
                );
                tokio::time::sleep(RETRY_AFTER).await;
                // A topic that goes away changes the group.
                let image = backend.image();
                let found = image
                    .topic(topic)
                    .and_then(|topic| topic.partition(partition));
                if found.is_none() || membership.heartbeat().await? != ErrorCode::None {
                    return Ok(None);
                }
            },
        };
        starts.push((key, offset));
    }
    Ok(Some(starts))
}

/// The offset; nothing if the partition may say so later. To begin anywhere else would lose records or repeat them.
fn known(found: Result<i64, ApiError>) -> Result<Option<i64>, ApiError> {
    match found {
        Ok(offset) => Ok(Some(offset)),
        Err(error) if error.code.retriable() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A regular expression for whole names.
pub fn whole_name(pattern: &str) -> Result<Option<Regex>, Status> {
    if pattern.is_empty() {
        return Ok(None);
    }
    if pattern.len() > LONGEST_PATTERN {
        return Err(error::invalid(format!(
            "a pattern has at most {LONGEST_PATTERN} bytes"
        )));
    }
    Regex::new(&format!("^(?:{pattern})$"))
        .map(Some)
        .map_err(|bad| error::invalid(format!("the pattern is no regular expression: {bad}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_cannot_say_where_it_begins_is_not_read_from_elsewhere() {
        assert_eq!(known(Ok(7)).unwrap(), Some(7));
        for passing in [
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::NotLeaderOrFollower,
            ErrorCode::LeaderNotAvailable,
            ErrorCode::OffsetNotAvailable,
        ] {
            assert_eq!(known(Err(passing.into())).unwrap(), None, "{passing:?}");
        }
        let denied = known(Err(ErrorCode::TopicAuthorizationFailed.into())).unwrap_err();
        assert_eq!(denied.code, ErrorCode::TopicAuthorizationFailed);
    }

    #[test]
    fn a_pattern_is_for_whole_names() {
        let pattern = whole_name("a|b+").unwrap().unwrap();
        assert!(pattern.is_match("a") && pattern.is_match("bb"));
        assert!(!pattern.is_match("ab") && !pattern.is_match("xa"));
        assert!(whole_name("").unwrap().is_none());
        assert!(whole_name("(").is_err() && whole_name(&"a".repeat(1001)).is_err());
    }
}
