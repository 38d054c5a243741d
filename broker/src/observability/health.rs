//! What the broker knows about its own health: one state, shown over HTTP and gRPC.
//!
//! *Live* means that the process can serve its loops; it stops being so only when one of them has
//! ended for good, and a restart is the cure. *Ready* means that clients should come here: not
//! before everything has started, not while it stops, and not while a part has failed.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use tokio::sync::watch;

/// Why a probe fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The part of the broker that it is about.
    pub component: &'static str,
    /// What is the matter.
    pub reason: String,
}

/// A part of the broker's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    Stopping,
}

#[derive(Debug, Clone)]
struct State {
    phase: Phase,
    /// Parts that cannot do their work now, but may again.
    failed: BTreeMap<&'static str, String>,
    /// Parts that never will again.
    dead: BTreeMap<&'static str, String>,
}

/// The broker's health. Cloning is cheap, and clones share their state.
#[derive(Debug, Clone)]
pub struct Health {
    state: Arc<watch::Sender<State>>,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// The health of a broker that is starting.
    pub fn new() -> Self {
        let state = State {
            phase: Phase::Starting,
            failed: BTreeMap::new(),
            dead: BTreeMap::new(),
        };
        Self {
            state: Arc::new(watch::Sender::new(state)),
        }
    }

    /// Everything has started. A broker that is stopping already stays so.
    pub fn started(&self) {
        self.state.send_modify(|state| {
            if state.phase == Phase::Starting {
                state.phase = Phase::Running;
            }
        });
    }

    /// The broker stops.
    pub fn stopping(&self) {
        self.state
            .send_modify(|state| state.phase = Phase::Stopping);
    }

    /// A part cannot do its work, such as the log on a failed disk.
    pub fn failed(&self, component: &'static str, reason: impl Into<String>) {
        self.state.send_modify(|state| {
            state.failed.insert(component, reason.into());
        });
    }

    /// A part that had failed works again.
    pub fn recovered(&self, component: &'static str) {
        self.state.send_modify(|state| {
            state.failed.remove(component);
        });
    }

    /// A part has ended for good although the broker needs it; only a restart helps.
    pub fn dead(&self, component: &'static str, reason: impl Into<String>) {
        self.state.send_modify(|state| {
            state.dead.insert(component, reason.into());
        });
    }

    /// Why the broker is not live; empty if it is.
    pub fn liveness(&self) -> Vec<Reason> {
        reasons(&self.state.borrow().dead)
    }

    /// Why the broker is not ready; empty if it is.
    pub fn readiness(&self) -> Vec<Reason> {
        readiness_of(&self.state.borrow())
    }

    /// Calls back with the readiness, now and whenever the state changes. Ends with the broker.
    pub async fn follow_readiness<F>(&self, mut report: impl FnMut(bool) -> F)
    where
        F: Future<Output = ()>,
    {
        let mut changes = self.state.subscribe();
        loop {
            let ready = readiness_of(&changes.borrow_and_update()).is_empty();
            report(ready).await;
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

fn readiness_of(state: &State) -> Vec<Reason> {
    let phase = match state.phase {
        Phase::Starting => Some("starting"),
        Phase::Running => None,
        Phase::Stopping => Some("stopping"),
    };
    let phase = phase.map(|reason| Reason {
        component: "broker",
        reason: reason.to_owned(),
    });
    let failures = [&state.dead, &state.failed].into_iter().flat_map(reasons);
    phase.into_iter().chain(failures).collect()
}

fn reasons(components: &BTreeMap<&'static str, String>) -> Vec<Reason> {
    components
        .iter()
        .map(|(component, reason)| Reason {
            component,
            reason: reason.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(health: &Health, live: bool, not_ready_because: &[&str]) {
        let readiness: Vec<String> = health.readiness().into_iter().map(|it| it.reason).collect();
        assert_eq!(
            (health.liveness().is_empty(), readiness),
            (live, strings(not_ready_because))
        );
    }

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn readiness_follows_the_broker_s_life() {
        let health = Health::new();
        check(&health, true, &["starting"]);
        health.started();
        check(&health, true, &[]);
        health.failed("log", "no space left");
        check(&health, true, &["no space left"]);
        health.recovered("log");
        check(&health, true, &[]);
        health.dead("log", "writer ended");
        check(&health, false, &["writer ended"]);
        health.stopping();
        health.started();
        check(&health, false, &["stopping", "writer ended"]);
    }
}
