//! The rules of the group coordinator, tested on the pure state machine: time, ids and the log are
//! values here.

mod commits;
mod joining;
mod leaving;
mod looking;
mod random;
mod static_members;
mod stored;
mod syncing;

use std::collections::HashMap;

use bytes::Bytes;
use fjord_wire::ErrorCode;
use uuid::Uuid;

use super::super::shard::{AfterAppend, Now, Record, Shard, Step, Token};
use super::*;

/// A shard with a log that takes everything at once, and the replies so far.
pub(super) struct World {
    pub shard: GroupShard,
    pub config: GroupConfig,
    pub now: Now,
    pub log: Vec<Record>,
    pub replies: HashMap<Token, Reply>,
    next_token: u64,
    next_entropy: u128,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut GroupConfig)) -> Self {
        let mut config = GroupConfig::default();
        change(&mut config);
        Self::replayed(
            config,
            Vec::new(),
            Now {
                wall_ms: 1_700_000_000_000,
                monotonic_ms: 1000,
            },
        )
    }

    /// A shard that was replayed from a log at a time.
    pub fn replayed(config: GroupConfig, log: Vec<Record>, now: Now) -> Self {
        let mut shard = GroupShard::new(config.clone());
        for record in &log {
            shard
                .replay(record.key.clone(), record.value.clone())
                .unwrap();
        }
        let mut world = Self {
            shard,
            config,
            now,
            log,
            replies: HashMap::new(),
            next_token: 0,
            next_entropy: 0,
        };
        let step = world.shard.loaded(now);
        world.carry_out(step, true);
        world
    }

    /// The same shard after a crash: only what was logged is left.
    pub fn restarted(&self) -> Self {
        let mut world = Self::replayed(self.config.clone(), self.log.clone(), self.now);
        world.next_token = self.next_token;
        world.next_entropy = self.next_entropy;
        world
    }

    pub fn ask(&mut self, request: Request) -> Token {
        self.ask_with(request, true)
    }

    /// Hands in a request whose records are written, or fail to be.
    pub fn ask_with(&mut self, request: Request, written: bool) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        let step = self.shard.handle(token, request, self.now);
        self.carry_out(step, written);
        token
    }

    fn carry_out(&mut self, step: Step<Reply>, written: bool) {
        for (token, reply) in step.replies {
            assert!(
                self.replies.insert(token, reply).is_none(),
                "one reply for each request"
            );
        }
        if let Some((id, records)) = step.append {
            assert!(!records.is_empty());
            if written {
                self.log.extend(records);
            }
            let after = self.shard.appended(id, written);
            assert_eq!(
                after,
                AfterAppend::Consistent,
                "the test's log only fails for offsets"
            );
        }
        if written {
            for (token, reply) in step.held {
                assert!(
                    self.replies.insert(token, reply).is_none(),
                    "one reply for each request"
                );
            }
        }
    }

    /// Lets time pass, and every timer fire at its time.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now.monotonic_ms + ms;
        while let Some(due) = self.shard.next_deadline_ms().filter(|due| *due <= end) {
            let due = due.max(self.now.monotonic_ms);
            self.now.wall_ms += i64::try_from(due - self.now.monotonic_ms).unwrap();
            self.now.monotonic_ms = due;
            let step = self.shard.tick(self.now);
            self.carry_out(step, true);
        }
        self.now.wall_ms += i64::try_from(end - self.now.monotonic_ms).unwrap();
        self.now.monotonic_ms = end;
    }

    /// Takes the reply to a request that must have been answered.
    pub fn reply(&mut self, token: Token) -> Reply {
        self.replies.remove(&token).expect("a reply")
    }

    pub fn is_parked(&self, token: Token) -> bool {
        !self.replies.contains_key(&token)
    }

    pub fn joined(&mut self, token: Token) -> JoinReply {
        let Reply::Join(reply) = self.reply(token) else {
            panic!("a join is answered by a join")
        };
        reply
    }

    pub fn synced(&mut self, token: Token) -> SyncReply {
        let Reply::Sync(reply) = self.reply(token) else {
            panic!("a sync is answered by a sync")
        };
        reply
    }

    pub fn join(&mut self, mut request: JoinRequest) -> Token {
        self.next_entropy += 1;
        request.entropy = Uuid::from_u128(self.next_entropy);
        self.ask(Request::Join(request))
    }

    /// A join that is answered at once.
    pub fn join_now(&mut self, request: JoinRequest) -> JoinReply {
        let token = self.join(request);
        self.joined(token)
    }

    /// Gets an id for a new dynamic member, with which it waits for the others.
    pub fn join_dynamic(&mut self, client_id: &str) -> (String, Token) {
        let given = self.join_now(JoinRequest {
            client_id: client_id.into(),
            ..consumer("")
        });
        assert_eq!(given.error, ErrorCode::MemberIdRequired);
        let request = JoinRequest {
            client_id: client_id.into(),
            ..consumer(&given.member_id)
        };
        let token = self.join(request);
        (given.member_id, token)
    }

    pub fn sync(
        &mut self,
        generation_id: i32,
        member_id: &str,
        assignments: &[(&str, &str)],
    ) -> Token {
        self.ask(Request::Sync(SyncRequest {
            group_id: GROUP.into(),
            generation_id,
            member_id: member_id.into(),
            group_instance_id: None,
            protocol_type: None,
            protocol_name: None,
            assignments: assignments
                .iter()
                .map(|(id, text)| ((*id).to_owned(), Bytes::copy_from_slice(text.as_bytes())))
                .collect(),
        }))
    }

    pub fn heartbeat(&mut self, generation_id: i32, member_id: &str) -> ErrorCode {
        let token = self.ask(Request::Heartbeat(HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id,
            member_id: member_id.into(),
            group_instance_id: None,
        }));
        let Reply::Heartbeat(error) = self.reply(token) else {
            panic!("a heartbeat's reply")
        };
        error
    }

    pub fn leave(&mut self, member_id: &str) -> ErrorCode {
        let member = LeavingMember {
            member_id: member_id.into(),
            group_instance_id: None,
            reason: None,
        };
        let request = LeaveRequest {
            group_id: GROUP.into(),
            members: vec![member],
        };
        let token = self.ask(Request::Leave(request));
        let Reply::Leave(reply) = self.reply(token) else {
            panic!("a leave's reply")
        };
        assert_eq!(reply.error, ErrorCode::None);
        reply.members[0].error
    }

    pub fn commit(&mut self, request: CommitRequest) -> TopicOutcomes {
        let token = self.ask(Request::Commit(request));
        let Reply::Commit(outcome) = self.reply(token) else {
            panic!("a commit's reply")
        };
        outcome
    }

    pub fn must_commit(&mut self, request: CommitRequest) {
        let outcome = self.commit(request).unwrap();
        let mut partitions = outcome.iter().flat_map(|topic| &topic.partitions);
        assert!(partitions.all(|(_, error)| *error == ErrorCode::None));
    }

    /// The committed offset of a partition, -1 for none.
    pub fn committed(&mut self, group: &str, topic: &str, partition: i32) -> i64 {
        let topic = FetchTopic {
            name: topic.into(),
            topic_id: Uuid::nil(),
            partitions: vec![partition],
        };
        let request = FetchRequest {
            group_id: group.into(),
            topics: Some(vec![topic]),
        };
        let token = self.ask(Request::Fetch(request));
        let Reply::Fetch(reply) = self.reply(token) else {
            panic!("a fetch's reply")
        };
        assert_eq!(reply.error, ErrorCode::None);
        reply.topics[0].partitions[0].offset
    }

    pub fn describe(&mut self, group: &str) -> DescribedGroup {
        let token = self.ask(Request::Describe(group.into()));
        let Reply::Describe(described) = self.reply(token) else {
            panic!("a description")
        };
        described
    }

    pub fn state(&mut self) -> GroupState {
        self.describe(GROUP).state
    }

    /// A stable group of new dynamic members; the first of the ids leads. Returns the generation.
    pub fn stable_group(&mut self, count: usize) -> (i32, Vec<String>) {
        let joins: Vec<_> = (0..count)
            .map(|n| self.join_dynamic(&format!("client-{n}")))
            .collect();
        self.pass(6_000);
        let replies: Vec<_> = joins.iter().map(|(_, token)| self.joined(*token)).collect();
        let generation = replies[0].generation_id;
        let leader = replies[0].leader.clone();
        let mut ids: Vec<String> = joins.into_iter().map(|(id, _)| id).collect();
        ids.sort_by_key(|id| *id != leader);
        self.sync_all(generation, &ids);
        (generation, ids)
    }

    /// All members of a generation sync, the leader first; each is assigned its own id.
    pub fn sync_all(&mut self, generation: i32, ids: &[String]) {
        let plan: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
        for id in ids {
            let token = self.sync(generation, id, if *id == ids[0] { &plan } else { &[] });
            let reply = self.synced(token);
            assert_eq!(
                (reply.error, reply.assignment),
                (ErrorCode::None, id.clone().into())
            );
        }
        assert_eq!(self.state(), GroupState::Stable);
    }
}

pub(super) const GROUP: &str = "g";
pub(super) const SESSION_MS: i32 = 10_000;
pub(super) const REBALANCE_MS: i32 = 60_000;

/// What a consumer of topic "t" sends.
pub(super) fn consumer(member_id: &str) -> JoinRequest {
    JoinRequest {
        group_id: GROUP.into(),
        member_id: member_id.into(),
        group_instance_id: None,
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range", &["t"])],
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        api_version: 9,
        reason: None,
        entropy: Uuid::nil(),
    }
}

/// A protocol with a subscription to topics.
pub(super) fn protocol(name: &str, topics: &[&str]) -> Protocol {
    let mut metadata = vec![0, 0];
    metadata.extend(u32::try_from(topics.len()).unwrap().to_be_bytes());
    for topic in topics {
        metadata.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
        metadata.extend(topic.as_bytes());
    }
    metadata.extend((-1_i32).to_be_bytes());
    Protocol {
        name: name.into(),
        metadata: metadata.into(),
    }
}

/// A commit of one offset by a client outside the membership.
pub(super) fn simple_commit(
    group: &str,
    topic: &str,
    partition: i32,
    offset: i64,
) -> CommitRequest {
    let partition = CommitPartition {
        partition,
        offset,
        leader_epoch: -1,
        metadata: None,
    };
    CommitRequest {
        group_id: group.into(),
        generation_id: -1,
        member_id: String::new(),
        group_instance_id: None,
        retention_time_ms: -1,
        api_version: 9,
        topics: vec![CommitTopic {
            name: topic.into(),
            topic_id: Uuid::nil(),
            partitions: vec![partition],
        }],
    }
}

/// The single outcome of a commit or deletion of one partition.
pub(super) fn only(outcome: TopicOutcomes) -> ErrorCode {
    match outcome {
        Ok(topics) => topics[0].partitions[0].1,
        Err(error) => error,
    }
}
