//! The leader of the quorum decides: one task takes commands in order, a batch at a time, and proposes their records.
//!
//! ```text
//!   commands ─► queue ─┐                              ┌─► committed and applied ─► answers
//!   sessions: whom to  ├─► batch::decide(newest) ─► propose
//!   fence and unfence ─┘          ▲                   └─► moved: decide again on the newest
//!                                 └────────────────────────────────┘
//! ```
//!
//! It runs on every member of the quorum, and refuses what it is asked while another one leads.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fjord_quorum::{ProposeError, Quorum, Role};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::{
    batch,
    committed::Committed,
    reply::Reply,
    sessions::{Due, Sessions},
};
use crate::{
    broker::{LiveConfig, election_defaults},
    clock::monotonic_ms,
    metadata::commands::{
        Answer, Command, Conditions, ElectMissingLeaders, EnsureClusterId, FJORD_VERSION,
        FeatureUpdate, FenceBroker, RestorePreferredLeaders, SEVERAL_BROKERS, UnfenceBroker,
        UpdateFeatures,
    },
};

/// Commands that wait for their turn; more wait where they came in.
pub const QUEUE: usize = 1024;
/// Most commands of one batch.
const BATCH: usize = 256;
/// Pause after the quorum took nothing.
const RETRY: Duration = Duration::from_millis(20);
/// Most partitions whose leaders one command changes.
const LEADERS_AT_ONCE: usize = 1000;
/// How often partitions without a leader are looked for; returning brokers bring their own back anyway.
const MISSING_LEADERS: Duration = Duration::from_secs(10);

/// How often the sessions are looked at, at least.
pub const LOOK: Duration = Duration::from_millis(100);

/// A command that waits, and where its answer goes.
pub struct Submission {
    /// The command.
    pub command: Command,
    /// Whoever waits may be gone.
    pub answer: oneshot::Sender<Result<Decided, Undecided>>,
}

/// A command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The outcome.
    pub answer: Answer,
    /// How many changes of the metadata there are with this one.
    pub position: u64,
}

/// Why a command was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    /// Nothing was done: this broker does not lead the quorum, or not with a majority.
    NotLeader,
    /// It may have been done, or may still be.
    OutcomeUnknown,
}

/// The sessions, and a way to wake the leader when one changes.
pub struct SharedSessions {
    sessions: Mutex<Sessions>,
    changed: Notify,
}

impl SharedSessions {
    /// Shares these sessions.
    pub fn new(sessions: Sessions) -> Arc<SharedSessions> {
        Arc::new(SharedSessions {
            sessions: Mutex::new(sessions),
            changed: Notify::new(),
        })
    }

    /// The sessions.
    pub fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the leader look at them.
    pub fn changed(&self) {
        self.changed.notify_one();
    }
}

/// What the task works with.
pub struct Leader {
    /// The quorum.
    pub quorum: Quorum,
    /// The metadata.
    pub committed: Arc<Committed>,
    /// Who is heard of.
    pub sessions: Arc<SharedSessions>,
    /// What elections go by.
    pub live_config: LiveConfig,
    /// How often leadership goes back to preferred replicas, if it does.
    pub rebalance: Option<Duration>,
    /// What is asked for.
    pub queue: mpsc::Receiver<Submission>,
}

/// Something to decide.
struct Work {
    command: Command,
    answer: Option<oneshot::Sender<Result<Decided, Undecided>>>,
}

/// When periodic work is due.
struct Chores {
    rebalance: Option<Instant>,
    missing_leaders: Instant,
}

impl Leader {
    /// Decides while this broker leads, until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut state = self.quorum.watch();
        loop {
            let (role, term) = {
                let state = state.borrow_and_update();
                (state.role, state.term)
            };
            if role == Role::Leader {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.lead(term) => {}
                }
                self.sessions.lock().end();
                info!(
                    term,
                    "this broker does not lead the metadata's quorum any more"
                );
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = state.changed() => if changed.is_err() { return },
                submission = self.queue.recv() => match submission {
                    Some(submission) => refuse(submission),
                    None => return,
                },
            }
        }
    }

    /// Leads in a term, until it is over.
    async fn lead(&mut self, term: u64) {
        // What the leaders before have committed must be known before anything is decided.
        while self.quorum.read_index().await.is_err() {
            if !self.leads(term) {
                return;
            }
            sleep(RETRY).await;
        }
        self.sessions
            .lock()
            .begin(&self.committed.image(), monotonic_ms());
        info!(term, "this broker leads the metadata's quorum");
        self.found().await;
        let now = Instant::now();
        let mut chores = Chores {
            rebalance: self.rebalance.map(|interval| now + interval),
            missing_leaders: now + MISSING_LEADERS,
        };
        let mut waiting: Vec<Work> = Vec::new();
        while self.leads(term) {
            let mut work = self.due(&mut chores);
            work.append(&mut waiting);
            while work.len() < BATCH {
                match self.queue.try_recv() {
                    Ok(submission) => work.push(submission.into()),
                    Err(_) => break,
                }
            }
            if work.is_empty() {
                self.wait(term, &chores, &mut waiting).await;
                continue;
            }
            waiting = self.carry_out(term, work).await;
        }
        waiting
            .into_iter()
            .for_each(|work| work.answer(Err(Undecided::NotLeader)));
    }

    fn leads(&self, term: u64) -> bool {
        let state = self.quorum.watch();
        let state = state.borrow();
        state.role == Role::Leader && state.term == term
    }

    /// The first commands of a cluster: its id, and that it has several brokers.
    async fn found(&mut self) {
        let Some(new_id) = self.quorum.cluster_id() else {
            return;
        };
        if self.committed.image().cluster_id().is_some() {
            return;
        }
        let level = FeatureUpdate {
            name: FJORD_VERSION.to_owned(),
            level: SEVERAL_BROKERS,
            may_downgrade: false,
        };
        let features = UpdateFeatures {
            updates: vec![level],
            validate_only: false,
        };
        let commands: [Command; 2] = [EnsureClusterId { new_id }.into(), features.into()];
        let term = self.quorum.watch().borrow().term;
        let work = commands.map(Work::own);
        // Not done: the next leader finds no id either.
        self.carry_out(term, work.into()).await;
    }

    /// What this broker itself wants done now.
    fn due(&self, chores: &mut Chores) -> Vec<Work> {
        let now = Instant::now();
        let due = self
            .sessions
            .lock()
            .due(&self.committed.image(), monotonic_ms());
        let mut commands: Vec<Command> = due.into_iter().map(command).collect();
        let limit = LEADERS_AT_ONCE;
        if let (Some(at), Some(interval)) = (chores.rebalance, self.rebalance)
            && at <= now
        {
            chores.rebalance = Some(now + interval);
            commands.push(RestorePreferredLeaders { limit }.into());
        }
        if chores.missing_leaders <= now {
            chores.missing_leaders = now + MISSING_LEADERS;
            commands.push(ElectMissingLeaders { limit }.into());
        }
        commands.into_iter().map(Work::own).collect()
    }

    /// Waits until there may be something to do.
    async fn wait(&mut self, term: u64, chores: &Chores, waiting: &mut Vec<Work>) {
        let now_ms = monotonic_ms();
        let now = Instant::now();
        let death = self.sessions.lock().next_death_ms(now_ms);
        let death = death.map(|at| now + Duration::from_millis(at - now_ms));
        let times = [death, chores.rebalance, Some(chores.missing_leaders)];
        let next = times.into_iter().flatten().fold(now + LOOK, Instant::min);
        let mut state = self.quorum.watch();
        let over = state.wait_for(|state| state.role != Role::Leader || state.term != term);
        tokio::select! {
            () = sleep_until(next) => {}
            () = self.sessions.changed.notified() => {}
            _ = over => {}
            submission = self.queue.recv() => waiting.extend(submission.map(Work::from)),
        }
    }

    /// Decides, has the records committed, and answers. What did not fit is returned.
    async fn carry_out(&mut self, term: u64, mut work: Vec<Work>) -> Vec<Work> {
        loop {
            let state = self.committed.state();
            let conditions = Conditions {
                election: election_defaults(&self.live_config.get()),
                live_brokers: self.sessions.lock().live(monotonic_ms()),
            };
            let commands = work.iter().map(|work| &work.command);
            let batch = batch::decide(&state, commands, &conditions, Uuid::new_v4());
            let outcome = match &batch.proposal {
                Some(proposal) => self.propose(term, proposal.encode()).await,
                None => self.confirm(term, state.changes()).await,
            };
            let rest = work.split_off(batch.answers.len());
            match outcome {
                Ok(Some(position)) => {
                    for (work, answer) in work.into_iter().zip(batch.answers) {
                        work.answer(Ok(Decided { answer, position }));
                    }
                    return rest;
                }
                // What was decided on is old.
                Ok(None) => {
                    work.extend(rest);
                    debug!("the metadata has moved; deciding again");
                }
                Err(undecided) => {
                    work.into_iter()
                        .for_each(|work| work.answer(Err(undecided)));
                    sleep(RETRY).await;
                    return rest;
                }
            }
        }
    }

    /// Has a proposal committed. The outcome is the number of changes with it; nothing if the metadata had moved.
    async fn propose(&self, term: u64, proposal: Vec<u8>) -> Result<Option<u64>, Undecided> {
        match self.quorum.propose_here(term, proposal).await {
            Ok(proposed) => match Reply::decode(&proposed.reply) {
                Some(Reply::Applied(changes)) => Ok(Some(changes)),
                Some(Reply::Moved(_)) => Ok(None),
                None => Err(Undecided::OutcomeUnknown),
            },
            Err(ProposeError::OutcomeUnknown(reason)) => {
                warn!(
                    reason,
                    "whether a change of the metadata was committed is not known"
                );
                Err(Undecided::OutcomeUnknown)
            }
            Err(error) => {
                debug!(%error, "a change of the metadata was not proposed");
                Err(Undecided::NotLeader)
            }
        }
    }

    /// Makes sure that what was decided without a change was decided on the newest metadata, by its leader.
    async fn confirm(&self, term: u64, changes: u64) -> Result<Option<u64>, Undecided> {
        match self.quorum.read_index().await {
            Ok(_) if self.leads(term) => {
                let is_newest = self.committed.state().changes() == changes;
                Ok(is_newest.then_some(changes))
            }
            _ => Err(Undecided::NotLeader),
        }
    }
}

impl From<Submission> for Work {
    fn from(Submission { command, answer }: Submission) -> Work {
        let answer = Some(answer);
        Work { command, answer }
    }
}

impl Work {
    /// A command of the leader itself. What becomes of it shows in the metadata.
    fn own(command: Command) -> Work {
        let answer = None;
        Work { command, answer }
    }

    fn answer(self, outcome: Result<Decided, Undecided>) {
        let kind = self.command.kind();
        match self.answer {
            // Whoever asked may be gone; what was decided holds all the same.
            Some(answer) => drop(answer.send(outcome)),
            None => debug!(kind, ?outcome, "a command of the leader's own"),
        }
    }
}

fn command(due: Due) -> Command {
    match due {
        Due::Fence {
            broker_id,
            broker_epoch,
            is_silent,
        } => {
            warn!(
                broker_id,
                broker_epoch, is_silent, "fencing a broker that is not heard of"
            );
            let request = FenceBroker {
                broker_id,
                broker_epoch,
                is_silent,
            };
            request.into()
        }
        Due::Unfence {
            broker_id,
            broker_epoch,
        } => {
            info!(broker_id, broker_epoch, "unfencing a broker");
            let request = UnfenceBroker {
                broker_id,
                broker_epoch,
            };
            request.into()
        }
    }
}

fn refuse(submission: Submission) {
    // Whoever asked may be gone.
    let _ = submission.answer.send(Err(Undecided::NotLeader));
}
