//! Kafka's APIs: one file per API, one static table of them.
//!
//! ```text
//!   frame ─► Api::call ─► header ─► table::find ─► Handler::handle (first stage) ─► Answer
//!                                                                     Now / Later │
//!   Frame ◄─────────────────── encode ◄───────────────────────────────────────────┘
//! ```
//!
//! A handler's first stage runs in the order of the requests of a connection, as in Kafka, where a
//! connection has one request at a time: whatever a request changes, the next one sees. What only waits
//! (for the disk, for records, for other members) belongs into the future of [`Answer::Later`].
//!
//! What a client sends can close its connection, with a logged reason, and never more than that.

pub mod authorized_operations;
pub mod call;
pub mod error;
pub mod fetch;
mod table;

mod alter_configs;
mod alter_partition_reassignments;
mod alter_resources;
mod api_versions;
mod config_resources;
mod create_partitions;
mod create_topics;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_log_dirs;
mod describe_quorum;
mod describe_topic_partitions;
mod elect_leaders;
mod endpoints;
mod gather;
mod groups;
mod incremental_alter_configs;
mod init_producer_id;
mod leadership;
mod list_config_resources;
mod list_offsets;
mod list_partition_reassignments;
pub mod local;
mod metadata;
mod offset_for_leader_epoch;
mod produce;
mod raft_voters;
mod unregister_broker;
mod update_features;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use bytes::Bytes;
use fjord_wire::{
    ApiKey, DecodedHeader, Frame, Reader, Request, RequestStart, decode_request_header,
    encode_response, messages::api_versions_response::ApiVersionsResponse,
};

pub use call::{Answer, Call, Handler};

use crate::{
    broker::Broker,
    net::{CloseConnection, Reply, RequestContext, Service},
};

/// Most partitions that one command about named partitions takes: longer requests become several commands, so
/// that what one of them writes is bounded.
const MAX_PARTITIONS_PER_COMMAND: usize = 1_000;

/// Serves all APIs of the table on behalf of one broker.
#[derive(Clone)]
pub struct Api {
    broker: Arc<Broker>,
}

impl Api {
    /// The APIs of this broker.
    pub fn new(broker: Arc<Broker>) -> Api {
        Api { broker }
    }
}

impl Service for Api {
    async fn call(&self, context: &RequestContext, frame: Bytes) -> Result<Reply, CloseConnection> {
        let mut reader = Reader::new(frame);
        let header = decode_request_header(&mut reader)
            .map_err(|error| CloseConnection::because(format!("bad request header: {error}")))?;
        let (api_key, header) = match header {
            DecodedHeader::Supported { api_key, header } => (api_key, header),
            DecodedHeader::UnsupportedVersion {
                api_key: ApiKey::ApiVersions,
                start,
            } => {
                return unsupported_api_versions(start);
            }
            DecodedHeader::UnsupportedVersion { api_key, start } => {
                let version = start.api_version;
                let reason = format!("unsupported version {version} of {api_key}");
                return Err(CloseConnection::because(reason));
            }
            DecodedHeader::UnknownApi { start } => {
                let reason = format!("unknown api key {}", start.api_key);
                return Err(CloseConnection::because(reason));
            }
        };
        let Some(entry) = table::find(api_key) else {
            return Err(CloseConnection::because(format!("{api_key} is not served")));
        };
        (entry.dispatch)(Arc::clone(&self.broker), context.clone(), header, reader).await
    }
}

/// The answer to an ApiVersions request of a version that is not known: version 0 of the response, from
/// which the client learns the versions that are (KIP-511).
fn unsupported_api_versions(start: RequestStart) -> Result<Reply, CloseConnection> {
    let response = api_versions::unsupported_version();
    let encoded =
        encode::<ApiVersionsResponse>(start.correlation_id, ApiKey::ApiVersions, 0, &response);
    encoded.map(Reply::Now)
}

/// Encodes a response. One that its version cannot carry is a bug of ours, which costs the client its
/// connection and nobody anything else.
fn encode<R: fjord_wire::Encode>(
    correlation_id: i32,
    api_key: ApiKey,
    version: i16,
    response: &R,
) -> Result<Frame, CloseConnection> {
    match encode_response(correlation_id, api_key, version, response) {
        Ok(frame) => Ok(frame),
        Err(error) => {
            tracing::error!(api = api_key.name(), version, %error, "response cannot be encoded");
            Err(CloseConnection::because(format!(
                "{api_key} response cannot be encoded: {error}"
            )))
        }
    }
}

/// Decodes a request's body. Bytes after it are accepted, as in Kafka.
fn decode<M: Request>(reader: &mut Reader, version: i16) -> Result<M, CloseConnection> {
    M::decode(reader, version).map_err(|error| {
        CloseConnection::because(format!("malformed {} version {version}: {error}", M::NAME))
    })
}
