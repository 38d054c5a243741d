//! DescribeCluster (key 60), versions 0 to 2: the brokers and the cluster's id (KIP-700).
//!
//! - Version 1 says whether brokers or controllers are meant (KIP-919). Controllers have no listener of
//!   their own here: asking for them is answered with MISMATCHED_ENDPOINT_TYPE, as by a Kafka broker.
//! - Version 2 can include fenced brokers (KIP-1073).
//! - Any broker takes what clients send to a controller, so the one that is asked names itself.

use fjord_wire::{
    ErrorCode,
    messages::{
        describe_cluster_request::DescribeClusterRequest,
        describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse},
    },
};

use super::{
    Answer, Call, Handler,
    authorized_operations::{NOT_ASKED, bit_field},
    endpoints::{ReachableBroker, known_brokers, reachable_brokers},
};
use crate::{
    net::CloseConnection,
    security::{Operation, Resource},
};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub struct DescribeCluster;

impl Handler for DescribeCluster {
    type Request = DescribeClusterRequest;

    async fn handle(
        call: Call<DescribeClusterRequest>,
    ) -> Result<Answer<DescribeClusterResponse>, CloseConnection> {
        Ok(Answer::Now(describe(&call)))
    }

    fn first_error(response: &DescribeClusterResponse) -> i16 {
        response.error_code
    }
}

fn describe(call: &Call<DescribeClusterRequest>) -> DescribeClusterResponse {
    let image = call.image();
    let cluster_authorized_operations = if !call.request.include_cluster_authorized_operations {
        NOT_ASKED
    } else if call.is_authorized(Operation::Describe, Resource::cluster()) {
        bit_field(Resource::cluster(), |operation, resource| {
            call.is_authorized(operation, resource)
        })
    } else {
        0
    };
    let response = DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: image.cluster_id().unwrap_or_default().to_owned(),
        cluster_authorized_operations,
        error_message: None,
        ..Default::default()
    };
    let refusal = match call.request.endpoint_type {
        BROKERS => {
            let tell = match call.request.include_fenced_brokers {
                true => known_brokers,
                false => reachable_brokers,
            };
            let brokers = tell(&call.broker, &image, &call.context.connection);
            let brokers = brokers.into_iter().map(to_described).collect();
            return DescribeClusterResponse {
                controller_id: call.broker.id(),
                brokers,
                ..response
            };
        }
        CONTROLLERS => (
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type \
             CONTROLLER"
                .to_owned(),
        ),
        other => (
            ErrorCode::UnsupportedEndpointType,
            format!("Unsupported endpoint type {other}"),
        ),
    };
    let (code, message) = refusal;
    DescribeClusterResponse {
        error_code: code.code(),
        error_message: Some(message),
        ..response
    }
}

fn to_described(broker: ReachableBroker) -> DescribeClusterBroker {
    DescribeClusterBroker {
        broker_id: broker.id,
        host: broker.host,
        port: broker.port.into(),
        rack: broker.rack,
        is_fenced: broker.is_fenced,
    }
}
