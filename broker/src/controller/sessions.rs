//! The brokers' sessions as the leader of the quorum sees them: whom to fence, and whom to unfence. Pure: the time
//! is handed in, in milliseconds of a clock that never goes back.
//!
//! ```text
//!   connected ─► heard, heard, … ─► disconnected ──grace──► dead: fenced
//!                        └──────────silence, session timeout──┘
//!   a new leader: every registered broker counts as silent from the leader's start on, and the leader before as
//!   disconnected if its connection broke
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::metadata::{Broker, Image};

/// How long a broker may be out of sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Without a heartbeat (`broker.session.timeout.ms`).
    pub silence_ms: u64,
    /// Without a connection, after it broke (`fjord.broker.connection.grace.ms`).
    pub grace_ms: u64,
    /// Without a connection to a new leader, or to one that was itself away.
    pub takeover_ms: u64,
    /// A leader that does not look for so long was away itself: it cannot tell who was silent.
    pub away_ms: u64,
}

/// What a heartbeat says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beat {
    /// How many changes of the metadata the broker has acted on.
    pub position: u64,
    /// Whether it can be unfenced.
    pub is_ready: bool,
    /// If it wants to stop: what the others must have seen before.
    pub stop_after: Option<u64>,
}

/// Something to be done about a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It is out of sight.
    Fence {
        /// The broker.
        broker_id: i32,
        /// Its epoch.
        broker_epoch: i64,
        /// Whether no connection of it has broken.
        is_silent: bool,
    },
    /// It is back.
    Unfence {
        /// The broker.
        broker_id: i32,
        /// Its epoch.
        broker_epoch: i64,
    },
}

/// A broker that is heard of, or was a moment ago.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    broker_epoch: i64,
    /// The connection that counts: the newest. Nothing while there is none.
    stream: Option<u64>,
    /// When it is dead if nothing comes.
    dead_at_ms: u64,
    /// No connection has broken: if nothing comes, it has fallen silent.
    is_silent: bool,
    beat: Beat,
}

/// All sessions. They begin when the broker leads the quorum, and end when it does not any more.
#[derive(Debug)]
pub struct Sessions {
    limits: Limits,
    is_leading: bool,
    brokers: BTreeMap<i32, Session>,
    /// The leader before, if this broker's own connection to it broke.
    broken_leader: Option<i32>,
    next_stream: u64,
    /// When this broker looked last.
    looked_ms: u64,
}

impl Sessions {
    /// No sessions: this broker does not lead.
    pub fn new(limits: Limits) -> Sessions {
        Sessions {
            limits,
            is_leading: false,
            brokers: BTreeMap::new(),
            broken_leader: None,
            next_stream: 1,
            looked_ms: 0,
        }
    }

    /// This broker leads now. All that are not fenced have a while to connect.
    pub fn begin(&mut self, image: &Image, now_ms: u64) {
        self.is_leading = true;
        self.looked_ms = now_ms;
        let (limits, broken_leader) = (self.limits, self.broken_leader);
        let session = |broker: &Broker| {
            let is_broken = broken_leader == Some(broker.broker_id);
            let wait_ms = match is_broken {
                true => limits.grace_ms,
                false => limits.takeover_ms,
            };
            Session {
                broker_epoch: broker.epoch,
                stream: None,
                dead_at_ms: now_ms + wait_ms,
                is_silent: !is_broken,
                beat: Beat::default(),
            }
        };
        let unfenced = image.brokers().filter(|broker| !broker.fenced);
        self.brokers = unfenced
            .map(|broker| (broker.broker_id, session(broker)))
            .collect();
    }

    /// This broker's own connection to the leader has broken.
    pub fn leader_broke(&mut self, leader: i32) {
        self.broken_leader = Some(leader);
    }

    /// This broker has a connection to the leader.
    pub fn leader_found(&mut self) {
        self.broken_leader = None;
    }

    /// This broker does not lead any more.
    pub fn end(&mut self) {
        self.is_leading = false;
        self.brokers.clear();
    }

    /// A broker has connected, in place of any earlier connection. The outcome names the connection; nothing while this
    /// broker does not lead.
    pub fn connected(&mut self, broker_id: i32, broker_epoch: i64, now_ms: u64) -> Option<u64> {
        if !self.is_leading {
            return None;
        }
        let stream = self.next_stream;
        self.next_stream += 1;
        let session = Session {
            broker_epoch,
            stream: Some(stream),
            dead_at_ms: now_ms + self.limits.silence_ms,
            is_silent: true,
            beat: Beat::default(),
        };
        self.brokers.insert(broker_id, session);
        Some(stream)
    }

    /// A heartbeat has come. False if the connection does not count any more: there is a newer one, or no leader here.
    pub fn heard(&mut self, broker_id: i32, stream: u64, beat: Beat, now_ms: u64) -> bool {
        let dead_at_ms = now_ms + self.limits.silence_ms;
        match self.session(broker_id, stream) {
            Some(session) => {
                session.dead_at_ms = dead_at_ms;
                session.beat = beat;
                true
            }
            None => false,
        }
    }

    /// A connection has broken.
    pub fn disconnected(&mut self, broker_id: i32, stream: u64, now_ms: u64) {
        let dead_at_ms = now_ms + self.limits.grace_ms;
        if let Some(session) = self.session(broker_id, stream) {
            session.stream = None;
            session.is_silent = false;
            session.dead_at_ms = session.dead_at_ms.min(dead_at_ms);
        }
    }

    fn session(&mut self, broker_id: i32, stream: u64) -> Option<&mut Session> {
        let session = self.brokers.get_mut(&broker_id);
        session.filter(|session| session.stream == Some(stream))
    }

    /// The brokers that are heard of.
    pub fn live(&self, now_ms: u64) -> BTreeSet<i32> {
        let live = self
            .brokers
            .iter()
            .filter(|(_, session)| now_ms < session.dead_at_ms);
        live.map(|(id, _)| *id).collect()
    }

    /// Whether a broker is heard of; nothing while this broker does not lead.
    pub fn is_live(&self, broker_id: i32, now_ms: u64) -> Option<bool> {
        let session = self.brokers.get(&broker_id);
        let is_live = session.is_some_and(|session| now_ms < session.dead_at_ms);
        self.is_leading.then_some(is_live)
    }

    /// What is to be done now, as the metadata stands. It is said again until the metadata shows that it was done.
    /// It has to be asked for often: a process that was stopped for a while finds everyone silent, and would fence
    /// all of them before it has read what they sent meanwhile.
    pub fn due(&mut self, image: &Image, now_ms: u64) -> Vec<Due> {
        if !self.is_leading {
            return Vec::new();
        }
        if now_ms.saturating_sub(self.looked_ms) > self.limits.away_ms {
            let dead_at_ms = now_ms + self.limits.takeover_ms;
            for session in self.brokers.values_mut() {
                session.dead_at_ms = session.dead_at_ms.max(dead_at_ms);
            }
        }
        self.looked_ms = now_ms;
        let due = image.brokers().filter_map(|broker| {
            let (broker_id, broker_epoch) = (broker.broker_id, broker.epoch);
            let session = self.brokers.get(&broker_id);
            // Another registration's session says nothing about this one.
            let session = session.filter(|session| session.broker_epoch == broker_epoch);
            let live = session.filter(|session| now_ms < session.dead_at_ms);
            match (broker.fenced, live) {
                (false, None) => Some(Due::Fence {
                    broker_id,
                    broker_epoch,
                    is_silent: session.is_some_and(|session| session.is_silent),
                }),
                (true, Some(session))
                    if session.stream.is_some()
                        && session.beat.is_ready
                        && !broker.in_controlled_shutdown =>
                {
                    Some(Due::Unfence {
                        broker_id,
                        broker_epoch,
                    })
                }
                _ => None,
            }
        });
        due.collect()
    }

    /// When the next session dies if nothing comes.
    pub fn next_death_ms(&self, now_ms: u64) -> Option<u64> {
        let deaths = self.brokers.values().map(|session| session.dead_at_ms);
        deaths.filter(|death| *death > now_ms).min()
    }

    /// Whether a broker that wants to stop may: it leads nothing, and all others that are heard of know that.
    pub fn may_stop(&self, broker_id: i32, image: &Image, now_ms: u64) -> bool {
        let Some(session) = self.brokers.get(&broker_id) else {
            return false;
        };
        let Some(stop_after) = session.beat.stop_after else {
            return false;
        };
        let mut others = self.brokers.iter().filter(|(id, other)| {
            **id != broker_id && other.stream.is_some() && now_ms < other.dead_at_ms
        });
        let is_stopping = image
            .broker(broker_id)
            .is_some_and(|broker| broker.in_controlled_shutdown);
        is_stopping
            && others.all(|(_, other)| other.beat.position >= stop_after)
            && !image
                .partitions()
                .any(|(_, _, partition)| partition.leader == broker_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{
        commands::{
            BeginControlledShutdown, FenceBroker, Request,
            testing::{CONDITIONS, create, image_with_brokers},
        },
        image::NO_LEADER,
    };

    const LIMITS: Limits = Limits {
        silence_ms: 2000,
        grace_ms: 100,
        takeover_ms: 300,
        away_ms: u64::MAX,
    };
    const READY: Beat = Beat {
        position: 7,
        is_ready: true,
        stop_after: None,
    };

    fn leading(image: &Image, now_ms: u64) -> Sessions {
        let mut sessions = Sessions::new(LIMITS);
        sessions.begin(image, now_ms);
        sessions
    }

    fn fence(broker_id: i32) -> Due {
        Due::Fence {
            broker_id,
            broker_epoch: i64::from(broker_id),
            is_silent: false,
        }
    }

    fn silent(broker_id: i32) -> Due {
        Due::Fence {
            broker_id,
            broker_epoch: i64::from(broker_id),
            is_silent: true,
        }
    }

    fn unfence(broker_id: i32) -> Due {
        Due::Unfence {
            broker_id,
            broker_epoch: i64::from(broker_id),
        }
    }

    fn after(image: &Image, request: impl Request) -> Image {
        let decision = request.decide(image, &CONDITIONS);
        decision
            .records
            .into_iter()
            .fold(image.clone(), Image::apply)
    }

    fn fenced(image: &Image, broker_id: i32) -> Image {
        let broker_epoch = broker_id.into();
        after(
            image,
            FenceBroker {
                broker_id,
                broker_epoch,
                is_silent: false,
            },
        )
    }

    #[test]
    fn the_leader_before_is_dead_at_once_if_its_connection_broke_and_silent_if_not() {
        let image = image_with_brokers(3);
        let mut sessions = Sessions::new(LIMITS);
        sessions.leader_broke(2);
        sessions.begin(&image, 1_000);
        assert_eq!(sessions.due(&image, 1_000 + LIMITS.grace_ms), [fence(2)]);

        sessions.leader_found();
        sessions.begin(&image, 1_000);
        assert_eq!(sessions.due(&image, 1_000 + LIMITS.grace_ms), []);
        let late = sessions.due(&image, 1_000 + LIMITS.takeover_ms);
        assert_eq!(late, [0, 1, 2].map(silent));
    }

    #[test]
    fn a_silent_broker_is_told_from_one_whose_connection_broke() {
        let image = image_with_brokers(2);
        let mut sessions = leading(&image, 0);
        let streams = [0, 1].map(|id| sessions.connected(id, id.into(), 0).unwrap());
        sessions.disconnected(1, streams[1], 0);
        assert_eq!(
            sessions.due(&image, LIMITS.silence_ms),
            [silent(0), fence(1)]
        );
    }

    #[test]
    fn a_new_leader_waits_for_everyone_and_then_fences_who_did_not_come() {
        let image = image_with_brokers(3);
        let mut sessions = leading(&image, 1000);
        assert_eq!(sessions.due(&image, 1299), []);
        assert_eq!(sessions.live(1299), BTreeSet::from([0, 1, 2]));
        assert_eq!(sessions.is_live(2, 1299), Some(true));
        assert_eq!(sessions.is_live(2, 1300), Some(false));
        sessions.connected(1, 1, 1200).unwrap();
        assert_eq!(sessions.next_death_ms(1200), Some(1300));
        assert_eq!(sessions.due(&image, 1300), [silent(0), silent(2)]);
        assert_eq!(sessions.live(1300), BTreeSet::from([1]));
        let image = fenced(&fenced(&image, 0), 2);
        assert_eq!(sessions.due(&image, 1300), []);
        assert_eq!(sessions.next_death_ms(1300), Some(3200));
    }

    #[test]
    fn a_broken_connection_fences_after_the_grace_unless_there_is_another() {
        let image = image_with_brokers(1);
        let mut sessions = leading(&image, 0);
        let first = sessions.connected(0, 0, 10).unwrap();
        sessions.disconnected(0, first, 1000);
        assert_eq!(sessions.due(&image, 1099), []);
        assert_eq!(sessions.due(&image, 1100), [fence(0)]);
        let second = sessions.connected(0, 0, 1050).unwrap();
        assert_eq!(sessions.due(&image, 1100), []);
        // What is left of the first connection does not count.
        sessions.disconnected(0, first, 1100);
        assert!(!sessions.heard(0, first, READY, 1100));
        assert_eq!(sessions.due(&image, 1300), []);
        assert!(sessions.heard(0, second, READY, 1300));
    }

    #[test]
    fn silence_fences_after_the_session_timeout() {
        let image = image_with_brokers(1);
        let mut sessions = leading(&image, 0);
        let stream = sessions.connected(0, 0, 0).unwrap();
        assert!(sessions.heard(0, stream, READY, 500));
        assert_eq!(sessions.due(&image, 2499), []);
        assert_eq!(sessions.due(&image, 2500), [silent(0)]);
        // The connection was not broken, only slow.
        let image = fenced(&image, 0);
        assert_eq!(sessions.due(&image, 2600), []);
        assert!(sessions.heard(0, stream, READY, 2700));
        assert_eq!(sessions.due(&image, 2700), [unfence(0)]);
    }

    #[test]
    fn a_leader_that_was_away_does_not_blame_the_others() {
        let image = image_with_brokers(2);
        let away_ms = 500;
        let mut sessions = Sessions::new(Limits { away_ms, ..LIMITS });
        sessions.begin(&image, 0);
        let one = sessions.connected(0, 0, 0).unwrap();
        sessions.connected(1, 1, 0).unwrap();
        assert_eq!(sessions.due(&image, 500), []);
        // It was stopped, and what was sent meanwhile has not been read yet.
        assert_eq!(sessions.due(&image, 9000), []);
        assert!(sessions.heard(0, one, READY, 9100));
        assert_eq!(sessions.due(&image, 9299), []);
        assert_eq!(sessions.due(&image, 9300), [silent(1)]);
    }

    #[test]
    fn a_broker_that_died_silently_is_not_given_the_grace_on_top() {
        let image = image_with_brokers(1);
        let mut sessions = leading(&image, 0);
        let stream = sessions.connected(0, 0, 0).unwrap();
        sessions.disconnected(0, stream, 1990);
        assert_eq!(sessions.due(&image, 2000), [fence(0)]);
    }

    #[test]
    fn only_a_broker_that_is_ready_is_unfenced() {
        let image = fenced(&image_with_brokers(1), 0);
        let mut sessions = leading(&image, 0);
        let stream = sessions.connected(0, 0, 0).unwrap();
        assert_eq!(sessions.due(&image, 1), []);
        let waiting = Beat {
            is_ready: false,
            ..READY
        };
        assert!(sessions.heard(0, stream, waiting, 1));
        assert_eq!(sessions.due(&image, 1), []);
        assert!(sessions.heard(0, stream, READY, 2));
        assert_eq!(sessions.due(&image, 2), [unfence(0)]);
        sessions.disconnected(0, stream, 3);
        assert_eq!(sessions.due(&image, 4), []);
    }

    #[test]
    fn a_session_of_an_earlier_registration_counts_for_nothing() {
        let image = image_with_brokers(1);
        let mut sessions = leading(&image, 0);
        let stream = sessions.connected(0, -1, 0).unwrap();
        assert!(sessions.heard(0, stream, READY, 1));
        assert_eq!(sessions.due(&image, 1), [fence(0)]);
        assert_eq!(sessions.due(&fenced(&image, 0), 1), []);
    }

    #[test]
    fn who_does_not_lead_has_no_sessions() {
        let image = image_with_brokers(1);
        let mut sessions = Sessions::new(LIMITS);
        assert_eq!(sessions.connected(0, 0, 0), None);
        assert_eq!(sessions.is_live(0, 0), None);
        assert_eq!(sessions.due(&image, 9999), []);
        sessions.begin(&image, 0);
        let stream = sessions.connected(0, 0, 0).unwrap();
        sessions.end();
        assert!(!sessions.heard(0, stream, READY, 1));
        assert_eq!(sessions.live(1), BTreeSet::new());
    }

    #[test]
    fn a_broker_stops_once_all_others_know_that_it_leads_nothing() {
        let image = create(&image_with_brokers(2), "t");
        let mut sessions = leading(&image, 0);
        let one = sessions.connected(0, 0, 0).unwrap();
        let other = sessions.connected(1, 1, 0).unwrap();
        let stopping = Beat {
            stop_after: Some(8),
            ..READY
        };
        sessions.heard(0, one, stopping, 1);
        sessions.heard(1, other, READY, 1);
        let shutdown = BeginControlledShutdown {
            broker_id: 0,
            broker_epoch: 0,
        };
        let after = after(&image, shutdown);
        let leaders = after.partitions().map(|(_, _, partition)| partition.leader);
        let leaders: Vec<i32> = leaders.collect();
        // Each partition has one replica.
        assert!(!leaders.contains(&0), "{leaders:?}");
        assert!(leaders.contains(&NO_LEADER), "{leaders:?}");
        assert!(!sessions.may_stop(0, &after, 1), "the other is at 7");
        let caught_up = Beat {
            position: 8,
            ..READY
        };
        sessions.heard(1, other, caught_up, 2);
        assert!(!sessions.may_stop(0, &image, 2), "it still leads");
        assert!(sessions.may_stop(0, &after, 2));
        assert!(!sessions.may_stop(1, &after, 2), "it did not ask");
        // A broker that is gone is not waited for.
        sessions.heard(1, other, READY, 3);
        sessions.disconnected(1, other, 3);
        assert!(sessions.may_stop(0, &after, 3));
    }
}
