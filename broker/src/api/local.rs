//! The APIs as the broker itself calls them: gRPC services are made of them, so that whatever one protocol
//! does, the other one does too, with the same checks and the same errors.
//!
//! ```text
//!   gRPC request ─► Kafka request ─► begin ─► Handler::handle (first stage) ─► Begun::response
//!   gRPC response ◄──────────────────── Kafka response ◄────────────────────────────┘
//! ```

use std::{future::Future, pin::Pin, sync::Arc, time::Instant};

use bytes::Bytes;
use fjord_wire::{
    ApiKey, Frame, Reader, Request,
    messages::{init_producer_id_request::InitProducerIdRequest, request_header::RequestHeader},
};

use super::{
    Answer, Call, Handler, alter_configs, alter_partition_reassignments, call::LaterAnswer,
    create_partitions, create_topics, delete_records, delete_topics, describe_cluster,
    describe_configs, describe_log_dirs, describe_quorum, elect_leaders, error::ApiError, fetch,
    groups, incremental_alter_configs, init_producer_id, list_offsets,
    list_partition_reassignments, metadata, produce, raft_voters, table, unregister_broker,
};
use crate::{
    broker::Broker,
    net::{CloseConnection, ConnectionContext, Reply, RequestContext},
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

/// The response to an encoded request, without a header; nothing if it gets none.
pub type EncodedResponse =
    Pin<Box<dyn Future<Output = Result<Option<Bytes>, CloseConnection>> + Send>>;

/// Does the first stage of a request that comes as bytes, without a header. It goes the way of a Kafka client's.
///
/// # Errors
///
/// [`CloseConnection`] if there is no such API or version, or the request makes no sense to it.
pub async fn begin_encoded(
    broker: &Arc<Broker>,
    caller: &Caller,
    (api_key, version): (i16, i16),
    request: Bytes,
) -> Result<EncodedResponse, CloseConnection> {
    let known = ApiKey::from_wire(api_key).and_then(table::find);
    let known = known.filter(|entry| entry.api_key.valid_versions().contains(&version));
    let Some(entry) = known else {
        return Err(CloseConnection::because(format!(
            "version {version} of api key {api_key} is not served"
        )));
    };
    let header = RequestHeader {
        request_api_key: api_key,
        request_api_version: version,
        correlation_id: 0,
        client_id: Some(caller.client_id.clone()),
    };
    let context = RequestContext {
        connection: Arc::clone(&caller.connection),
        received_at: Instant::now(),
    };
    let reader = Reader::new(request);
    let reply = (entry.dispatch)(Arc::clone(broker), context, header, reader).await?;
    // Length and correlation id, and no tagged fields where there may be some.
    let header_bytes = match entry.api_key.response_header_version(version) {
        0 => 8,
        _ => 9,
    };
    let body = move |frame: Frame| frame.into_bytes().slice(header_bytes..);
    Ok(match reply {
        Reply::None => Box::pin(std::future::ready(Ok(None))),
        Reply::Now(frame) => Box::pin(std::future::ready(Ok(Some(body(frame))))),
        Reply::Later(later) | Reply::InTurn(later) => {
            Box::pin(async move { Ok(later.await?.map(body)) })
        }
    })
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
