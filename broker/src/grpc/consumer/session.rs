//! The life of one member, from `subscribe` to the end of the stream.
//!
//! ```text
//!   join ─► assigned ─► records, commands, heartbeats ─► revoked ─► release ─┐
//!    ▲                        │ leave, or the stream ends                     │
//!    └────────────────────────┼───────────────────────────────────────────────┘
//!                             ▼
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::Future,
    pin::Pin,
    time::Duration,
};

use fjord_proto::v1::{
    Assigned, AssignedPartition, Commit, CommitFailure, Committed, ConsumeRequest, ConsumeResponse,
    PartitionRecords, Position, Revoked, Seek, Subscribe, consume_request::Command,
    consume_response::Event, seek::To,
};
use fjord_wire::{ErrorCode, messages::fetch_response::PartitionData};
use regex::Regex;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{
    membership::{Membership, Offset, is_passing},
    positions::{Positions, each},
    protocol::Partitions,
};
use crate::{
    api::error::ApiError,
    grpc::{
        backend::{self, Backend, Client},
        error,
        fetch::{self, Limits, Wanted},
        offsets::{self, Place},
    },
};

const DEFAULT_SESSION_TIMEOUT_MS: u32 = 45_000;
const DEFAULT_REBALANCE_TIMEOUT_MS: u32 = 60_000;
const DEFAULT_MAX_BYTES: u32 = 1 << 20;
/// How often the coordinator is asked how the group is: calls within the broker cost little, and the sooner a
/// member knows of a rebalance, the shorter it is.
const HEARTBEAT_EVERY: Duration = Duration::from_millis(250);
/// The longest that one read waits for records.
const FETCH_WAIT_MS: i32 = 500;
const LONGEST_PATTERN: usize = 1000;

type Events = mpsc::Sender<Result<ConsumeResponse, Status>>;

/// Why a member has to join again, or ends.
enum Turn {
    /// The group changes, or what the member reads does.
    Rebalance,
    /// The group has gone on without the member.
    Lost,
    /// The client has left.
    Left,
}

/// One member.
pub struct Session {
    backend: Backend,
    client: Client,
    membership: Membership,
    topics: BTreeSet<String>,
    pattern: Option<Regex>,
    start: Place,
    limits: Limits,
    positions: Positions,
    /// How many reads there were.
    reads: usize,
    commands: Streaming<ConsumeRequest>,
    /// The client says nothing more; it still listens.
    silent: bool,
    events: Events,
    /// Events that are to be sent, in order.
    pending: VecDeque<Event>,
    /// What the member subscribed to and how many partitions there were, when it joined.
    joined_with: BTreeMap<String, usize>,
}

impl Session {
    /// A member that has not joined yet.
    ///
    /// # Errors
    ///
    /// If the subscription makes no sense.
    pub fn new(
        backend: Backend,
        client: Client,
        subscribe: Subscribe,
        commands: Streaming<ConsumeRequest>,
        events: Events,
    ) -> Result<Self, Status> {
        if subscribe.topics.is_empty() && subscribe.pattern.is_empty() {
            return Err(error::invalid("subscribe needs topics or a pattern"));
        }
        let or_default = |given: u32, default| if given == 0 { default } else { given };
        let signed = |value| i32::try_from(value).unwrap_or(i32::MAX);
        let session_timeout = or_default(subscribe.session_timeout_ms, DEFAULT_SESSION_TIMEOUT_MS);
        let rebalance_timeout =
            or_default(subscribe.rebalance_timeout_ms, DEFAULT_REBALANCE_TIMEOUT_MS);
        let membership = Membership {
            client: client.clone(),
            group: subscribe.group,
            instance_id: Some(subscribe.instance_id).filter(|id| !id.is_empty()),
            session_timeout_ms: signed(session_timeout),
            rebalance_timeout_ms: signed(rebalance_timeout),
            member_id: String::new(),
            generation: -1,
            leads: false,
        };
        Ok(Self {
            backend,
            client,
            membership,
            topics: subscribe.topics.into_iter().collect(),
            pattern: whole_name(&subscribe.pattern)?,
            start: Place::of_position(subscribe.start, Place::Latest),
            limits: Limits {
                max_bytes: signed(or_default(subscribe.max_bytes, DEFAULT_MAX_BYTES)),
                min_bytes: 1,
                max_wait_ms: FETCH_WAIT_MS,
            },
            positions: Positions::new(subscribe.credit_records),
            reads: 0,
            commands,
            silent: false,
            events,
            pending: VecDeque::new(),
            joined_with: BTreeMap::new(),
        })
    }

    /// Works until the client leaves, or `stopping`.
    ///
    /// # Errors
    ///
    /// What ends the stream. The member has left the group then, unless it is a static one.
    pub async fn run(mut self, stopping: CancellationToken) -> Result<(), Status> {
        let outcome = tokio::select! {
            outcome = self.work() => outcome,
            () = stopping.cancelled() => Err(backend::stopping()),
        };
        if outcome.is_err() && self.membership.instance_id.is_none() {
            // What it fails with is less than what ended the stream.
            let _ = self.membership.leave().await;
        }
        outcome
    }

    async fn work(&mut self) -> Result<(), Status> {
        loop {
            if matches!(self.join().await?, Turn::Left) {
                return self.membership.leave().await;
            }
            let lost = match self.consume().await? {
                Turn::Left => return self.membership.leave().await,
                Turn::Lost => true,
                Turn::Rebalance => false,
            };
            if !self.positions.is_empty() {
                self.pending.push_back(Event::Revoked(Revoked {
                    partitions: self.positions.names(),
                    lost,
                }));
                if matches!(self.release(lost).await?, Turn::Left) {
                    return self.membership.leave().await;
                }
            }
            if lost && self.membership.instance_id.is_none() {
                self.membership.member_id.clear();
            }
            self.positions.assign([]);
        }
    }

    /// Joins the group, and sends what the member is assigned.
    async fn join(&mut self) -> Result<Turn, Status> {
        let topics = self.topics_now();
        self.joined_with = self.partition_counts(&topics);
        let backend = self.backend.clone();
        let partitions = {
            let joining = self.membership.join(&topics, || backend.image());
            let mut joining = std::pin::pin!(joining);
            loop {
                tokio::select! {
                    joined = &mut joining => break joined?,
                    command = next_command(&mut self.commands, &mut self.silent) => match command? {
                        Command::Leave(_) => return Ok(Turn::Left),
                        Command::Credit(credit) => self.positions.add_credit(credit.records),
                        Command::Commit(commit) => self.pending.push_back(refused(commit)),
                        Command::Subscribe(_) => return Err(subscribed_already()),
                        Command::Seek(_) | Command::Pause(_) | Command::Resume(_) | Command::Release(_) => {}
                    },
                }
            }
        };
        let starts = self.starts(&partitions).await?;
        let assigned = starts
            .iter()
            .map(|((topic, partition), offset)| AssignedPartition {
                topic: topic.clone(),
                partition: *partition,
                offset: *offset,
            });
        self.pending.push_back(Event::Assigned(Assigned {
            member_id: self.membership.member_id.clone(),
            generation: self.membership.generation,
            partitions: assigned.collect(),
        }));
        self.positions.assign(starts);
        Ok(Turn::Rebalance)
    }

    /// Where reading begins in each partition: where the group is, or else where the member wants to.
    async fn starts(&self, partitions: &Partitions) -> Result<Vec<((String, i32), i64)>, Status> {
        let committed = self.membership.committed(partitions).await?;
        let mut starts = Vec::new();
        for (topic, partition) in each(partitions) {
            let key = (topic.to_owned(), partition);
            let offset = match committed.get(&key) {
                Some(offset) => *offset,
                None => {
                    let found = offsets::find(&self.client, topic, partition, self.start).await?;
                    // A topic that goes away meanwhile changes the group again.
                    found.unwrap_or(0)
                }
            };
            starts.push((key, offset));
        }
        Ok(starts)
    }

    /// Reads, and does what the client says, until the group changes.
    async fn consume(&mut self) -> Result<Turn, Status> {
        let mut heartbeats = interval(HEARTBEAT_EVERY);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reading: Option<Reading> = None;
        let events = self.events.clone();
        loop {
            if reading.is_none() && self.pending.is_empty() {
                reading = self.read();
            }
            tokio::select! {
                _ = heartbeats.tick() => {
                    if let Some(turn) = self.heartbeat().await? {
                        return Ok(turn);
                    }
                }
                command = next_command(&mut self.commands, &mut self.silent) => {
                    let command = command?;
                    // What is being read may not be wanted any more.
                    if matches!(command, Command::Seek(_) | Command::Pause(_) | Command::Resume(_)) {
                        reading = None;
                    }
                    if let Some(turn) = self.command(command).await? {
                        return Ok(turn);
                    }
                }
                permit = events.reserve(), if !self.pending.is_empty() => {
                    if let (Ok(permit), Some(event)) = (permit, self.pending.pop_front()) {
                        permit.send(Ok(ConsumeResponse { event: Some(event) }));
                    }
                }
                read = maybe(&mut reading) => {
                    reading = None;
                    self.take(read?).await?;
                }
            }
        }
    }

    /// Begins a read of what is wanted; nothing if nothing is.
    fn read(&mut self) -> Option<Reading> {
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
            let named = |(place, data): (usize, PartitionData)| {
                let (topic, partition, offset) = &wanted[place];
                fetch::partition_records(topic, *partition, *offset, data)
            };
            Ok(found.into_iter().map(named).collect())
        }))
    }

    /// Takes in what was read.
    async fn take(&mut self, found: Vec<PartitionRecords>) -> Result<(), Status> {
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
                self.pending.push_back(Event::Records(records));
            }
        }
        Ok(())
    }

    async fn heartbeat(&mut self) -> Result<Option<Turn>, Status> {
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

    async fn command(&mut self, command: Command) -> Result<Option<Turn>, Status> {
        match command {
            Command::Subscribe(_) => return Err(subscribed_already()),
            Command::Leave(_) => return Ok(Some(Turn::Left)),
            Command::Credit(credit) => self.positions.add_credit(credit.records),
            Command::Commit(commit) => self.commit(commit).await?,
            Command::Seek(seek) => self.seek(seek).await?,
            Command::Pause(pause) => self.positions.pause(&pause.partitions, true),
            Command::Resume(resume) => self.positions.pause(&resume.partitions, false),
            // For partitions that were given back before.
            Command::Release(_) => {}
        }
        Ok(None)
    }

    async fn commit(&mut self, commit: Commit) -> Result<(), Status> {
        let offsets = match commit.offsets.is_empty() {
            true => self.positions.sent(),
            false => commit
                .offsets
                .into_iter()
                .map(|offset| Offset {
                    topic: offset.topic,
                    partition: offset.partition,
                    offset: offset.offset,
                    metadata: offset.metadata,
                })
                .collect(),
        };
        let refused = match offsets.is_empty() {
            true => Vec::new(),
            false => self.membership.commit(offsets).await?,
        };
        let failure = |(topic, partition, error): (String, i32, ApiError)| CommitFailure {
            topic,
            partition,
            error: Some(error::part(&error)),
        };
        self.pending.push_back(Event::Committed(Committed {
            id: commit.id,
            failures: refused.into_iter().map(failure).collect(),
            error: None,
        }));
        Ok(())
    }

    async fn seek(&mut self, seek: Seek) -> Result<(), Status> {
        let Seek {
            topic,
            partition,
            to,
        } = seek;
        let place = match to {
            Some(To::Offset(offset)) => Place::Offset(offset),
            Some(To::TimestampMs(time)) => Place::Time(time),
            Some(To::Position(position)) => match Position::try_from(position) {
                Ok(Position::Earliest) => Place::Earliest,
                Ok(Position::Latest) => Place::Latest,
                _ => return Err(error::invalid("seek needs an offset, a time or an end")),
            },
            None => return Err(error::invalid("seek needs an offset, a time or an end")),
        };
        if self.positions.next_offset(&topic, partition).is_none() {
            // It may just have gone to another member, which is no fault of the client's.
            return Ok(());
        }
        let found = offsets::find(&self.client, &topic, partition, place).await?;
        let offset = found.map_err(|error| error::status(&error))?;
        self.positions.seek(&topic, partition, offset);
        Ok(())
    }

    /// Waits until the client is done with what was revoked, or for half the time that a rebalance may take.
    async fn release(&mut self, lost: bool) -> Result<Turn, Status> {
        let patience = u64::try_from(self.membership.rebalance_timeout_ms / 2).unwrap_or(0);
        let deadline = Instant::now() + Duration::from_millis(patience);
        let mut heartbeats = interval(HEARTBEAT_EVERY);
        let mut released = lost;
        let events = self.events.clone();
        while !(released && self.pending.is_empty()) {
            tokio::select! {
                permit = events.reserve(), if !self.pending.is_empty() => {
                    if let (Ok(permit), Some(event)) = (permit, self.pending.pop_front()) {
                        permit.send(Ok(ConsumeResponse { event: Some(event) }));
                    }
                }
                command = next_command(&mut self.commands, &mut self.silent) => match command? {
                    Command::Leave(_) => return Ok(Turn::Left),
                    Command::Release(_) => released = true,
                    Command::Commit(commit) if lost => self.pending.push_back(refused(commit)),
                    Command::Commit(commit) => self.commit(commit).await?,
                    Command::Credit(credit) => self.positions.add_credit(credit.records),
                    Command::Subscribe(_) => return Err(subscribed_already()),
                    Command::Seek(_) | Command::Pause(_) | Command::Resume(_) => {}
                },
                // The session must not end while the client takes its time.
                _ = heartbeats.tick(), if !lost => {
                    self.membership.heartbeat().await?;
                }
                () = sleep_until(deadline) => break,
            }
        }
        Ok(Turn::Rebalance)
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

type Reading = Pin<Box<dyn Future<Output = Result<Vec<PartitionRecords>, Status>> + Send>>;

/// What is being read; for ever nothing if nothing is.
async fn maybe(reading: &mut Option<Reading>) -> Result<Vec<PartitionRecords>, Status> {
    match reading {
        Some(reading) => reading.await,
        None => std::future::pending().await,
    }
}

/// The next command; waits for ever when the client says nothing more.
async fn next_command(
    commands: &mut Streaming<ConsumeRequest>,
    silent: &mut bool,
) -> Result<Command, Status> {
    if *silent {
        return std::future::pending().await;
    }
    match commands.message().await? {
        Some(request) => request
            .command
            .ok_or_else(|| error::invalid("the message has no command")),
        None => {
            *silent = true;
            std::future::pending().await
        }
    }
}

fn subscribed_already() -> Status {
    error::invalid("the stream has subscribed already; another subscription needs another stream")
}

/// A commit while the member has no partitions.
fn refused(commit: Commit) -> Event {
    let error = ApiError::new(
        ErrorCode::RebalanceInProgress,
        "the partitions are with other members now; what was not committed is read again",
    );
    Event::Committed(Committed {
        id: commit.id,
        failures: Vec::new(),
        error: Some(error::part(&error)),
    })
}

/// A regular expression for whole names.
fn whole_name(pattern: &str) -> Result<Option<Regex>, Status> {
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
