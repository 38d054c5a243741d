//! Random sequences of requests, failures and restarts keep what must always hold.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::*;

/// One thing that happens. Members are named by small numbers; each stands for a client that
/// remembers the id and generation it was last given.
#[derive(Debug, Clone)]
enum Event {
    Join {
        client: usize,
        is_static: bool,
        topics: usize,
        api_version: i16,
    },
    Sync {
        client: usize,
    },
    Heartbeat {
        client: usize,
    },
    Leave {
        client: usize,
    },
    Commit {
        client: usize,
        partition: i32,
        offset: i64,
        written: bool,
    },
    SimpleCommit {
        partition: i32,
        offset: i64,
    },
    DeleteOffset {
        partition: i32,
    },
    DeleteGroup,
    Pass {
        ms: u64,
    },
    Restart,
}

#[derive(Debug, Clone, Default)]
struct Client {
    member_id: String,
    instance_id: Option<String>,
    generation: i32,
    leads: bool,
    members: Vec<String>,
    parked: Option<(Token, bool)>,
}

struct Run {
    world: World,
    clients: Vec<Client>,
    generation: i32,
    committed: BTreeMap<i32, i64>,
    /// Assignments that members were given: one for each generation and static or member id.
    given: BTreeMap<(i32, String), Bytes>,
}

const CLIENTS: usize = 4;

impl Run {
    fn new() -> Self {
        let world = World::with(|config| config.max_group_size = 3);
        let clients = vec![Client::default(); CLIENTS];
        let (committed, given) = (BTreeMap::new(), BTreeMap::new());
        Self {
            world,
            clients,
            generation: 0,
            committed,
            given,
        }
    }

    fn step(&mut self, event: &Event) {
        match event.clone() {
            Event::Join {
                client,
                is_static,
                topics,
                api_version,
            } => {
                self.join(client, is_static, topics, api_version);
            }
            Event::Sync { client } => self.sync(client),
            Event::Heartbeat { client } => {
                let Client {
                    generation,
                    member_id,
                    ..
                } = self.clients[client].clone();
                self.world.heartbeat(generation, &member_id);
            }
            Event::Leave { client } => {
                let id = self.clients[client].member_id.clone();
                self.world.leave(&id);
            }
            Event::Commit {
                client,
                partition,
                offset,
                written,
            } => {
                let Client {
                    generation,
                    member_id,
                    ..
                } = self.clients[client].clone();
                let request = CommitRequest {
                    generation_id: generation,
                    member_id,
                    ..simple_commit(GROUP, "t", partition, offset)
                };
                self.commit(request, partition, offset, written);
            }
            Event::SimpleCommit { partition, offset } => {
                let request = simple_commit(GROUP, "t", partition, offset);
                self.commit(request, partition, offset, true);
            }
            Event::DeleteOffset { partition } => self.delete_offset(partition),
            Event::DeleteGroup => self.delete_group(),
            Event::Pass { ms } => self.world.pass(ms),
            Event::Restart => {
                self.world = self.world.restarted();
                for client in &mut self.clients {
                    client.parked = None;
                }
            }
        }
        self.collect();
        self.check();
    }

    fn join(&mut self, index: usize, is_static: bool, topics: usize, api_version: i16) {
        if self.clients[index].parked.is_some() {
            return;
        }
        let instance_id = is_static.then(|| format!("i{index}"));
        let topics = &["t", "u", "v"][..=topics];
        let client = &mut self.clients[index];
        if client.instance_id != instance_id {
            *client = Client {
                instance_id: instance_id.clone(),
                ..Client::default()
            };
        }
        let request = JoinRequest {
            group_instance_id: instance_id,
            protocols: vec![protocol("range", topics), protocol("sticky", topics)],
            api_version,
            ..consumer(&client.member_id)
        };
        let token = self.world.join(request);
        self.clients[index].parked = Some((token, true));
    }

    fn sync(&mut self, index: usize) {
        let client = self.clients[index].clone();
        if client.parked.is_some() {
            return;
        }
        let plan: Vec<(&str, &str)> = match client.leads {
            true => client
                .members
                .iter()
                .map(|id| (id.as_str(), id.as_str()))
                .collect(),
            false => Vec::new(),
        };
        let token = self.world.sync(client.generation, &client.member_id, &plan);
        self.clients[index].parked = Some((token, false));
    }

    fn commit(&mut self, request: CommitRequest, partition: i32, offset: i64, written: bool) {
        let token = self.world.ask_with(Request::Commit(request), written);
        if let Some(Reply::Commit(Ok(outcome))) = self.world.replies.remove(&token) {
            assert_eq!(outcome[0].partitions, [(partition, ErrorCode::None)]);
            self.committed.insert(partition, offset);
        }
    }

    fn delete_offset(&mut self, partition: i32) {
        let topics = vec![("t".to_owned(), vec![partition])];
        let request = OffsetDeleteRequest {
            group_id: GROUP.into(),
            topics,
        };
        let token = self.world.ask(Request::OffsetDelete(request));
        let Reply::OffsetDelete(outcome) = self.world.reply(token) else {
            panic!("its reply")
        };
        if only(outcome) == ErrorCode::None {
            self.committed.remove(&partition);
        }
    }

    fn delete_group(&mut self) {
        let token = self.world.ask(Request::DeleteGroup(GROUP.into()));
        if self.world.reply(token) == Reply::DeleteGroup(ErrorCode::None) {
            self.committed.clear();
            self.given.clear();
            self.generation = 0;
        }
    }

    /// Lets every client read the reply that it waits for, if there is one.
    fn collect(&mut self) {
        for client in &mut self.clients {
            let Some((token, _)) = client.parked else {
                continue;
            };
            match self.world.replies.remove(&token) {
                None => continue,
                Some(Reply::Join(reply)) => read_join(client, reply),
                Some(Reply::Sync(reply)) => {
                    if reply.error == ErrorCode::None {
                        let name = client
                            .instance_id
                            .clone()
                            .unwrap_or(client.member_id.clone());
                        let key = (client.generation, name);
                        let before = self.given.insert(key, reply.assignment.clone());
                        // A generation's member gets exactly one assignment.
                        assert!(before.is_none_or(|before| before == reply.assignment));
                    }
                }
                Some(other) => panic!("not a reply to a join or sync: {other:?}"),
            }
            client.parked = None;
        }
    }

    fn check(&mut self) {
        for partition in 0..3 {
            let expected = self.committed.get(&partition).copied().unwrap_or(-1);
            assert_eq!(self.world.committed(GROUP, "t", partition), expected);
        }
        let Some(group) = self.world.shard.groups().next() else {
            return;
        };
        // Members whose first rebalance was never stored are lost in a restart, and its number.
        let is_new = group.generation == 0 || !group.stored;
        assert!(
            is_new || group.generation >= self.generation,
            "a generation went back"
        );
        if group.stored && group.state() == GroupState::Stable {
            self.generation = group.generation;
        }
        let ids: HashSet<&str> = group.members().map(|member| &*member.id).collect();
        assert_eq!(ids.len(), group.size());
        assert!(group.awaiting_joins() <= 3, "above the group's limit");
        match group.state() {
            GroupState::Empty => assert_eq!(group.size(), 0),
            GroupState::Stable | GroupState::CompletingRebalance => assert!(group.size() > 0),
            GroupState::PreparingRebalance | GroupState::Dead => {}
        }
        if let Some(leader) = &group.leader {
            assert!(ids.contains(&**leader), "the leader is a member");
        }
        let waiting = group
            .members()
            .filter(|member| member.is_awaiting_join())
            .count();
        assert_eq!(waiting, group.awaiting_joins());
        let parked = group.members().filter(|member| {
            (member.is_awaiting_join() && group.state() != GroupState::PreparingRebalance)
                || (member.awaiting_sync.is_some()
                    && group.state() != GroupState::CompletingRebalance)
        });
        assert_eq!(parked.count(), 0, "somebody waits for what will not come");
        if matches!(group.state(), GroupState::Stable | GroupState::Empty) && group.stored {
            self.check_replay();
        }
    }

    /// A replay of all records gives the same group.
    fn check_replay(&self) {
        let replayed = self.world.restarted();
        let (ours, theirs) = (self.world.shard.groups(), replayed.shard.groups());
        for (ours, theirs) in ours.zip(theirs) {
            assert_eq!(ours.to_record(), theirs.to_record());
            assert_eq!(ours.offsets, theirs.offsets);
            assert_eq!(ours.state(), theirs.state());
        }
        assert_eq!(
            self.world.shard.groups().count(),
            replayed.shard.groups().count()
        );
    }
}

fn read_join(client: &mut Client, reply: JoinReply) {
    match reply.error {
        ErrorCode::None => {
            client.leads = reply.leader == reply.member_id && !reply.skip_assignment;
            client.members = reply
                .members
                .into_iter()
                .map(|member| member.member_id)
                .collect();
            client.member_id = reply.member_id;
            client.generation = reply.generation_id;
        }
        ErrorCode::MemberIdRequired => client.member_id = reply.member_id,
        ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => client.member_id.clear(),
        _ => {}
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let client = 0..CLIENTS;
    let join = (0..CLIENTS, any::<bool>(), 0..3_usize, 3..10_i16).prop_map(
        |(client, is_static, topics, api_version)| {
            // Half of the clients are always static, so that they come back often.
            let is_static = is_static && client < 2;
            Event::Join {
                client,
                is_static,
                topics,
                api_version,
            }
        },
    );
    prop_oneof![
        8 => join,
        8 => client.clone().prop_map(|client| Event::Sync { client }),
        3 => client.clone().prop_map(|client| Event::Heartbeat { client }),
        1 => client.clone().prop_map(|client| Event::Leave { client }),
        3 => (client, 0..3_i32, 0..100_i64, prop::bool::weighted(0.8)).prop_map(
            |(client, partition, offset, written)| {
                Event::Commit { client, partition, offset, written }
            }
        ),
        1 => (0..3_i32, 0..100_i64)
            .prop_map(|(partition, offset)| Event::SimpleCommit { partition, offset }),
        1 => (0..3_i32).prop_map(|partition| Event::DeleteOffset { partition }),
        1 => Just(Event::DeleteGroup),
        6 => prop_oneof![0..100_u64, 3_000..3_001_u64, 5_000..70_000_u64]
            .prop_map(|ms| Event::Pass { ms }),
        1 => Just(Event::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold(events in proptest::collection::vec(any_event(), 1..120)) {
        let mut run = Run::new();
        for event in &events {
            run.step(event);
        }
    }
}
