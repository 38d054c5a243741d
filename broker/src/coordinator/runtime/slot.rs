//! One hosted shard: what waits in it, what it has appended, and how it gets from one state to
//! the next.
//!
//! Two locks guard a slot. `order` is held from a step to the end of its append, so that appends
//! have the order of the steps; `state` is held for the step alone, so that the log may report an
//! outcome from within the append.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::super::shard::{AfterAppend, AppendId, Now, Record, Shard, Step, Token};
use super::{AppendFailed, Inner, Unavailable, lock};

/// The most bytes of keys and values in one batch; a step with more is appended as several.
const MAX_BATCH_BYTES: usize = 512 * 1024;

type Sender<S> = oneshot::Sender<Result<<S as Shard>::Reply, Unavailable>>;

/// One hosted shard.
pub(super) struct Slot<S: Shard> {
    pub(super) partition: i32,
    /// Of the leadership under which it is hosted.
    pub(super) leader_epoch: i32,
    order: Mutex<()>,
    state: Mutex<State<S>>,
}

struct State<S: Shard> {
    phase: Phase<S>,
    /// Counts how often the shard was thrown away; outcomes of earlier epochs mean nothing.
    epoch: u64,
    /// Batches whose outcome is not known, of any epoch. A replay has to wait for them.
    open_batches: usize,
    /// The deadline at which the slot is to be woken.
    deadline_ms: Option<u64>,
}

enum Phase<S: Shard> {
    Loading,
    Active(Active<S>),
    Closed,
}

struct Active<S: Shard> {
    shard: S,
    next_token: u64,
    waiting: HashMap<Token, Sender<S>>,
    /// Replies that wait for an append and all before it.
    held: VecDeque<(AppendId, Token, S::Reply)>,
    appends: VecDeque<Append>,
}

struct Append {
    id: AppendId,
    batches: usize,
    open_batches: usize,
    failed: bool,
}

/// A step's records on their way to the log.
struct Outgoing {
    epoch: u64,
    id: AppendId,
    batches: Vec<Vec<Record>>,
}

impl<S: Shard> Slot<S> {
    pub(super) fn new(partition: i32, leader_epoch: i32) -> Self {
        let state = State {
            phase: Phase::Loading,
            epoch: 0,
            open_batches: 0,
            deadline_ms: None,
        };
        Self {
            partition,
            leader_epoch,
            order: Mutex::default(),
            state: Mutex::new(state),
        }
    }

    pub(super) fn is_active(&self) -> bool {
        matches!(lock(&self.state).phase, Phase::Active(_))
    }

    pub(super) fn is_loading(&self, epoch: u64) -> bool {
        let state = lock(&self.state);
        state.epoch == epoch && matches!(state.phase, Phase::Loading)
    }

    /// Throws the shard away for good; dropping what waits in it answers it.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.epoch += 1;
        state.phase = Phase::Closed;
    }
}

impl<S: Shard> Inner<S> {
    pub(super) fn handle(
        self: &Arc<Self>,
        slot: &Arc<Slot<S>>,
        request: S::Request,
        sender: Sender<S>,
    ) {
        self.step(slot, |state, now| {
            let active = match &mut state.phase {
                Phase::Active(active) => active,
                Phase::Loading => {
                    answer(sender, Err(Unavailable::Loading));
                    return None;
                }
                Phase::Closed => {
                    answer(sender, Err(Unavailable::NotHere));
                    return None;
                }
            };
            let token = Token(active.next_token);
            active.next_token += 1;
            active.waiting.insert(token, sender);
            Some(active.shard.handle(token, request, now))
        });
    }

    pub(super) fn tick(self: &Arc<Self>, slot: &Arc<Slot<S>>) {
        self.step(slot, |state, now| {
            state.deadline_ms = None;
            match &mut state.phase {
                Phase::Active(active) => Some(active.shard.tick(now)),
                Phase::Loading | Phase::Closed => None,
            }
        });
    }

    /// Puts a replayed shard to work, unless the slot has moved on.
    pub(super) fn activate(self: &Arc<Self>, slot: &Arc<Slot<S>>, epoch: u64, mut shard: S) {
        self.step(slot, |state, now| {
            if state.epoch != epoch || !matches!(state.phase, Phase::Loading) {
                return None;
            }
            let step = shard.loaded(now);
            state.phase = Phase::Active(Active {
                shard,
                next_token: 0,
                waiting: HashMap::new(),
                held: VecDeque::new(),
                appends: VecDeque::new(),
            });
            Some(step)
        });
    }

    /// Runs a step, sends its replies, and appends its records.
    fn step(
        self: &Arc<Self>,
        slot: &Arc<Slot<S>>,
        run: impl FnOnce(&mut State<S>, Now) -> Option<Step<S::Reply>>,
    ) {
        let _in_order = lock(&slot.order);
        let now = self.now();
        let outgoing = {
            let mut state = lock(&slot.state);
            let outgoing = run(&mut state, now).and_then(|step| state.take(step));
            self.schedule(slot.partition, &mut state);
            outgoing
        };
        let Some(Outgoing { epoch, id, batches }) = outgoing else {
            return;
        };
        for records in batches {
            let (inner, slot_then) = (self.clone(), slot.clone());
            let done = Box::new(move |result: Result<i64, AppendFailed>| {
                inner.settled(&slot_then, epoch, id, result.err());
            });
            self.log.append(slot.partition, records, now.wall_ms, done);
        }
    }

    /// Makes sure that the slot is woken at its shard's next deadline.
    fn schedule(&self, partition: i32, state: &mut State<S>) {
        let Phase::Active(active) = &state.phase else {
            return;
        };
        let Some(next_ms) = active.shard.next_deadline_ms() else {
            return;
        };
        if state
            .deadline_ms
            .is_some_and(|deadline_ms| deadline_ms <= next_ms)
        {
            return;
        }
        let mut deadlines = lock(&self.deadlines);
        if let Some(old_ms) = state.deadline_ms.replace(next_ms) {
            deadlines.remove(&(old_ms, partition));
        }
        deadlines.insert((next_ms, partition));
        if deadlines.first() == Some(&(next_ms, partition)) {
            self.earlier_deadline.notify_one();
        }
    }

    /// Learns the outcome of one batch.
    fn settled(
        self: &Arc<Self>,
        slot: &Arc<Slot<S>>,
        epoch: u64,
        id: AppendId,
        failure: Option<AppendFailed>,
    ) {
        if let Some(failed) = &failure {
            warn!(partition = slot.partition, error = %failed, "a coordinator's append failed");
        }
        let mut state = lock(&slot.state);
        state.open_batches -= 1;
        let is_current = state.epoch == epoch;
        if is_current
            && let Phase::Active(active) = &mut state.phase
            && active.settle(id, failure.is_some()) == AfterAppend::Reload
        {
            error!(partition = slot.partition, "reloading a coordinator shard");
            state.phase = Phase::Loading;
            state.epoch += 1;
        }
        // A reload begins when the last batch of the epoch before it is settled, so that it sees
        // all of them. A first load has none to wait for and is begun where the slot is made.
        let reload = !matches!(state.phase, Phase::Closed) && state.open_batches == 0;
        if reload && matches!(state.phase, Phase::Loading) {
            let epoch = state.epoch;
            drop(state);
            self.spawn_load(slot.clone(), epoch);
        }
    }
}

impl<S: Shard> State<S> {
    /// Sends a step's replies or holds them, and notes what is about to be appended.
    fn take(&mut self, step: Step<S::Reply>) -> Option<Outgoing> {
        let Phase::Active(active) = &mut self.phase else {
            return None;
        };
        for (token, reply) in step.replies {
            active.reply(token, Ok(reply));
        }
        let outgoing = step.append.map(|(id, records)| {
            let batches = split(records);
            let count = batches.len();
            self.open_batches += count;
            let append = Append {
                id,
                batches: count,
                open_batches: count,
                failed: false,
            };
            active.appends.push_back(append);
            Outgoing {
                epoch: self.epoch,
                id,
                batches,
            }
        });
        let last = active.appends.back().map(|append| append.id);
        for (token, reply) in step.held {
            match last {
                Some(last) => active.held.push_back((last, token, reply)),
                None => active.reply(token, Ok(reply)),
            }
        }
        outgoing
    }
}

impl<S: Shard> Active<S> {
    fn reply(&mut self, token: Token, reply: Result<S::Reply, Unavailable>) {
        if let Some(sender) = self.waiting.remove(&token) {
            answer(sender, reply);
        }
    }

    /// Notes the outcome of one batch, and tells the shard of the appends that are complete.
    fn settle(&mut self, id: AppendId, failed: bool) -> AfterAppend {
        if let Some(append) = self.appends.iter_mut().find(|append| append.id == id) {
            append.open_batches -= 1;
            append.failed |= failed;
        }
        while let Some(append) = self.appends.pop_front_if(|append| append.open_batches == 0) {
            if append.failed {
                self.fail_held(append.id);
            }
            let after = self.shard.appended(append.id, !append.failed);
            // Of an append in several batches some may have been written.
            if after == AfterAppend::Reload || (append.failed && append.batches > 1) {
                return AfterAppend::Reload;
            }
        }
        let first_open = self.appends.front().map(|append| append.id);
        while let Some((_, token, reply)) = self
            .held
            .pop_front_if(|held| first_open.is_none_or(|open| held.0 < open))
        {
            self.reply(token, Ok(reply));
        }
        AfterAppend::Consistent
    }

    /// Answers what waits for an append that failed, or for a later one.
    fn fail_held(&mut self, id: AppendId) {
        let first = self.held.partition_point(|held| held.0 < id);
        for (_, token, _) in self.held.split_off(first) {
            self.reply(token, Err(Unavailable::WriteFailed));
        }
    }
}

/// Answers a request; who asked may be gone.
fn answer<R>(sender: oneshot::Sender<Result<R, Unavailable>>, reply: Result<R, Unavailable>) {
    let _nobody_waits = sender.send(reply);
}

/// Splits a step's records into batches of a bounded size, in order.
fn split(records: Vec<Record>) -> Vec<Vec<Record>> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    for record in records {
        let bytes = record.key.len() + record.value.as_ref().map_or(0, Bytes::len);
        if !batch.is_empty() && batch_bytes + bytes > MAX_BATCH_BYTES {
            batches.push(std::mem::take(&mut batch));
            batch_bytes = 0;
        }
        batch_bytes += bytes;
        batch.push(record);
    }
    batches.push(batch);
    batches
}
