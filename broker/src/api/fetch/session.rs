//! Incremental fetch sessions (KIP-227): the broker remembers what a client reads, so that requests and
//! responses need only tell what has changed.
//!
//! Time is handed in. The cache is bounded by `max.incremental.fetch.session.cache.slots`; when it is
//! full, a session that was idle for two minutes gives way, and else the client goes without.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use fjord_wire::{
    ErrorCode,
    messages::{fetch_request::FetchRequest, fetch_response::PartitionData},
};
use uuid::Uuid;

/// How long a session must have been idle before another one takes its place, as in Kafka.
const EVICT_AFTER: Duration = Duration::from_secs(120);
/// The session epoch of a request that asks for a new session.
const INITIAL_EPOCH: i32 = 0;
/// The session epoch of a request that wants no session.
const FINAL_EPOCH: i32 = -1;
/// The session id of a response without session.
const NO_SESSION: i32 = 0;

/// A topic as the client names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicKey {
    /// By name, up to version 12.
    Name(Arc<str>),
    /// By id, from version 13 on.
    Id(Uuid),
}

impl TopicKey {
    /// The error for a topic that does not exist, in the terms in which it was asked for.
    pub fn unknown(&self) -> ErrorCode {
        match self {
            TopicKey::Name(_) => ErrorCode::UnknownTopicOrPartition,
            TopicKey::Id(_) => ErrorCode::UnknownTopicId,
        }
    }
}

/// What a client wants of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The partition's index.
    pub partition: i32,
    /// The leader epoch that the client knows; -1 if none.
    pub current_leader_epoch: i32,
    /// The offset to read from.
    pub fetch_offset: i64,
    /// The epoch of the last record that the client has; -1 if it does not say.
    pub last_fetched_epoch: i32,
    /// Most bytes for this partition.
    pub max_bytes: i32,
}

/// A partition of a session, with what the client was told last.
#[derive(Debug, Clone)]
struct Remembered {
    topic: TopicKey,
    wanted: Wanted,
    high_watermark: i64,
    log_start_offset: i64,
    /// The client was told of an error, and has to learn when it is over.
    had_error: bool,
    /// The last response had records of it.
    had_records: bool,
}

#[derive(Debug)]
struct Session {
    id: i32,
    /// The epoch that the next request must have.
    epoch: i32,
    by_id: bool,
    /// In the order in which they are read: what returned records moves to the end.
    partitions: Vec<Remembered>,
    last_used: Instant,
}

/// All sessions of a broker.
#[derive(Debug)]
pub struct FetchSessions {
    sessions: Mutex<HashMap<i32, Session>>,
    slots: usize,
}

/// One fetch on its way: what it wants, and what its session has to learn of the answer.
#[derive(Debug)]
pub struct FetchContext {
    session: Option<Session>,
    /// Only what changed is told.
    incremental: bool,
    sessionless: Vec<(TopicKey, Wanted)>,
}

impl FetchSessions {
    /// No sessions yet, and room for `slots`.
    pub fn new(slots: usize) -> Self {
        Self {
            sessions: Mutex::default(),
            slots,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are no sessions.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins a fetch. While it runs, its session is out of the cache; a second fetch of the same session
    /// at the same time is a client's error, and finds none.
    ///
    /// # Errors
    ///
    /// The error code of the whole response; the client then begins a new session.
    pub fn open(
        &self,
        request: &FetchRequest,
        by_id: bool,
        now: Instant,
    ) -> Result<FetchContext, ErrorCode> {
        let mut sessions = self.lock();
        if request.session_epoch == INITIAL_EPOCH || request.session_epoch == FINAL_EPOCH {
            sessions.remove(&request.session_id);
            let wanted = wanted_of(request, by_id);
            if request.session_epoch == INITIAL_EPOCH && make_room(&mut sessions, self.slots, now) {
                let session = Session::new(free_id(&sessions), by_id, wanted, now);
                return Ok(FetchContext {
                    session: Some(session),
                    incremental: false,
                    sessionless: Vec::new(),
                });
            }
            return Ok(FetchContext {
                session: None,
                incremental: false,
                sessionless: wanted,
            });
        }
        let session = sessions
            .get(&request.session_id)
            .ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.by_id != by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        if session.epoch != request.session_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        let Some(mut session) = sessions.remove(&request.session_id) else {
            return Err(ErrorCode::FetchSessionIdNotFound);
        };
        session.update(request, by_id);
        session.last_used = now;
        Ok(FetchContext {
            session: Some(session),
            incremental: true,
            sessionless: Vec::new(),
        })
    }
}

/// Whether there is room for one more, if need be after the longest idle session has gone.
fn make_room(sessions: &mut HashMap<i32, Session>, slots: usize, now: Instant) -> bool {
    if sessions.len() < slots {
        return true;
    }
    let idlest = sessions.values().min_by_key(|session| session.last_used);
    let evicted = idlest
        .filter(|session| now.duration_since(session.last_used) >= EVICT_AFTER)
        .map(|session| session.id);
    evicted.is_some_and(|id| sessions.remove(&id).is_some())
}

/// A random id that is not in use, so that a client of an earlier life of this broker finds no session of
/// somebody else.
fn free_id(sessions: &HashMap<i32, Session>) -> i32 {
    loop {
        let (high, _) = Uuid::new_v4().as_u64_pair();
        let id = i32::try_from(high >> 33).unwrap_or(i32::MAX);
        if id != NO_SESSION && !sessions.contains_key(&id) {
            return id;
        }
    }
}

fn wanted_of(request: &FetchRequest, by_id: bool) -> Vec<(TopicKey, Wanted)> {
    let mut all = Vec::new();
    for topic in &request.topics {
        let key = key_of(&topic.topic, topic.topic_id, by_id);
        for partition in &topic.partitions {
            let wanted = Wanted {
                partition: partition.partition,
                current_leader_epoch: partition.current_leader_epoch,
                fetch_offset: partition.fetch_offset,
                last_fetched_epoch: partition.last_fetched_epoch,
                max_bytes: partition.partition_max_bytes,
            };
            all.push((key.clone(), wanted));
        }
    }
    all
}

fn key_of(name: &str, id: Uuid, by_id: bool) -> TopicKey {
    if by_id {
        TopicKey::Id(id)
    } else {
        TopicKey::Name(name.into())
    }
}

impl Session {
    fn new(id: i32, by_id: bool, wanted: Vec<(TopicKey, Wanted)>, now: Instant) -> Self {
        let mut session = Self {
            id,
            epoch: INITIAL_EPOCH,
            by_id,
            partitions: Vec::with_capacity(wanted.len()),
            last_used: now,
        };
        session.add(wanted);
        session
    }

    /// Adds partitions, or changes what is wanted of them.
    fn add(&mut self, wanted: Vec<(TopicKey, Wanted)>) {
        let places: HashMap<(TopicKey, i32), usize> = self
            .partitions
            .iter()
            .enumerate()
            .map(|(place, known)| ((known.topic.clone(), known.wanted.partition), place))
            .collect();
        for (topic, wanted) in wanted {
            match places.get(&(topic.clone(), wanted.partition)) {
                Some(place) => self.partitions[*place].wanted = wanted,
                None => self.partitions.push(Remembered {
                    topic,
                    wanted,
                    high_watermark: -1,
                    log_start_offset: -1,
                    had_error: false,
                    had_records: false,
                }),
            }
        }
    }

    fn update(&mut self, request: &FetchRequest, by_id: bool) {
        let wanted = wanted_of(request, by_id);
        if !wanted.is_empty() {
            self.add(wanted);
        }
        for topic in &request.forgotten_topics_data {
            let key = key_of(&topic.topic, topic.topic_id, by_id);
            self.partitions.retain(|known| {
                known.topic != key || !topic.partitions.contains(&known.wanted.partition)
            });
        }
    }
}

impl FetchContext {
    /// What is to be read, in this order.
    pub fn wanted(&mut self) -> Vec<(TopicKey, Wanted)> {
        match &self.session {
            Some(session) => session
                .partitions
                .iter()
                .map(|known| (known.topic.clone(), known.wanted.clone()))
                .collect(),
            None => std::mem::take(&mut self.sessionless),
        }
    }

    /// The session id of the response.
    pub fn session_id(&self) -> i32 {
        self.session
            .as_ref()
            .map_or(NO_SESSION, |session| session.id)
    }

    /// Whether the response tells of the partition at `place` of [`FetchContext::wanted`]. To be asked once
    /// of each.
    pub fn keeps(&mut self, place: usize, data: &PartitionData) -> bool {
        let known = self
            .session
            .as_mut()
            .and_then(|session| session.partitions.get_mut(place));
        let Some(known) = known else { return true };
        let has_error = data.error_code != ErrorCode::None.code();
        let has_records = data
            .records
            .as_ref()
            .is_some_and(|records| !records.is_empty());
        let changed = has_records
            || has_error
            || known.had_error
            || known.high_watermark != data.high_watermark
            || known.log_start_offset != data.log_start_offset
            || data.diverging_epoch.epoch >= 0;
        known.high_watermark = data.high_watermark;
        known.log_start_offset = data.log_start_offset;
        known.had_error = has_error;
        known.had_records = has_records;
        !self.incremental || changed
    }

    /// Puts the session back for the next request.
    pub fn finish(self, sessions: &FetchSessions) {
        let Some(mut session) = self.session else {
            return;
        };
        session.epoch = session.epoch.checked_add(1).unwrap_or(1);
        // What had its turn comes last next time, so that no partition starves behind the limit of bytes.
        session.partitions.sort_by_key(|known| known.had_records);
        sessions.lock().insert(session.id, session);
    }
}

#[cfg(test)]
mod tests {
    use fjord_wire::{
        Records,
        messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic},
    };

    use super::*;

    fn request(session_id: i32, session_epoch: i32, partitions: &[i32]) -> FetchRequest {
        let partitions = partitions
            .iter()
            .map(|partition| FetchPartition {
                partition: *partition,
                ..FetchPartition::default()
            })
            .collect();
        FetchRequest {
            session_id,
            session_epoch,
            topics: vec![FetchTopic {
                topic: "t".to_owned(),
                partitions,
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        }
    }

    fn data(records: &'static [u8]) -> PartitionData {
        PartitionData {
            high_watermark: 5,
            records: Some(Records::from(bytes::Bytes::from_static(records))),
            diverging_epoch: fjord_wire::messages::fetch_response::EpochEndOffset {
                epoch: -1,
                end_offset: -1,
            },
            ..PartitionData::default()
        }
    }

    /// Runs one fetch whose partitions all answer with `records`; says which partitions were told of.
    fn fetch(
        sessions: &FetchSessions,
        request: &FetchRequest,
        now: Instant,
        records: &'static [u8],
    ) -> Result<(i32, Vec<i32>), ErrorCode> {
        let mut context = sessions.open(request, false, now)?;
        let id = context.session_id();
        let mut told = Vec::new();
        for (place, (_, wanted)) in context.wanted().into_iter().enumerate() {
            if context.keeps(place, &data(records)) {
                told.push(wanted.partition);
            }
        }
        context.finish(sessions);
        Ok((id, told))
    }

    #[test]
    fn a_session_tells_only_what_changed() {
        let (sessions, now) = (FetchSessions::new(10), Instant::now());
        let (id, told) = fetch(&sessions, &request(0, 0, &[0, 1]), now, b"").unwrap();
        assert_ne!(id, NO_SESSION);
        assert_eq!(told, [0, 1]);
        let nothing = FetchRequest {
            session_id: id,
            session_epoch: 1,
            ..FetchRequest::default()
        };
        assert_eq!(fetch(&sessions, &nothing, now, b"").unwrap(), (id, vec![]));
        let mut changed = request(id, 2, &[2]);
        changed.forgotten_topics_data = vec![ForgottenTopic {
            topic: "t".to_owned(),
            partitions: vec![0],
            ..ForgottenTopic::default()
        }];
        assert_eq!(fetch(&sessions, &changed, now, b"").unwrap(), (id, vec![2]));
        let more = FetchRequest {
            session_id: id,
            session_epoch: 3,
            ..FetchRequest::default()
        };
        assert_eq!(
            fetch(&sessions, &more, now, b"x").unwrap(),
            (id, vec![1, 2])
        );
    }

    #[test]
    fn wrong_epochs_and_unknown_sessions_are_refused() {
        let (sessions, now) = (FetchSessions::new(10), Instant::now());
        let (id, _) = fetch(&sessions, &request(0, 0, &[0]), now, b"").unwrap();
        let refused =
            |session_id, epoch| fetch(&sessions, &request(session_id, epoch, &[]), now, b"");
        assert_eq!(refused(id, 2), Err(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(
            refused(id.wrapping_add(1), 1),
            Err(ErrorCode::FetchSessionIdNotFound)
        );
        let by_id = sessions.open(&request(id, 1, &[]), true, now);
        assert_eq!(by_id.unwrap_err(), ErrorCode::FetchSessionTopicIdError);
    }

    #[test]
    fn without_room_a_client_goes_without_until_a_session_is_idle() {
        let (sessions, now) = (FetchSessions::new(1), Instant::now());
        let (first, _) = fetch(&sessions, &request(0, 0, &[0]), now, b"").unwrap();
        assert_eq!(
            fetch(&sessions, &request(0, 0, &[0]), now, b"").unwrap(),
            (NO_SESSION, vec![0])
        );
        let (second, _) = fetch(&sessions, &request(0, 0, &[0]), now + EVICT_AFTER, b"").unwrap();
        assert_ne!(second, NO_SESSION);
        let gone = fetch(&sessions, &request(first, 1, &[]), now, b"");
        assert_eq!(gone, Err(ErrorCode::FetchSessionIdNotFound));
    }

    #[test]
    fn a_final_fetch_ends_the_session() {
        let (sessions, now) = (FetchSessions::new(10), Instant::now());
        let (id, _) = fetch(&sessions, &request(0, 0, &[0]), now, b"").unwrap();
        assert_eq!(
            fetch(&sessions, &request(id, FINAL_EPOCH, &[0]), now, b"")
                .unwrap()
                .0,
            NO_SESSION
        );
        assert!(sessions.is_empty());
    }

    #[test]
    fn partitions_with_records_come_last_next_time() {
        let (sessions, now) = (FetchSessions::new(10), Instant::now());
        let mut context = sessions.open(&request(0, 0, &[0, 1]), false, now).unwrap();
        context.keeps(0, &data(b"x"));
        context.keeps(1, &data(b""));
        let id = context.session_id();
        context.finish(&sessions);
        let next = FetchRequest {
            session_id: id,
            session_epoch: 1,
            ..FetchRequest::default()
        };
        let mut context = sessions.open(&next, false, now).unwrap();
        let order: Vec<i32> = context
            .wanted()
            .iter()
            .map(|(_, wanted)| wanted.partition)
            .collect();
        assert_eq!(order, [1, 0]);
    }
}
