//! Consumer groups through the table: found, joined, synced, kept alive, left, shown and deleted.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use fjord_wire::{
    ErrorCode,
    messages::{
        delete_groups_request::DeleteGroupsRequest,
        describe_groups_request::DescribeGroupsRequest,
        describe_groups_response::DescribedGroup,
        find_coordinator_request::FindCoordinatorRequest,
        find_coordinator_response::{Coordinator, FindCoordinatorResponse},
        heartbeat_request::HeartbeatRequest,
        join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol},
        join_group_response::JoinGroupResponse,
        leave_group_request::{LeaveGroupRequest, MemberIdentity},
        list_groups_request::ListGroupsRequest,
        sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment},
        sync_group_response::SyncGroupResponse,
    },
};

use super::{Fixture, MemoryGroupLog};
use crate::{api::authorized_operations::NOT_ASKED, metadata::topic_name};

const NO_DELAY: (&str, &str) = ("group.initial.rebalance.delay.ms", "0");

/// What a consumer says about itself: version 0, one topic `t`, no user data.
const SUBSCRIPTION: &[u8] = b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff";

/// Waits, with a limit that only a bug reaches.
pub(super) async fn wait_for(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait)
        .await
        .expect("the condition comes true");
}

impl Fixture {
    /// A broker whose group coordinator serves, and does not wait for more members.
    pub(super) async fn with_groups(group_log: Option<Arc<MemoryGroupLog>>) -> Fixture {
        let settings = [NO_DELAY, ("offsets.topic.num.partitions", "3")];
        let fixture = Fixture::over(&settings, group_log).await;
        let found = find(&fixture, 0, &["g"], 0).await;
        assert_eq!(found[0].error_code, 0);
        fixture.groups_loaded().await;
        fixture
    }

    pub(super) async fn groups_loaded(&self) {
        let groups = &self.broker.groups;
        wait_for(|| groups.partition_for("g").is_some() && groups.is_loaded()).await;
    }

    async fn join(&self, version: i16, request: &JoinGroupRequest) -> JoinGroupResponse {
        let given = self.send(version, request).await;
        if version < 4 || given.error_code != ErrorCode::MemberIdRequired.code() {
            return given;
        }
        let with_id = JoinGroupRequest {
            member_id: given.member_id,
            ..request.clone()
        };
        self.send(version, &with_id).await
    }

    /// The only member of a group, with its assignment.
    pub(super) async fn lone_member(&self, group_id: &str) -> JoinGroupResponse {
        let joined = self.join(9, &join(group_id)).await;
        assert_eq!(joined.error_code, 0);
        let synced = self.send(5, &sync(group_id, &joined, 5)).await;
        assert_eq!(synced.error_code, 0);
        joined
    }

    async fn describe(&self, version: i16, group_id: &str) -> DescribedGroup {
        let request = DescribeGroupsRequest {
            groups: vec![group_id.to_owned()],
            include_authorized_operations: version >= 3,
        };
        self.send(version, &request).await.groups.remove(0)
    }
}

fn join(group_id: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group_id.to_owned(),
        session_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: Bytes::from_static(SUBSCRIPTION),
        }],
        ..Default::default()
    }
}

fn sync(group_id: &str, joined: &JoinGroupResponse, version: i16) -> SyncGroupRequest {
    let is_named = version >= 5;
    SyncGroupRequest {
        group_id: group_id.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: is_named.then(|| "consumer".to_owned()),
        protocol_name: is_named.then(|| "range".to_owned()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: joined.member_id.clone(),
            assignment: Bytes::from_static(b"all of it"),
        }],
        ..Default::default()
    }
}

fn heartbeat(group_id: &str, joined: &JoinGroupResponse) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: group_id.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        ..Default::default()
    }
}

/// The answers for some keys in the form of version 4, whatever the version.
async fn find(fixture: &Fixture, version: i16, keys: &[&str], key_type: i8) -> Vec<Coordinator> {
    if version >= 4 {
        let request = FindCoordinatorRequest {
            key_type,
            coordinator_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            ..Default::default()
        };
        return fixture.send(version, &request).await.coordinators;
    }
    let mut found = Vec::new();
    for key in keys {
        let request = FindCoordinatorRequest {
            key: (*key).to_owned(),
            key_type,
            ..Default::default()
        };
        let FindCoordinatorResponse {
            error_code,
            error_message,
            node_id,
            host,
            port,
            ..
        } = fixture.send(version, &request).await;
        found.push(Coordinator {
            key: (*key).to_owned(),
            node_id,
            host,
            port,
            error_code,
            error_message,
        });
    }
    found
}

#[tokio::test]
async fn the_first_lookup_creates_the_topic_and_names_this_broker() {
    for version in 0..=6 {
        let fixture = Fixture::new().await;
        let keys = if version < 4 {
            &["g"][..]
        } else {
            &["g", "", "g2"]
        };
        let found = find(&fixture, version, keys, 0).await;
        let names: Vec<_> = found.iter().map(|found| found.key.as_str()).collect();
        assert_eq!(names, keys, "version {version}");
        for found in found {
            assert_eq!(found.error_code, 0);
            if version >= 1 {
                assert_eq!(found.error_message, None);
            }
            let expected = (fixture.broker.id(), "127.0.0.7".to_owned(), 9092);
            assert_eq!((found.node_id, found.host, found.port), expected);
        }
        let image = fixture.broker.metadata.image();
        let topic = image.topic(topic_name::CONSUMER_OFFSETS).unwrap();
        assert_eq!(topic.partitions.len(), 50);
        fixture.groups_loaded().await;
    }
}

#[tokio::test]
async fn lookups_that_cannot_be_answered_are_refused() {
    let fixture = Fixture::new().await;
    let too_long = "g".repeat(20_000);
    let cases = [
        (0, too_long.as_str(), ErrorCode::InvalidGroupId, None),
        (
            1,
            "t",
            ErrorCode::TransactionalIdAuthorizationFailed,
            Some("Transactions are not supported"),
        ),
        (2, "s", ErrorCode::InvalidRequest, Some("Share groups")),
        (
            9,
            "x",
            ErrorCode::InvalidRequest,
            Some("Unknown coordinator type 9."),
        ),
    ];
    for (key_type, key, code, message) in cases {
        for version in 1..=6 {
            let found = find(&fixture, version, &[key], key_type).await;
            let Coordinator {
                node_id,
                host,
                port,
                error_code,
                error_message,
                ..
            } = &found[0];
            assert_eq!(*error_code, code.code(), "type {key_type} in {version}");
            assert_eq!((*node_id, host.as_str(), *port), (-1, "", 0));
            match message {
                Some(message) => assert!(error_message.as_ref().unwrap().starts_with(message)),
                None => assert_eq!(*error_message, None),
            }
        }
    }
    let image = fixture.broker.metadata.image();
    assert_eq!(image.topic_count(), 0, "nothing was created");

    fixture.log.set_refusing(true);
    let found = find(&fixture, 4, &["g"], 0).await;
    let code = ErrorCode::CoordinatorNotAvailable;
    assert_eq!(found[0].error_code, code.code());
    assert!(code.retriable());
    let message = found[0].error_message.as_ref().unwrap();
    assert!(message.contains("__consumer_offsets cannot be created"));
}

#[tokio::test]
async fn without_a_coordinator_clients_are_told_to_look_for_one() {
    let log = Arc::<MemoryGroupLog>::default();
    let fixture = Fixture::over(&[], Some(log.clone())).await;
    let joined = fixture.send(9, &join("g")).await;
    let code = ErrorCode::CoordinatorNotAvailable.code();
    assert_eq!(joined.error_code, code);
    assert_eq!(
        fixture.send(4, &heartbeat("g", &joined)).await.error_code,
        code
    );
    assert_eq!(fixture.describe(6, "g").await.error_code, code);
    let listed = fixture.send(5, &ListGroupsRequest::default()).await;
    assert_eq!((listed.error_code, listed.groups), (0, vec![]));

    // While it reads its log, they are told to wait; members need not worry.
    log.refuse_replay(true);
    find(&fixture, 6, &["g"], 0).await;
    wait_for(|| fixture.broker.groups.partition_for("g").is_some()).await;
    let loading = ErrorCode::CoordinatorLoadInProgress.code();
    assert_eq!(fixture.send(9, &join("g")).await.error_code, loading);
    assert_eq!(
        fixture.send(4, &heartbeat("g", &joined)).await.error_code,
        0
    );
    let listed = fixture.send(5, &ListGroupsRequest::default()).await;
    assert_eq!(listed.error_code, loading);
}

#[tokio::test]
async fn a_member_comes_and_goes_in_every_version() {
    let fixture = Fixture::with_groups(None).await;
    for version in 0..=9 {
        let group_id = format!("group-{version}");
        let joined = fixture.join(version, &join(&group_id)).await;
        assert_eq!(joined.error_code, 0, "version {version}");
        assert_eq!(joined.generation_id, 1);
        assert_eq!(joined.leader, joined.member_id);
        assert!(joined.member_id.starts_with("tests-"));
        assert!(!joined.skip_assignment);
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
        let named = (version >= 7).then_some("consumer");
        assert_eq!(joined.protocol_type.as_deref(), named);
        assert_eq!(joined.members.len(), 1);
        assert_eq!(joined.members[0].metadata, SUBSCRIPTION);

        let version = version.min(5);
        let synced = fixture
            .send(version, &sync(&group_id, &joined, version))
            .await;
        assert_eq!(synced.error_code, 0);
        assert_eq!(synced.assignment, &b"all of it"[..]);
        let named = |name: &str| (version >= 5).then(|| name.to_owned());
        assert_eq!(synced.protocol_type, named("consumer"));
        assert_eq!(synced.protocol_name, named("range"));
        let alive = fixture
            .send(version.min(4), &heartbeat(&group_id, &joined))
            .await;
        assert_eq!(alive.error_code, 0);
        leaves(&fixture, version, &group_id, &joined.member_id).await;
    }
}

/// The member leaves, and then is not there any more.
async fn leaves(fixture: &Fixture, version: i16, group_id: &str, member_id: &str) {
    let mut request = LeaveGroupRequest {
        group_id: group_id.to_owned(),
        ..Default::default()
    };
    if version < 3 {
        request.member_id = member_id.to_owned();
    } else {
        request.members = vec![MemberIdentity {
            member_id: member_id.to_owned(),
            ..Default::default()
        }];
    }
    let unknown = ErrorCode::UnknownMemberId.code();
    for expected in [0, unknown] {
        let left = fixture.send(version, &request).await;
        if version < 3 {
            assert_eq!(left.error_code, expected);
            assert_eq!(left.members, []);
        } else {
            assert_eq!(left.error_code, 0);
            assert_eq!(left.members[0].member_id, member_id);
            assert_eq!(left.members[0].error_code, expected);
        }
    }
}

#[tokio::test]
async fn refusals_have_the_form_of_their_version() {
    let fixture = Fixture::with_groups(None).await;
    for version in 0..=9 {
        let mut request = join("");
        let refused = fixture.send(version, &request).await;
        assert_eq!(refused.error_code, ErrorCode::InvalidGroupId.code());
        assert_eq!((refused.generation_id, refused.leader.as_str()), (-1, ""));
        let no_protocol = if version < 7 { Some("") } else { None };
        assert_eq!(refused.protocol_name.as_deref(), no_protocol);
        request.group_id = "g".to_owned();
        request.session_timeout_ms = 1;
        let refused = fixture.send(version, &request).await;
        assert_eq!(refused.error_code, ErrorCode::InvalidSessionTimeout.code());
    }
    let joined = fixture.lone_member("g").await;
    let mut unnamed = sync("g", &joined, 5);
    unnamed.protocol_name = None;
    let refused: SyncGroupResponse = fixture.send(5, &unnamed).await;
    let inconsistent = ErrorCode::InconsistentGroupProtocol.code();
    assert_eq!(refused.error_code, inconsistent);
    assert_eq!(fixture.send(4, &sync("g", &joined, 4)).await.error_code, 0);
    for version in 0..=4 {
        let mut late = heartbeat("g", &joined);
        late.generation_id += 1;
        let refused = fixture.send(version, &late).await;
        assert_eq!(refused.error_code, ErrorCode::IllegalGeneration.code());
    }
}

#[tokio::test]
async fn members_wait_for_each_other_while_other_requests_go_on() {
    let fixture = Fixture::with_groups(None).await;
    let first = fixture.lone_member("g").await;
    let given = fixture.send(9, &join("g")).await;
    let second = JoinGroupRequest {
        member_id: given.member_id,
        ..join("g")
    };
    let first_again = JoinGroupRequest {
        member_id: first.member_id.clone(),
        ..join("g")
    };
    let rejoin = async {
        // The second member's join has begun a rebalance, which the first learns from a heartbeat.
        let expected = ErrorCode::RebalanceInProgress.code();
        let alive = fixture.send(4, &heartbeat("g", &first)).await;
        assert_eq!(alive.error_code, expected);
        fixture.send(9, &first_again).await
    };
    let (second, first) = tokio::join!(fixture.send(9, &second), rejoin);
    assert_eq!((first.error_code, second.error_code), (0, 0));
    assert_eq!((first.generation_id, second.generation_id), (2, 2));
    assert_eq!(first.leader, second.leader);
    assert_eq!(first.members.len() + second.members.len(), 2);
}

#[tokio::test]
async fn groups_are_described_in_every_version() {
    let fixture = Fixture::with_groups(None).await;
    let joined = fixture.lone_member("g").await;
    for version in 0..=6 {
        let group = fixture.describe(version, "g").await;
        assert_eq!((group.error_code, group.error_message), (0, None));
        assert_eq!(group.group_state, "Stable");
        assert_eq!(group.protocol_type, "consumer");
        assert_eq!(group.protocol_data, "range");
        let bits = if version >= 3 {
            0b1101_0100_1000
        } else {
            NOT_ASKED
        };
        assert_eq!(group.authorized_operations, bits, "version {version}");
        let member = &group.members[0];
        assert_eq!(member.member_id, joined.member_id);
        assert_eq!(member.client_id, "tests");
        assert_eq!(member.client_host, "/127.0.0.1");
        assert_eq!(member.member_metadata, SUBSCRIPTION);
        assert_eq!(member.member_assignment, &b"all of it"[..]);

        let unknown = fixture.describe(version, "unknown").await;
        assert_eq!(unknown.group_state, "Dead");
        if version < 6 {
            assert_eq!((unknown.error_code, unknown.error_message), (0, None));
        } else {
            assert_eq!(unknown.error_code, ErrorCode::GroupIdNotFound.code());
            assert!(unknown.error_message.unwrap().contains("unknown"));
            assert_eq!(unknown.authorized_operations, NOT_ASKED);
        }
    }
}

#[tokio::test]
async fn groups_are_listed_by_state_and_type() {
    let fixture = Fixture::with_groups(None).await;
    for group_id in ["a", "b", "c"] {
        fixture.lone_member(group_id).await;
    }
    let list = async |version: i16, states: &[&str], types: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let request = ListGroupsRequest {
            states_filter: owned(states),
            types_filter: owned(types),
        };
        let mut groups = fixture.send(version, &request).await.groups;
        groups.sort_by(|left, right| left.group_id.cmp(&right.group_id));
        groups
    };
    for version in 0..=5 {
        let groups = list(version, &[], &[]).await;
        assert_eq!(groups.len(), 3);
        assert_eq!(groups[0].group_id, "a");
        assert_eq!(groups[0].protocol_type, "consumer");
        let state = if version >= 4 { "Stable" } else { "" };
        assert_eq!(groups[0].group_state, state);
        let kind = if version >= 5 { "classic" } else { "" };
        assert_eq!(groups[0].group_type, kind);
    }
    assert_eq!(list(4, &["stable"], &[]).await.len(), 3);
    assert_eq!(list(4, &["Empty"], &[]).await.len(), 0);
    assert_eq!(list(5, &[], &["consumer"]).await.len(), 0);
    assert_eq!(list(5, &["Stable"], &["Classic"]).await.len(), 3);
}

#[tokio::test]
async fn groups_without_members_are_deleted() {
    let fixture = Fixture::with_groups(None).await;
    for version in 0..=2 {
        fixture.lone_member("busy").await;
        let idle = fixture.lone_member("idle").await;
        leaves(&fixture, 3, "idle", &idle.member_id).await;
        let request = DeleteGroupsRequest {
            groups_names: ["busy", "idle", "unknown", "idle"]
                .map(str::to_owned)
                .into(),
        };
        let response = fixture.send(version, &request).await;
        let results = response.results.iter();
        let results: Vec<_> = results
            .map(|r| (r.group_id.as_str(), r.error_code))
            .collect();
        let expected = [
            ("busy", ErrorCode::NonEmptyGroup.code()),
            ("idle", 0),
            ("unknown", ErrorCode::GroupIdNotFound.code()),
        ];
        assert_eq!(results, expected, "version {version}");
        let busy = fixture.describe(6, "busy").await;
        leaves(&fixture, 3, "busy", &busy.members[0].member_id).await;
    }
}
