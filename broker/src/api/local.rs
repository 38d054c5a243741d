//! The APIs as the broker itself calls them: gRPC services are made of them, so that whatever one protocol
//! does, the other one does too, with the same checks and the same errors.
//!
//! ```text
//!   gRPC request ─► Kafka request ─► begin ─► Handler::handle (first stage) ─► Begun::response
//!   gRPC response ◄──────────────────── Kafka response ◄────────────────────────────┘
//! ```

use std::{sync::Arc, time::Instant};

use fjord_wire::{Request, messages::init_producer_id_request::InitProducerIdRequest};

use super::{
    Answer, Call, Handler, alter_configs, alter_partition_reassignments, call::LaterAnswer,
    create_partitions, create_topics, delete_records, delete_topics, describe_cluster,
    describe_configs, describe_log_dirs, describe_quorum, elect_leaders, error::ApiError, fetch,
    groups, incremental_alter_configs, init_producer_id, list_offsets,
    list_partition_reassignments, metadata, produce, raft_voters, unregister_broker,
};
use crate::{
    broker::Broker,
    net::{CloseConnection, ConnectionContext, RequestContext},
};

const INIT_PRODUCER_ID: i16 = 5;

/// A request that a handler of the table serves.
pub trait Served: Request<Response: Send + 'static> + Send + 'static {
    /// Which one.
    type Handler: Handler<Request = Self>;
}

macro_rules! served {
    ($($handler:ty),* $(,)?) => {
        $(impl Served for <$handler as Handler>::Request {
            type Handler = $handler;
        })*
    };
}

served!(
    alter_configs::AlterConfigs,
    alter_partition_reassignments::AlterPartitionReassignments,
    create_partitions::CreatePartitions,
    create_topics::CreateTopics,
    delete_records::DeleteRecords,
    delete_topics::DeleteTopics,
    describe_cluster::DescribeCluster,
    describe_configs::DescribeConfigs,
    describe_log_dirs::DescribeLogDirs,
    describe_quorum::DescribeQuorum,
    elect_leaders::ElectLeaders,
    fetch::Fetch,
    groups::DeleteGroups,
    groups::DescribeGroups,
    groups::FindCoordinator,
    groups::Heartbeat,
    groups::JoinGroup,
    groups::LeaveGroup,
    groups::ListGroups,
    groups::OffsetCommit,
    groups::OffsetDelete,
    groups::OffsetFetch,
    groups::SyncGroup,
    incremental_alter_configs::IncrementalAlterConfigs,
    list_offsets::ListOffsets,
    list_partition_reassignments::ListPartitionReassignments,
    metadata::Metadata,
    produce::Produce,
    raft_voters::AddRaftVoter,
    raft_voters::RemoveRaftVoter,
    unregister_broker::UnregisterBroker,
);

/// On whose behalf a request runs.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Where it came from.
    pub connection: Arc<ConnectionContext>,
    /// The client's name for itself; may be empty.
    pub client_id: String,
}

/// A request whose first stage is done: it has taken its place in the order of things.
pub struct Begun<M: Served>(Answer<M::Response>);

impl<M: Served> Begun<M> {
    /// The response; nothing if the request gets none.
    ///
    /// # Errors
    ///
    /// [`CloseConnection`] if the request cannot be answered in Kafka's terms.
    pub async fn response(self) -> Result<Option<M::Response>, CloseConnection> {
        match self.0 {
            Answer::None => Ok(None),
            Answer::Now(response) => Ok(Some(response)),
            Answer::Later(future) | Answer::InTurn(future) => {
                let future: LaterAnswer<M::Response> = future;
                future.await
            }
        }
    }
}

/// Does the first stage of a request, of which `version` is meant.
///
/// # Errors
///
/// [`CloseConnection`] if the request cannot be answered in Kafka's terms.
pub async fn begin<M: Served>(
    broker: &Arc<Broker>,
    caller: &Caller,
    version: i16,
    request: M,
) -> Result<Begun<M>, CloseConnection> {
    let call = call(broker, caller, version, request);
    M::Handler::handle(call).await.map(Begun)
}

/// A new id for an idempotent producer, with its epoch.
///
/// # Errors
///
/// With the handler's message, for which Kafka's response has no room.
pub async fn init_producer(broker: &Arc<Broker>, caller: &Caller) -> Result<(i64, i16), ApiError> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    };
    init_producer_id::producer_id(&call(broker, caller, INIT_PRODUCER_ID, request)).await
}

/// A request as its handler gets it.
fn call<M>(broker: &Arc<Broker>, caller: &Caller, version: i16, request: M) -> Call<M> {
    Call {
        broker: Arc::clone(broker),
        context: RequestContext {
            connection: Arc::clone(&caller.connection),
            received_at: Instant::now(),
        },
        version,
        client_id: caller.client_id.clone(),
        request,
    }
}
