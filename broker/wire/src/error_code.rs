//! The error codes of Kafka's protocol, as of Kafka 4.3.

use std::fmt;

macro_rules! error_codes {
    ($($code:literal $variant:ident $name:literal $retry:ident $message:literal)*) => {
        /// An error code of Kafka's protocol; [`ErrorCode::None`] is success.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(#[doc = concat!("`", $name, "`: ", $message, ".")] $variant = $code,)*
        }

        impl ErrorCode {
            /// Every code, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The error of a code from the wire; `None` if Kafka 4.3 has no such code.
            pub fn from_code(code: i16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Kafka's name, such as `NOT_LEADER_OR_FOLLOWER`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether Kafka's clients try again on their own.
            pub fn retriable(self) -> bool {
                match self {
                    $(Self::$variant => error_codes!(@$retry),)*
                }
            }

            /// What the code means, for a response that has no better message of its own.
            pub fn message(self) -> &'static str {
                match self {
                    $(Self::$variant => $message,)*
                }
            }
        }
    };
    (@retry) => { true };
    (@fatal) => { false };
}

impl ErrorCode {
    /// The code as it stands on the wire.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// Whether this is success.
    pub fn is_none(self) -> bool {
        self == Self::None
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl From<ErrorCode> for i16 {
    fn from(error: ErrorCode) -> Self {
        error.code()
    }
}

error_codes! {
    -1 UnknownServerError "UNKNOWN_SERVER_ERROR" fatal
        "the broker met an error that it did not expect"
    0 None "NONE" fatal
        "success"
    1 OffsetOutOfRange "OFFSET_OUT_OF_RANGE" fatal
        "there is no such offset in the partition"
    2 CorruptMessage "CORRUPT_MESSAGE" retry
        "a record batch is damaged: its checksum, its lengths or its format are wrong"
    3 UnknownTopicOrPartition "UNKNOWN_TOPIC_OR_PARTITION" retry
        "there is no such topic or partition on this broker"
    4 InvalidFetchSize "INVALID_FETCH_SIZE" fatal
        "the fetch size is not valid"
    5 LeaderNotAvailable "LEADER_NOT_AVAILABLE" retry
        "the partition has no leader at the moment"
    6 NotLeaderOrFollower "NOT_LEADER_OR_FOLLOWER" retry
        "this broker is not the partition's leader, or not one of its replicas"
    7 RequestTimedOut "REQUEST_TIMED_OUT" retry
        "the request was not completed in the time it allowed"
    8 BrokerNotAvailable "BROKER_NOT_AVAILABLE" fatal
        "the broker is not available"
    9 ReplicaNotAvailable "REPLICA_NOT_AVAILABLE" retry
        "the partition's replica is not available"
    10 MessageTooLarge "MESSAGE_TOO_LARGE" fatal
        "a message is larger than the broker accepts"
    11 StaleControllerEpoch "STALE_CONTROLLER_EPOCH" fatal
        "another controller has taken over"
    12 OffsetMetadataTooLarge "OFFSET_METADATA_TOO_LARGE" fatal
        "the metadata given with an offset is too long"
    13 NetworkException "NETWORK_EXCEPTION" retry
        "the connection ended before the response"
    14 CoordinatorLoadInProgress "COORDINATOR_LOAD_IN_PROGRESS" retry
        "the coordinator is still loading its state"
    15 CoordinatorNotAvailable "COORDINATOR_NOT_AVAILABLE" retry
        "there is no coordinator at the moment"
    16 NotCoordinator "NOT_COORDINATOR" retry
        "this broker is not the coordinator asked for"
    17 InvalidTopicException "INVALID_TOPIC_EXCEPTION" fatal
        "the topic's name is not valid, or the operation is not allowed on this topic"
    18 RecordListTooLarge "RECORD_LIST_TOO_LARGE" fatal
        "a batch of records is larger than a segment may be"
    19 NotEnoughReplicas "NOT_ENOUGH_REPLICAS" retry
        "fewer replicas are in sync than the topic requires"
    20 NotEnoughReplicasAfterAppend "NOT_ENOUGH_REPLICAS_AFTER_APPEND" retry
        "the records were written, but to fewer in-sync replicas than the topic requires"
    21 InvalidRequiredAcks "INVALID_REQUIRED_ACKS" fatal
        "the value of acks is not valid"
    22 IllegalGeneration "ILLEGAL_GENERATION" fatal
        "the group's generation is not the current one"
    23 InconsistentGroupProtocol "INCONSISTENT_GROUP_PROTOCOL" fatal
        "the member shares no protocol with the group's other members, or named none"
    24 InvalidGroupId "INVALID_GROUP_ID" fatal
        "the group's id is not valid"
    25 UnknownMemberId "UNKNOWN_MEMBER_ID" fatal
        "the group has no such member"
    26 InvalidSessionTimeout "INVALID_SESSION_TIMEOUT" fatal
        "the session timeout is outside of the range that the broker allows"
    27 RebalanceInProgress "REBALANCE_IN_PROGRESS" fatal
        "the group is rebalancing; the member has to join again"
    28 InvalidCommitOffsetSize "INVALID_COMMIT_OFFSET_SIZE" fatal
        "the offsets to commit take too much space"
    29 TopicAuthorizationFailed "TOPIC_AUTHORIZATION_FAILED" fatal
        "not authorized to access the topic"
    30 GroupAuthorizationFailed "GROUP_AUTHORIZATION_FAILED" fatal
        "not authorized to access the group"
    31 ClusterAuthorizationFailed "CLUSTER_AUTHORIZATION_FAILED" fatal
        "not authorized for this operation on the cluster"
    32 InvalidTimestamp "INVALID_TIMESTAMP" fatal
        "a record's timestamp is outside of the range that the topic allows"
    33 UnsupportedSaslMechanism "UNSUPPORTED_SASL_MECHANISM" fatal
        "the SASL mechanism is not supported"
    34 IllegalSaslState "ILLEGAL_SASL_STATE" fatal
        "the request does not fit the state of the SASL handshake"
    35 UnsupportedVersion "UNSUPPORTED_VERSION" fatal
        "this version of the API is not supported"
    36 TopicAlreadyExists "TOPIC_ALREADY_EXISTS" fatal
        "there is a topic of this name already"
    37 InvalidPartitions "INVALID_PARTITIONS" fatal
        "the number of partitions is not valid"
    38 InvalidReplicationFactor "INVALID_REPLICATION_FACTOR" fatal
        "the replication factor is below one, or there are not enough brokers for it"
    39 InvalidReplicaAssignment "INVALID_REPLICA_ASSIGNMENT" fatal
        "the assignment of replicas is not valid"
    40 InvalidConfig "INVALID_CONFIG" fatal
        "a configuration is not valid"
    41 NotController "NOT_CONTROLLER" retry
        "this broker is not the controller"
    42 InvalidRequest "INVALID_REQUEST" fatal
        "the request is malformed, or does not make sense here"
    43 UnsupportedForMessageFormat "UNSUPPORTED_FOR_MESSAGE_FORMAT" fatal
        "the format of the stored messages does not support the request"
    44 PolicyViolation "POLICY_VIOLATION" fatal
        "the request violates a policy of this cluster"
    45 OutOfOrderSequenceNumber "OUT_OF_ORDER_SEQUENCE_NUMBER" fatal
        "the batch's sequence number does not follow the last one of its producer"
    46 DuplicateSequenceNumber "DUPLICATE_SEQUENCE_NUMBER" fatal
        "the batch's sequence number was used already"
    47 InvalidProducerEpoch "INVALID_PRODUCER_EPOCH" fatal
        "the producer's epoch is older than the current one"
    48 InvalidTxnState "INVALID_TXN_STATE" fatal
        "the operation does not fit the state of the transaction"
    49 InvalidProducerIdMapping "INVALID_PRODUCER_ID_MAPPING" fatal
        "the producer id does not belong to the transactional id"
    50 InvalidTransactionTimeout "INVALID_TRANSACTION_TIMEOUT" fatal
        "the transaction timeout is longer than the broker allows"
    51 ConcurrentTransactions "CONCURRENT_TRANSACTIONS" retry
        "another operation on the same transaction is still under way"
    52 TransactionCoordinatorFenced "TRANSACTION_COORDINATOR_FENCED" fatal
        "another transaction coordinator has taken over"
    53 TransactionalIdAuthorizationFailed "TRANSACTIONAL_ID_AUTHORIZATION_FAILED" fatal
        "not authorized to use the transactional id"
    54 SecurityDisabled "SECURITY_DISABLED" fatal
        "security is switched off"
    55 OperationNotAttempted "OPERATION_NOT_ATTEMPTED" fatal
        "the operation was not tried, because another one of the request failed"
    56 KafkaStorageError "KAFKA_STORAGE_ERROR" retry
        "the broker could not read or write its storage"
    57 LogDirNotFound "LOG_DIR_NOT_FOUND" fatal
        "there is no such log directory"
    58 SaslAuthenticationFailed "SASL_AUTHENTICATION_FAILED" fatal
        "authentication failed"
    59 UnknownProducerId "UNKNOWN_PRODUCER_ID" fatal
        "nothing is known of the producer id, perhaps because its records have expired"
    60 ReassignmentInProgress "REASSIGNMENT_IN_PROGRESS" fatal
        "the partition is being reassigned"
    61 DelegationTokenAuthDisabled "DELEGATION_TOKEN_AUTH_DISABLED" fatal
        "delegation tokens are switched off"
    62 DelegationTokenNotFound "DELEGATION_TOKEN_NOT_FOUND" fatal
        "there is no such delegation token"
    63 DelegationTokenOwnerMismatch "DELEGATION_TOKEN_OWNER_MISMATCH" fatal
        "the delegation token belongs to another principal"
    64 DelegationTokenRequestNotAllowed "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED" fatal
        "delegation tokens cannot be requested over this connection"
    65 DelegationTokenAuthorizationFailed "DELEGATION_TOKEN_AUTHORIZATION_FAILED" fatal
        "not authorized to use the delegation token"
    66 DelegationTokenExpired "DELEGATION_TOKEN_EXPIRED" fatal
        "the delegation token has expired"
    67 InvalidPrincipalType "INVALID_PRINCIPAL_TYPE" fatal
        "this type of principal is not supported"
    68 NonEmptyGroup "NON_EMPTY_GROUP" fatal
        "the group still has members"
    69 GroupIdNotFound "GROUP_ID_NOT_FOUND" fatal
        "there is no such group"
    70 FetchSessionIdNotFound "FETCH_SESSION_ID_NOT_FOUND" retry
        "there is no such fetch session"
    71 InvalidFetchSessionEpoch "INVALID_FETCH_SESSION_EPOCH" retry
        "the fetch session's epoch is not the expected one"
    72 ListenerNotFound "LISTENER_NOT_FOUND" retry
        "the leader has no listener that matches the one of this request"
    73 TopicDeletionDisabled "TOPIC_DELETION_DISABLED" fatal
        "the deletion of topics is switched off"
    74 FencedLeaderEpoch "FENCED_LEADER_EPOCH" retry
        "the request's leader epoch is older than the current one"
    75 UnknownLeaderEpoch "UNKNOWN_LEADER_EPOCH" retry
        "the request's leader epoch is newer than the one known here"
    76 UnsupportedCompressionType "UNSUPPORTED_COMPRESSION_TYPE" fatal
        "the client cannot read the compression that the partition needs"
    77 StaleBrokerEpoch "STALE_BROKER_EPOCH" fatal
        "the broker's epoch has changed"
    78 OffsetNotAvailable "OFFSET_NOT_AVAILABLE" retry
        "the new leader cannot yet say which offsets are committed"
    79 MemberIdRequired "MEMBER_ID_REQUIRED" fatal
        "the member has to join again with the member id that it is given"
    80 PreferredLeaderNotAvailable "PREFERRED_LEADER_NOT_AVAILABLE" retry
        "the preferred leader is not available"
    81 GroupMaxSizeReached "GROUP_MAX_SIZE_REACHED" fatal
        "the group has as many members as it may have"
    82 FencedInstanceId "FENCED_INSTANCE_ID" fatal
        "another member has joined with the same group instance id"
    83 EligibleLeadersNotAvailable "ELIGIBLE_LEADERS_NOT_AVAILABLE" retry
        "no replica that may become the leader is available"
    84 ElectionNotNeeded "ELECTION_NOT_NEEDED" retry
        "the partition needs no election"
    85 NoReassignmentInProgress "NO_REASSIGNMENT_IN_PROGRESS" fatal
        "the partition is not being reassigned"
    86 GroupSubscribedToTopic "GROUP_SUBSCRIBED_TO_TOPIC" fatal
        "the group is subscribed to the topic, so its offsets cannot be deleted"
    87 InvalidRecord "INVALID_RECORD" fatal
        "a record is not valid for this topic"
    88 UnstableOffsetCommit "UNSTABLE_OFFSET_COMMIT" retry
        "offsets of a transaction that has not ended are in the way"
    89 ThrottlingQuotaExceeded "THROTTLING_QUOTA_EXCEEDED" retry
        "the client goes beyond its quota"
    90 ProducerFenced "PRODUCER_FENCED" fatal
        "a newer producer has the same transactional id"
    91 ResourceNotFound "RESOURCE_NOT_FOUND" fatal
        "there is no such resource"
    92 DuplicateResource "DUPLICATE_RESOURCE" fatal
        "the request names a resource twice"
    93 UnacceptableCredential "UNACCEPTABLE_CREDENTIAL" fatal
        "the credential is not acceptable"
    94 InconsistentVoterSet "INCONSISTENT_VOTER_SET" fatal
        "sender or recipient is not among the expected voters"
    95 InvalidUpdateVersion "INVALID_UPDATE_VERSION" fatal
        "the version to update to is not valid"
    96 FeatureUpdateFailed "FEATURE_UPDATE_FAILED" fatal
        "the features could not be updated"
    97 PrincipalDeserializationFailure "PRINCIPAL_DESERIALIZATION_FAILURE" fatal
        "the principal of a forwarded request cannot be read"
    98 SnapshotNotFound "SNAPSHOT_NOT_FOUND" fatal
        "there is no such snapshot"
    99 PositionOutOfRange "POSITION_OUT_OF_RANGE" fatal
        "the position is not within the snapshot"
    100 UnknownTopicId "UNKNOWN_TOPIC_ID" retry
        "this broker has no topic of this id"
    101 DuplicateBrokerRegistration "DUPLICATE_BROKER_REGISTRATION" fatal
        "another broker has this id"
    102 BrokerIdNotRegistered "BROKER_ID_NOT_REGISTERED" fatal
        "no broker of this id is registered"
    103 InconsistentTopicId "INCONSISTENT_TOPIC_ID" retry
        "the topic id is not the one of the stored partition"
    104 InconsistentClusterId "INCONSISTENT_CLUSTER_ID" fatal
        "the cluster id is not the one of this cluster"
    105 TransactionalIdNotFound "TRANSACTIONAL_ID_NOT_FOUND" fatal
        "there is no such transactional id"
    106 FetchSessionTopicIdError "FETCH_SESSION_TOPIC_ID_ERROR" retry
        "the fetch session mixes topic names and topic ids"
    107 IneligibleReplica "INELIGIBLE_REPLICA" fatal
        "a replica that is to be in sync is not eligible"
    108 NewLeaderElected "NEW_LEADER_ELECTED" fatal
        "the change was made, but there is a new leader"
    109 OffsetMovedToTieredStorage "OFFSET_MOVED_TO_TIERED_STORAGE" fatal
        "the offset has moved to tiered storage"
    110 FencedMemberEpoch "FENCED_MEMBER_EPOCH" fatal
        "the member's epoch is fenced; it has to give up its partitions and join again"
    111 UnreleasedInstanceId "UNRELEASED_INSTANCE_ID" fatal
        "the instance id is still in use by another member"
    112 UnsupportedAssignor "UNSUPPORTED_ASSIGNOR" fatal
        "the assignor is not supported"
    113 StaleMemberEpoch "STALE_MEMBER_EPOCH" fatal
        "the member's epoch is old; it has to wait for its next heartbeat"
    114 MismatchedEndpointType "MISMATCHED_ENDPOINT_TYPE" fatal
        "the request went to the wrong type of endpoint"
    115 UnsupportedEndpointType "UNSUPPORTED_ENDPOINT_TYPE" fatal
        "this type of endpoint is not supported"
    116 UnknownControllerId "UNKNOWN_CONTROLLER_ID" fatal
        "there is no such controller"
    117 UnknownSubscriptionId "UNKNOWN_SUBSCRIPTION_ID" fatal
        "the telemetry subscription is unknown or out of date"
    118 TelemetryTooLarge "TELEMETRY_TOO_LARGE" fatal
        "the telemetry is larger than the broker accepts"
    119 InvalidRegistration "INVALID_REGISTRATION" fatal
        "the broker's registration is not valid"
    120 TransactionAbortable "TRANSACTION_ABORTABLE" fatal
        "the transaction failed; it can be aborted and the transactional id used again"
    121 InvalidRecordState "INVALID_RECORD_STATE" fatal
        "the acknowledgement does not fit the state of the record"
    122 ShareSessionNotFound "SHARE_SESSION_NOT_FOUND" retry
        "there is no such share session"
    123 InvalidShareSessionEpoch "INVALID_SHARE_SESSION_EPOCH" retry
        "the share session's epoch is not the expected one"
    124 FencedStateEpoch "FENCED_STATE_EPOCH" fatal
        "the state epoch of the share group is not the current one"
    125 InvalidVoterKey "INVALID_VOTER_KEY" fatal
        "the voter's key is not the one of this replica"
    126 DuplicateVoter "DUPLICATE_VOTER" fatal
        "there is such a voter already"
    127 VoterNotFound "VOTER_NOT_FOUND" fatal
        "there is no such voter"
    128 InvalidRegularExpression "INVALID_REGULAR_EXPRESSION" fatal
        "the regular expression is not valid"
    129 RebootstrapRequired "REBOOTSTRAP_REQUIRED" fatal
        "the client's metadata is out of date; it has to start over from its bootstrap servers"
    130 StreamsInvalidTopology "STREAMS_INVALID_TOPOLOGY" fatal
        "the topology is not valid"
    131 StreamsInvalidTopologyEpoch "STREAMS_INVALID_TOPOLOGY_EPOCH" fatal
        "the epoch of the topology is not valid"
    132 StreamsTopologyFenced "STREAMS_TOPOLOGY_FENCED" fatal
        "the epoch of the topology is out of date"
    133 ShareSessionLimitReached "SHARE_SESSION_LIMIT_REACHED" retry
        "there are as many share sessions as there may be"
}
