//! What a replica does while this broker leads its partition.

use std::sync::Arc;

use bytes::Bytes;
use fjord_log::{AppendError, AppendOutcome};
use tracing::{debug, error};

use super::{Acks, Replica, Role, WriteError, tell_all};
use crate::{
    clock::monotonic_ms,
    metadata,
    partition::{
        in_sync::{InSync, Start},
        links::Link,
        waiting::{Done, Released, Waiting},
    },
};

/// What a leader knows.
pub(super) struct Leadership {
    pub(super) in_sync: InSync,
    pub(super) waiting: Waiting,
    /// The streams to its followers.
    pub(super) links: Vec<Arc<Link>>,
}

impl Replica {
    /// Begins to lead, if the log takes it.
    pub(super) fn lead(
        self: &Arc<Self>,
        state: &metadata::Partition,
        min_in_sync: usize,
        now_ms: u64,
    ) -> Role {
        let label = self.log.label();
        let (this, leader_epoch) = (Arc::clone(self), state.leader_epoch);
        // It is written before anything that is appended in this epoch, and after all that was under way from the
        // leader before.
        let begun = self.log.begin_epoch(
            leader_epoch,
            Box::new(move |_written| this.epoch_begun(leader_epoch)),
        );
        if let Err(failed) = begun {
            error!(partition = label, error = %failed, "cannot lead a partition");
            return Role::Follower;
        }
        let positions = self.log.positions();
        let start = Start {
            own_end: positions.durable_end,
            epoch_start: positions.log_end,
            high_watermark: self
                .log
                .high_watermark()
                .clamp(positions.log_start, positions.log_end),
            now_ms,
        };
        debug!(
            partition = label,
            leader_epoch,
            log_end = start.epoch_start,
            "leading"
        );
        let mut leadership = Leadership {
            in_sync: InSync::new(self.broker_id, state.clone(), min_in_sync, start),
            waiting: Waiting::default(),
            links: Vec::new(),
        };
        // Nobody waits yet.
        let _nobody = self.advanced(&mut leadership);
        Role::Leader(Box::new(leadership))
    }

    /// What was under way when the leadership of `leader_epoch` began is on disk, or was refused.
    fn epoch_begun(&self, leader_epoch: i32) {
        let end = self.log.positions().durable_end;
        self.as_leader(|leadership| {
            if leadership.in_sync.partition().leader_epoch == leader_epoch {
                leadership.in_sync.begun(end);
            }
        });
    }

    /// Takes over the high watermark, and what it releases.
    pub(super) fn advanced(&self, leadership: &mut Leadership) -> Released {
        let high_watermark = leadership.in_sync.high_watermark();
        self.log.set_high_watermark(high_watermark);
        leadership.waiting.release(high_watermark)
    }

    /// Tells everyone what has become readable. No lock may be held.
    pub(super) fn settle(&self, released: Released) {
        if released.bytes > 0 {
            self.parked.appended(released.bytes);
        }
        released.tell();
    }

    /// Does something as the leader; nothing if this broker does not lead the partition.
    pub(super) fn as_leader<T>(&self, work: impl FnOnce(&mut Leadership) -> T) -> Option<T> {
        let mut role = self.role();
        let Role::Leader(leadership) = &mut *role else {
            return None;
        };
        let result = work(leadership);
        let released = self.advanced(leadership);
        drop(role);
        self.settle(released);
        Some(result)
    }

    /// Whether the high watermark is known to be no less than what clients were told before (KIP-207).
    pub fn is_settled(&self) -> bool {
        match &*self.role() {
            Role::Leader(leadership) => leadership.in_sync.is_settled(),
            Role::Follower | Role::Gone => false,
        }
    }

    /// Appends one valid batch. `done` is called once when the batch is where `acks` wants it, or will not get there.
    /// It must be quick.
    ///
    /// # Errors
    ///
    /// If the batch is refused at once; `done` is not called then.
    pub fn append(
        self: &Arc<Self>,
        batch: Bytes,
        acks: Acks,
        done: impl FnOnce(Result<AppendOutcome, WriteError>) + Send + 'static,
    ) -> Result<(), WriteError> {
        let this = Arc::clone(self);
        let bytes = batch.len();
        let role = self.role();
        let leadership = match &*role {
            Role::Leader(leadership) => leadership,
            Role::Follower => return Err(WriteError::NotLeader),
            Role::Gone => return Err(AppendError::Deleted.into()),
        };
        let in_sync = &leadership.in_sync;
        if acks == Acks::All && !in_sync.has_enough() {
            return Err(WriteError::NotEnoughReplicas {
                found: in_sync.partition().in_sync_replicas.len(),
                needed: in_sync.min_in_sync(),
            });
        }
        let leader_epoch = in_sync.partition().leader_epoch;
        let completion = Box::new(
            move |result: Result<AppendOutcome, AppendError>| match result {
                Ok(outcome) => this.written(leader_epoch, outcome, bytes, acks, Box::new(done)),
                Err(refused) => done(Err(refused.into())),
            },
        );
        // Under the lock, so that nothing is appended in an epoch that is over.
        self.log.append(batch, leader_epoch, completion)?;
        Ok(())
    }

    /// A batch is on this broker's disk.
    fn written(
        &self,
        leader_epoch: i32,
        outcome: AppendOutcome,
        bytes: usize,
        acks: Acks,
        done: Done,
    ) {
        let mut role = self.role();
        let leadership = match &mut *role {
            Role::Leader(leadership)
                if leadership.in_sync.partition().leader_epoch == leader_epoch =>
            {
                leadership
            }
            _ => {
                drop(role);
                return done(Err(WriteError::NotLeader));
            }
        };
        leadership.in_sync.own(outcome.last_offset + 1);
        let (at_once, later) = match acks {
            Acks::Leader => (Some(done), None),
            Acks::All => (None, Some(done)),
        };
        leadership
            .waiting
            .push(outcome, bytes, monotonic_ms(), later);
        let released = self.advanced(leadership);
        drop(role);
        if let Some(done) = at_once {
            done(Ok(outcome));
        }
        self.settle(released);
    }

    /// Those who have waited for followers since before `since_ms` wait no longer: others may lead the partition by now.
    /// Their records may be replicated yet.
    pub fn give_up_waiting(&self, since_ms: u64) {
        let waiting = self.as_leader(|leadership| leadership.waiting.take_older(since_ms));
        tell_all(waiting.unwrap_or_default(), &WriteError::NotLeader);
    }

    /// Moves the log's start forward (DeleteRecords), and calls `done` when that is on disk.
    ///
    /// # Errors
    ///
    /// If it is refused at once; `done` is not called then.
    pub fn delete_records_before(
        self: &Arc<Self>,
        log_start: u64,
        done: impl FnOnce(Result<AppendOutcome, AppendError>) + Send + 'static,
    ) -> Result<(), AppendError> {
        let this = Arc::clone(self);
        self.log.set_log_start(
            log_start,
            Box::new(move |result| {
                this.log_start_moved();
                done(result);
            }),
        )
    }

    /// Tells followers and whoever reads that the log's start has moved.
    pub(in crate::partition) fn log_start_moved(&self) {
        self.as_leader(|leadership| leadership.links.iter().for_each(Link::mark));
        self.parked.changed();
    }
}

impl Leadership {
    /// Takes a changed state over; returns who waits in vain from now on.
    pub(super) fn changed(&mut self, state: &metadata::Partition, min_in_sync: usize) -> Vec<Done> {
        let had_enough = self.in_sync.has_enough();
        self.in_sync.committed(state);
        self.in_sync.set_min_in_sync(min_in_sync);
        for link in &self.links {
            link.set_in_sync(state.in_sync_replicas.contains(&link.follower));
        }
        match had_enough && !self.in_sync.has_enough() {
            true => self.waiting.take_all(),
            false => Vec::new(),
        }
    }
}
