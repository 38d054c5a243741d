//! The life of one member, from `subscribe` to the end of the stream.
//!
//! ```text
//!   join ─► assigned ─► records, commands, heartbeats ─► revoked ─► release ─┐
//!    ▲                        │ leave, or the stream ends                     │
//!    └────────────────────────┼───────────────────────────────────────────────┘
//!                             ▼
//! ```
//!
//! [`join`] gets the member its partitions and sees when the group changes, [`reading`] reads them, [`commands`] does
//! what the client says, [`release`] waits until the client is done with what was revoked, and [`outbox`] holds the
//! events that the client has not taken yet.

mod commands;
mod join;
mod outbox;
mod reading;
mod release;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use fjord_proto::v1::{
    ConsumeRequest, Revoked, Subscribe, consume_request::Command, consume_response::Event,
};
use regex::Regex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use self::{commands::Commands, outbox::Outbox, reading::Reading};
use super::{Events, membership::Membership, positions::Positions, progress::Progress};
use crate::{
    grpc::{
        backend::{self, Backend, Client},
        error,
        fetch::Limits,
        numbers::or_default,
        offsets::Place,
    },
    observability::metrics::MemberGuard,
};

const DEFAULT_SESSION_TIMEOUT_MS: u32 = 45_000;
const DEFAULT_REBALANCE_TIMEOUT_MS: u32 = 60_000;
const DEFAULT_MAX_BYTES: u32 = 1 << 20;
/// How often the coordinator is asked how the group is: calls within the broker, or over a connection that is there, cost
/// little, and the sooner a member knows of a rebalance, the shorter it is.
const HEARTBEAT_EVERY: Duration = Duration::from_millis(250);
/// The longest that one read waits for records.
const FETCH_WAIT_MS: i32 = 500;

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
    progress: Progress,
    /// How many reads there were.
    reads: usize,
    commands: Commands,
    outbox: Outbox,
    /// What the member subscribed to and how many partitions there were, when it joined.
    joined_with: BTreeMap<String, usize>,
    _counted: MemberGuard,
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
        let membership = Membership {
            client: client.clone(),
            group: subscribe.group,
            instance_id: Some(subscribe.instance_id).filter(|id| !id.is_empty()),
            session_timeout_ms: or_default(
                subscribe.session_timeout_ms,
                DEFAULT_SESSION_TIMEOUT_MS,
            ),
            rebalance_timeout_ms: or_default(
                subscribe.rebalance_timeout_ms,
                DEFAULT_REBALANCE_TIMEOUT_MS,
            ),
            member_id: String::new(),
            generation: -1,
            leads: false,
            knows_coordinator: false,
        };
        Ok(Self {
            _counted: backend.broker().metrics.grpc.member(),
            backend,
            client,
            membership,
            topics: subscribe.topics.into_iter().collect(),
            pattern: join::whole_name(&subscribe.pattern)?,
            start: Place::of_position(subscribe.start, Place::Latest),
            limits: Limits {
                max_bytes: or_default(subscribe.max_bytes, DEFAULT_MAX_BYTES),
                min_bytes: 1,
                max_wait_ms: FETCH_WAIT_MS,
            },
            positions: Positions::new(subscribe.credit_records),
            progress: Progress::default(),
            reads: 0,
            commands: Commands::new(commands),
            outbox: Outbox::new(events),
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
                self.outbox.push(Event::Revoked(Revoked {
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

    /// Reads, and does what the client says, until the group changes.
    async fn consume(&mut self) -> Result<Turn, Status> {
        let mut heartbeats = interval(HEARTBEAT_EVERY);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reading: Option<Reading> = None;
        loop {
            if reading.is_none() && self.outbox.is_empty() {
                reading = self.read();
            }
            tokio::select! {
                _ = heartbeats.tick() => {
                    if let Some(turn) = self.heartbeat().await? {
                        return Ok(turn);
                    }
                }
                command = self.commands.next(), if self.outbox.has_room() => {
                    let command = command?;
                    // What is being read may not be wanted any more.
                    if matches!(command, Command::Seek(_) | Command::Pause(_) | Command::Resume(_)) {
                        reading = None;
                    }
                    if let Some(turn) = self.command(command).await? {
                        return Ok(turn);
                    }
                }
                () = self.outbox.deliver() => {}
                read = reading::finish(&mut reading) => {
                    reading = None;
                    self.take(read?).await?;
                }
            }
        }
    }
}
