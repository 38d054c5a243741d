//! Calls of one client, each sent to where it belongs.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future::Future,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use fjord_proto::peer::v1::ForwardedCall;
use fjord_wire::{
    ApiMessage, Decode, ErrorCode, Message, Reader, Writer,
    messages::{
        add_raft_voter_request::AddRaftVoterRequest,
        alter_partition_reassignments_request::AlterPartitionReassignmentsRequest,
        create_partitions_request::CreatePartitionsRequest,
        create_topics_request::CreateTopicsRequest, delete_records_request::DeleteRecordsRequest,
        delete_topics_request::DeleteTopicsRequest,
        describe_cluster_request::DescribeClusterRequest,
        describe_log_dirs_request::DescribeLogDirsRequest,
        elect_leaders_request::ElectLeadersRequest,
        find_coordinator_request::FindCoordinatorRequest, list_offsets_request::ListOffsetsRequest,
        list_partition_reassignments_request::ListPartitionReassignmentsRequest,
        metadata_request::MetadataRequest, remove_raft_voter_request::RemoveRaftVoterRequest,
        unregister_broker_request::UnregisterBrokerRequest,
    },
};
use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use super::{
    REQUEST_BYTES,
    outcome::{Failed, Outcome, is_moved, unreachable},
    partitions::ByPartition,
    peer::Peers,
    route::{self, Place, TopicPartition},
};
use crate::{
    api::{
        error::ApiError,
        local::{self, Caller, Served},
    },
    broker::Broker,
    metadata::Image,
    net::CloseConnection,
};

/// How long a call goes after a partition or a group that moves.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// How long a new leader or coordinator may need that the metadata names already.
pub const PAUSE: Duration = Duration::from_millis(20);

/// A request that is sent to where it belongs.
pub trait Routed: Served {
    /// Sends it there, and waits for the response.
    fn route(
        router: &Router,
        version: i16,
        request: Self,
    ) -> impl Future<Output = Result<Self::Response, Failed>> + Send;
}

/// The way of one client's calls.
#[derive(Clone)]
pub struct Router {
    pub(super) broker: Arc<Broker>,
    pub(super) caller: Caller,
    /// The other brokers; nothing in a cluster of one.
    pub(super) peers: Option<Peers>,
}

/// What is left of a request by partitions after a try, and why.
pub(super) struct Left {
    /// Why each partition that has no answer yet has none.
    pub errors: HashMap<TopicPartition, ApiError>,
    /// How many changes of the metadata the brokers had acted on that said that they do not lead.
    pub position: u64,
}

impl Router {
    /// The way of this client's calls.
    pub fn new(broker: Arc<Broker>, caller: Caller, peers: Option<Peers>) -> Router {
        Router {
            broker,
            caller,
            peers,
        }
    }

    /// The broker that the client has called.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// The same client under another name.
    #[must_use]
    pub fn named(&self, client_id: &str) -> Router {
        let mut named = self.clone();
        client_id.clone_into(&mut named.caller.client_id);
        named
    }

    /// On whose behalf the calls are.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Calls an API where the request belongs.
    ///
    /// # Errors
    ///
    /// [`Failed`]; what the response says is the caller's.
    pub async fn call<M: Routed>(&self, version: i16, request: M) -> Result<M::Response, Failed> {
        match self.peers {
            Some(_) => M::route(self, version, request).await,
            None => self.here(version, request).await,
        }
    }

    /// Calls an API of this broker.
    pub(super) async fn here<M: Served>(
        &self,
        version: i16,
        request: M,
    ) -> Result<M::Response, Failed> {
        match self.ask_here(version, request).await {
            Outcome::Answered(Some(response), _) => Ok(response),
            Outcome::Refused(close) => Err(close.into()),
            Outcome::Answered(None, _) | Outcome::NotDone(_) | Outcome::Unknown(_) => {
                let reason = "the request got no response";
                Err(Failed::Lost(ApiError::new(
                    ErrorCode::UnknownServerError,
                    reason,
                )))
            }
        }
    }

    async fn ask_here<M: Served>(&self, version: i16, request: M) -> Outcome<M::Response> {
        let begun = local::begin(&self.broker, &self.caller, version, request).await;
        let response = match begun {
            Ok(begun) => begun.response().await,
            Err(close) => Err(close),
        };
        match response {
            Ok(response) => Outcome::Answered(response, 0),
            Err(close) => Outcome::Refused(close),
        }
    }

    /// Calls an API of the broker at a place, once.
    pub(super) async fn ask<M: Served>(
        &self,
        place: Place,
        version: i16,
        request: M,
    ) -> Outcome<M::Response> {
        let (Some(peers), Place::There(broker)) = (&self.peers, place) else {
            return match place {
                Place::Nowhere => Outcome::NotDone("it has no leader now".to_owned()),
                Place::Here | Place::There(_) => self.ask_here(version, request).await,
            };
        };
        let call = match self.message(broker, version, &request) {
            Ok(call) => call,
            Err(close) => return Outcome::Refused(close),
        };
        drop(request);
        let outcome = peers.call(call).await;
        outcome.and_then(|response| decoded::<M>(response, version))
    }

    /// A request as it is sent to another broker.
    pub(super) fn message<M: Served>(
        &self,
        broker_id: i32,
        version: i16,
        request: &M,
    ) -> Result<ForwardedCall, CloseConnection> {
        let mut writer = Writer::new();
        let name = <M as Message>::NAME;
        let encoded = request.encode(&mut writer, version);
        encoded.map_err(|error| {
            CloseConnection::because(format!("{name} cannot be sent on: {error}"))
        })?;
        let request = writer.finish().into_bytes();
        if request.len() > REQUEST_BYTES {
            let size = request.len();
            return Err(CloseConnection::because(format!(
                "{name} of {size} bytes is too large to be sent to broker {broker_id}, where it belongs"
            )));
        }
        let connection = &self.caller.connection;
        let image = self.image();
        Ok(ForwardedCall {
            cluster_id: image.cluster_id().unwrap_or_default().to_owned(),
            broker_id,
            position: self.broker.cluster.applied_offset(),
            api_key: <M as ApiMessage>::API_KEY.code().into(),
            version: version.into(),
            request,
            client_id: self.caller.client_id.clone(),
            client_address: connection.peer.to_string(),
            principal_kind: connection.principal.kind().to_owned(),
            principal_name: connection.principal.name().to_owned(),
        })
    }

    /// The metadata as it now is.
    pub(super) fn image(&self) -> Arc<Image> {
        self.broker.metadata.image()
    }

    /// `node.id`.
    pub(super) fn this(&self) -> i32 {
        self.broker.id()
    }

    /// Waits until the metadata may name another broker: until it is as new as that of a broker that knows better, or
    /// for a moment.
    ///
    /// Returns false if that took too long, or the broker stops.
    pub(super) async fn moved(&self, position: u64, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let behind = position > self.broker.cluster.applied_offset();
        let wait = async {
            match behind {
                true => self.broker.cluster.reached(position).await,
                false => sleep(PAUSE).await,
            }
        };
        tokio::select! {
            waited = timeout(left, wait) => waited.is_ok(),
            () = self.broker.stopping.cancelled() => false,
        }
    }

    /// Sends the parts of a request to the leaders of their partitions, and goes after those that move.
    pub(super) async fn by_leaders<M: ByPartition>(
        &self,
        version: i16,
        request: M,
        patience: Duration,
    ) -> Result<M::Response, Failed> {
        let deadline = Instant::now() + patience;
        let mut answers = HashMap::new();
        let mut open = request.partitions();
        loop {
            let places = route::by_leader(&self.image(), self.this(), open);
            let left = self
                .try_leaders(version, &request, places, &mut answers)
                .await?;
            if left.errors.is_empty() || !self.moved(left.position, deadline).await {
                for (partition, error) in left.errors {
                    let refused = M::refused(partition.1, &error);
                    answers.insert(partition, refused);
                }
                return Ok(request.in_order(answers));
            }
            open = left.errors.into_keys().collect();
        }
    }

    /// One try; answers that are some go to `answers`.
    async fn try_leaders<M: ByPartition>(
        &self,
        version: i16,
        request: &M,
        places: BTreeMap<Place, Vec<TopicPartition>>,
        answers: &mut HashMap<TopicPartition, M::Answer>,
    ) -> Result<Left, Failed> {
        let asked = places.into_iter().map(|(place, partitions)| async move {
            let wanted: HashSet<&TopicPartition> = partitions.iter().collect();
            let part = request.only(&wanted);
            let outcome = self.ask(place, version, part).await;
            (place, partitions, outcome)
        });
        let mut left = Left::nothing();
        for (place, partitions, outcome) in join_all(asked).await {
            left.take::<M>(place, partitions, outcome, answers)?;
        }
        Ok(left)
    }
}

impl Left {
    /// Everything is answered so far.
    pub fn nothing() -> Left {
        Left {
            errors: HashMap::new(),
            position: 0,
        }
    }

    /// Takes in what became of one part: answers go to `answers`, and what has moved or was lost is left.
    ///
    /// # Errors
    ///
    /// The request makes no sense to its API.
    pub fn take<M: ByPartition>(
        &mut self,
        place: Place,
        partitions: Vec<TopicPartition>,
        outcome: Outcome<M::Response>,
        answers: &mut HashMap<TopicPartition, M::Answer>,
    ) -> Result<(), Failed> {
        match outcome {
            Outcome::Answered(response, position) => {
                for (partition, answer) in response.map(M::answers).unwrap_or_default() {
                    let code = M::code(&answer);
                    if is_moved(code) {
                        let code = ErrorCode::from_code(code);
                        let code = code.unwrap_or(ErrorCode::NotLeaderOrFollower);
                        self.errors.insert(partition, code.into());
                        self.position = self.position.max(position);
                    } else {
                        answers.insert(partition, answer);
                    }
                }
            }
            Outcome::Refused(close) => return Err(close.into()),
            Outcome::NotDone(reason) | Outcome::Unknown(reason) => {
                let error = match place {
                    Place::There(broker) => unreachable(broker, &reason),
                    Place::Here | Place::Nowhere => ErrorCode::LeaderNotAvailable.into(),
                };
                let lost = partitions.into_iter();
                self.errors
                    .extend(lost.map(|partition| (partition, error.clone())));
            }
        }
        Ok(())
    }
}

/// A response of another broker.
pub(super) fn decoded<M: Served>(response: Bytes, version: i16) -> Result<M::Response, String> {
    M::Response::decode(&mut Reader::new(response), version).map_err(|error| {
        let name = <M::Response as Message>::NAME;
        format!("it sent a malformed {name}: {error}")
    })
}

macro_rules! by_leaders {
    ($($request:ty),* $(,)?) => {
        $(impl Routed for $request {
            async fn route(
                router: &Router,
                version: i16,
                request: Self,
            ) -> Result<Self::Response, Failed> {
                router.by_leaders(version, request, PATIENCE).await
            }
        })*
    };
}

by_leaders!(DeleteRecordsRequest, ListOffsetsRequest);

/// Requests that every broker serves alike: from the metadata, by a change of it, or by its quorum, which find their way
/// themselves.
macro_rules! anywhere {
    ($($request:ty),* $(,)?) => {
        $(impl Routed for $request {
            async fn route(
                router: &Router,
                version: i16,
                request: Self,
            ) -> Result<Self::Response, Failed> {
                router.here(version, request).await
            }
        })*
    };
}

anywhere!(
    AddRaftVoterRequest,
    AlterPartitionReassignmentsRequest,
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DescribeClusterRequest,
    DescribeLogDirsRequest,
    ElectLeadersRequest,
    FindCoordinatorRequest,
    ListPartitionReassignmentsRequest,
    MetadataRequest,
    RemoveRaftVoterRequest,
    UnregisterBrokerRequest,
);
