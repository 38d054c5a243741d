//! Warnings about peers, which would otherwise come with every heartbeat.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::types::NodeId;

/// How often the same warning about the same node is logged.
const INTERVAL: Duration = Duration::from_secs(10);
/// Warnings that are told apart. When there are more, all are forgotten: who calls is not under this node's control.
const KEPT: usize = 1024;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    /// This node refused the peer's requests.
    Refused,
    /// The peer refused this node's requests.
    RefusedBy,
    /// The peer does not answer.
    NoAnswer,
}

/// The warnings that were logged of late.
#[derive(Debug, Default)]
pub(crate) struct Notices(Mutex<HashMap<(NodeId, Topic), Logged>>);

#[derive(Debug)]
struct Logged {
    at: Instant,
    /// How many have come since.
    suppressed: u64,
}

impl Notices {
    /// How many were suppressed since the last one that was logged, if this one is to be logged.
    fn admit(&self, node: NodeId, topic: Topic, now: Instant) -> Option<u64> {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = logged.get_mut(&(node, topic))
            && now < last.at + INTERVAL
        {
            last.suppressed += 1;
            return None;
        }
        if logged.len() >= KEPT {
            logged.clear();
        }
        let new = Logged {
            at: now,
            suppressed: 0,
        };
        let old = logged.insert((node, topic), new);
        Some(old.map_or(0, |old| old.suppressed))
    }

    /// Logs the warning, unless the same one was logged of late.
    pub fn warn(&self, node: NodeId, topic: Topic, message: &str) {
        let Some(suppressed) = self.admit(node, topic, Instant::now()) else {
            return;
        };
        let what = match topic {
            Topic::Refused => "a request of a peer was refused",
            Topic::RefusedBy => "a peer refused a request",
            Topic::NoAnswer => "a peer does not answer",
        };
        tracing::warn!(node, message, suppressed, "{what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_warning_comes_once_in_an_interval() {
        let (notices, start) = (Notices::default(), Instant::now());
        let admit = |node, topic, after| notices.admit(node, topic, start + after);
        assert_eq!(admit(1, Topic::NoAnswer, Duration::ZERO), Some(0));
        assert_eq!(admit(1, Topic::NoAnswer, INTERVAL / 2), None);
        assert_eq!(admit(1, Topic::Refused, INTERVAL / 2), Some(0));
        assert_eq!(admit(2, Topic::NoAnswer, INTERVAL / 2), Some(0));
        assert_eq!(admit(1, Topic::NoAnswer, INTERVAL), Some(1));
    }
}
