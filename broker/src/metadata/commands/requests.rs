//! The requests of which [`Command`](super::Command) is made: one struct per command, with what its caller
//! knows. What only the deciding broker knows is in [`Conditions`].

use std::{collections::BTreeSet, ops::Range};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    AlterConfigsError, AlteredPartition, Answer, BrokerLifeError, Command, CreatePartitionsError,
    CreateTopicError, CreatedTopic, CreationDefaults, ElectLeaderError, ElectionDefaults,
    ElectionKind, FeatureUpdate, InternalTopic, InternalTopicError, NewPartitions, NewTopic,
    PartitionAlteration, ProducerIdsExhausted, Reassignment, ReassignmentError, RegisterBroker,
    Registration, RegistrationError, ResourceAlteration, TooManyPartitions, UnknownTopicId,
    UpdateFeatureError,
};
use crate::metadata::{Decision, Image};

/// What only the broker that decides a command knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// Its static configs, for what neither a topic nor the cluster says.
    pub election: ElectionDefaults,
    /// The brokers that it hears of: their sessions have not run out.
    pub live_brokers: BTreeSet<i32>,
}

/// What carries a command out, with the type of its outcome.
pub trait Decide {
    /// What the caller is told.
    type Outcome: Send + 'static;

    /// Carries the command out: a pure function of the image, the request and the conditions.
    fn decide(&self, image: &Image, conditions: &Conditions) -> Decision<Self::Outcome>;
}

/// A command by itself, whose outcome comes back in an [`Answer`].
pub trait Request: Decide + Into<Command> + Send + 'static {
    /// The outcome in the answer to this kind of command; `None` if it is the answer to another kind.
    fn outcome(answer: Answer) -> Option<Self::Outcome>;
}

fn refusable<T, E>(decided: Result<Decision<T>, E>) -> Decision<Result<T, E>> {
    match decided {
        Ok(Decision { records, outcome }) => Decision {
            records,
            outcome: Ok(outcome),
        },
        Err(error) => Decision {
            records: Vec::new(),
            outcome: Err(error),
        },
    }
}

/// Keeps the outcome alone, for requests that only ask whether something could be done.
fn only_validated<T>(decision: Decision<T>, validate_only: bool) -> Decision<T> {
    match validate_only {
        true => Decision {
            records: Vec::new(),
            ..decision
        },
        false => decision,
    }
}

/// Creates topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopics {
    /// The topics.
    pub topics: Vec<NewTopic>,
    /// What -1 stands for at the broker that was asked.
    pub defaults: CreationDefaults,
    /// Whether nothing is changed.
    pub validate_only: bool,
}

impl Decide for CreateTopics {
    type Outcome = Result<Vec<Result<CreatedTopic, CreateTopicError>>, TooManyPartitions>;

    fn decide(&self, image: &Image, _: &Conditions) -> Decision<Self::Outcome> {
        let decided = super::create_topics(image, &self.topics, self.defaults);
        only_validated(refusable(decided), self.validate_only)
    }
}

/// Deletes topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTopics {
    /// Their ids.
    pub ids: Vec<Uuid>,
}

impl Decide for DeleteTopics {
    type Outcome = Vec<Result<(), UnknownTopicId>>;

    fn decide(&self, image: &Image, _: &Conditions) -> Decision<Self::Outcome> {
        super::delete_topics(image, &self.ids)
    }
}

/// Adds partitions to topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePartitions {
    /// The topics, with their new numbers of partitions.
    pub topics: Vec<NewPartitions>,
    /// Whether nothing is changed.
    pub validate_only: bool,
}

impl Decide for CreatePartitions {
    type Outcome = Result<Vec<Result<(), CreatePartitionsError>>, TooManyPartitions>;

    fn decide(&self, image: &Image, _: &Conditions) -> Decision<Self::Outcome> {
        let decided = super::create_partitions(image, &self.topics);
        only_validated(refusable(decided), self.validate_only)
    }
}

/// Alters configs of topics and brokers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterConfigs {
    /// The alterations, at most one for each resource.
    pub alterations: Vec<ResourceAlteration>,
    /// Whether nothing is changed.
    pub validate_only: bool,
}

impl Decide for AlterConfigs {
    type Outcome = Vec<Result<(), AlterConfigsError>>;

    fn decide(&self, image: &Image, _: &Conditions) -> Decision<Self::Outcome> {
        let decision = super::alter_configs(image, &self.alterations);
        only_validated(decision, self.validate_only)
    }
}

/// Creates an internal topic unless it exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnsureInternalTopic {
    /// The topic.
    pub topic: InternalTopic,
}

impl Decide for EnsureInternalTopic {
    type Outcome = Result<(), InternalTopicError>;

    fn decide(&self, image: &Image, _: &Conditions) -> Decision<Self::Outcome> {
        refusable(super::ensure_internal_topic(image, &self.topic))
    }
}

/// Takes the next block of producer ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocateProducerIds {}

impl Decide for AllocateProducerIds {
    type Outcome = Result<Range<i64>, ProducerIdsExhausted>;

    fn decide(&self, image: &Image, _: &Conditions) -> Decision<Self::Outcome> {
        refusable(super::allocate_producer_ids(image))
    }
}

/// Gives a new cluster its id. The outcome is the id in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnsureClusterId {
    /// The id, unless the cluster has one.
    pub new_id: String,
}

impl Decide for EnsureClusterId {
    type Outcome = String;

    fn decide(&self, image: &Image, _: &Conditions) -> Decision<Self::Outcome> {
        super::ensure_cluster_id(image, self.new_id.clone())
    }
}

/// Registers the only broker of a cluster. The outcome is its epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterOnlyBroker {
    /// The broker.
    pub broker: RegisterBroker,
}

impl Decide for RegisterOnlyBroker {
    type Outcome = i64;

    fn decide(&self, image: &Image, _: &Conditions) -> Decision<Self::Outcome> {
        super::register_broker(image, self.broker.clone())
    }
}

/// Registers a broker of several. The outcome is its epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The broker.
    pub registration: Registration,
}

impl Decide for Register {
    type Outcome = Result<i64, RegistrationError>;

    fn decide(&self, image: &Image, conditions: &Conditions) -> Decision<Self::Outcome> {
        let has_session = conditions
            .live_brokers
            .contains(&self.registration.broker_id);
        let registration = self.registration.clone();
        refusable(super::register(
            image,
            registration,
            has_session,
            conditions.election,
        ))
    }
}

/// Fences a broker. The outcome is the number of partitions that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceBroker {
    /// The broker.
    pub broker_id: i32,
    /// Its epoch.
    pub broker_epoch: i64,
    /// Whether it fell silent, though its connection stood.
    pub is_silent: bool,
}

impl Decide for FenceBroker {
    type Outcome = Result<usize, BrokerLifeError>;

    fn decide(&self, image: &Image, conditions: &Conditions) -> Decision<Self::Outcome> {
        refusable(super::fence_broker(image, self, conditions.election))
    }
}

/// Unfences a broker. The outcome is the number of partitions that got a leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfenceBroker {
    /// The broker.
    pub broker_id: i32,
    /// Its epoch.
    pub broker_epoch: i64,
}

impl Decide for UnfenceBroker {
    type Outcome = Result<usize, BrokerLifeError>;

    fn decide(&self, image: &Image, conditions: &Conditions) -> Decision<Self::Outcome> {
        refusable(super::unfence_broker(
            image,
            self.broker_id,
            self.broker_epoch,
            conditions.election,
        ))
    }
}

/// Hands over what a broker leads. The outcome is the number of partitions that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginControlledShutdown {
    /// The broker.
    pub broker_id: i32,
    /// Its epoch.
    pub broker_epoch: i64,
}

impl Decide for BeginControlledShutdown {
    type Outcome = Result<usize, BrokerLifeError>;

    fn decide(&self, image: &Image, conditions: &Conditions) -> Decision<Self::Outcome> {
        refusable(super::begin_controlled_shutdown(
            image,
            self.broker_id,
            self.broker_epoch,
            conditions.election,
        ))
    }
}

/// Fences a broker that has flushed its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishControlledShutdown {
    /// The broker.
    pub broker_id: i32,
    /// Its epoch.
    pub broker_epoch: i64,
}

impl Decide for FinishControlledShutdown {
    type Outcome = Result<(), BrokerLifeError>;

    fn decide(&self, image: &Image, _: &Conditions) -> Decision<Self::Outcome> {
        refusable(super::finish_controlled_shutdown(
            image,
            self.broker_id,
            self.broker_epoch,
        ))
    }
}

/// Removes the registration of a broker that will not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnregisterBroker {
    /// The broker.
    pub broker_id: i32,
}

impl Decide for UnregisterBroker {
    type Outcome = Result<(), BrokerLifeError>;

    fn decide(&self, image: &Image, conditions: &Conditions) -> Decision<Self::Outcome> {
        refusable(super::unregister_broker(
            image,
            self.broker_id,
            conditions.election,
        ))
    }
}

/// Changes in-sync replicas for their leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterPartitions {
    /// The leader.
    pub sender: i32,
    /// Its broker epoch.
    pub sender_epoch: i64,
    /// The partitions.
    pub alterations: Vec<PartitionAlteration>,
}

impl Decide for AlterPartitions {
    type Outcome = Result<Vec<AlteredPartition>, BrokerLifeError>;

    fn decide(&self, image: &Image, conditions: &Conditions) -> Decision<Self::Outcome> {
        let (sender, epoch) = (self.sender, self.sender_epoch);
        refusable(super::alter_partitions(
            image,
            sender,
            epoch,
            &self.alterations,
            conditions.election,
        ))
    }
}

/// Elects leaders. The outcomes are the leaders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElectLeaders {
    /// The kind of election.
    pub kind: ElectionKind,
    /// The partitions, by topic and index.
    pub partitions: Vec<(String, i32)>,
}

impl Decide for ElectLeaders {
    type Outcome = Vec<Result<i32, ElectLeaderError>>;

    fn decide(&self, image: &Image, conditions: &Conditions) -> Decision<Self::Outcome> {
        super::elect_leaders(image, self.kind, &self.partitions, conditions.election)
    }
}

/// Gives leadership back to preferred replicas. The outcome is the number of partitions that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePreferredLeaders {
    /// Most partitions to change.
    pub limit: usize,
}

impl Decide for RestorePreferredLeaders {
    type Outcome = usize;

    fn decide(&self, image: &Image, conditions: &Conditions) -> Decision<Self::Outcome> {
        super::restore_preferred_leaders(image, self.limit, conditions.election)
    }
}

/// Elects leaders where there are none and could be. The outcome is the number of partitions that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElectMissingLeaders {
    /// Most partitions to change.
    pub limit: usize,
}

impl Decide for ElectMissingLeaders {
    type Outcome = usize;

    fn decide(&self, image: &Image, conditions: &Conditions) -> Decision<Self::Outcome> {
        super::elect_missing_leaders(image, self.limit, conditions.election)
    }
}

/// Begins, replaces or cancels reassignments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterReassignments {
    /// The partitions, with their new replicas.
    pub reassignments: Vec<Reassignment>,
    /// Whether the number of replicas may become another (KIP-860).
    pub may_change_replication_factor: bool,
}

impl Decide for AlterReassignments {
    type Outcome = Vec<Result<(), ReassignmentError>>;

    fn decide(&self, image: &Image, conditions: &Conditions) -> Decision<Self::Outcome> {
        let may = self.may_change_replication_factor;
        super::alter_reassignments(image, &self.reassignments, may, conditions.election)
    }
}

/// Finalizes levels of features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateFeatures {
    /// The features.
    pub updates: Vec<FeatureUpdate>,
    /// Whether nothing is changed.
    pub validate_only: bool,
}

impl Decide for UpdateFeatures {
    type Outcome = Vec<Result<(), UpdateFeatureError>>;

    fn decide(&self, image: &Image, conditions: &Conditions) -> Decision<Self::Outcome> {
        let decision = super::update_features(image, &self.updates, conditions.election);
        only_validated(decision, self.validate_only)
    }
}
