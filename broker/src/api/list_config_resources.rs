//! ListConfigResources (key 74), versions 0 and 1: what has configs (KIP-1142).
//!
//! - Version 0 is the older ListClientMetricsResources and lists client metrics only; there are none.
//! - Version 1 takes the types to list; none means all.

use fjord_wire::{
    ErrorCode,
    messages::{
        list_config_resources_request::ListConfigResourcesRequest,
        list_config_resources_response::{ConfigResource, ListConfigResourcesResponse},
    },
};

use super::{Answer, Call, Handler, config_resources::ResourceType};
use crate::{
    metadata::Image,
    net::CloseConnection,
    security::{Operation, Resource},
};

pub struct ListConfigResources;

impl Handler for ListConfigResources {
    type Request = ListConfigResourcesRequest;

    async fn handle(
        call: Call<ListConfigResourcesRequest>,
    ) -> Result<Answer<ListConfigResourcesResponse>, CloseConnection> {
        let refused = |code: ErrorCode| {
            let error_code = code.code();
            Answer::Now(ListConfigResourcesResponse {
                error_code,
                ..Default::default()
            })
        };
        if !call.is_authorized(Operation::DescribeConfigs, Resource::cluster()) {
            return Ok(refused(ErrorCode::ClusterAuthorizationFailed));
        }
        let Some(kinds) = wanted_types(call.version, &call.request.resource_types) else {
            return Ok(refused(ErrorCode::UnsupportedVersion));
        };
        let image = call.image();
        let config_resources = kinds
            .into_iter()
            .flat_map(|kind| list(&image, kind))
            .collect();
        Ok(Answer::Now(ListConfigResourcesResponse {
            config_resources,
            ..Default::default()
        }))
    }

    fn first_error(response: &ListConfigResourcesResponse) -> i16 {
        response.error_code
    }
}

/// The types to list, each once; `None` if one of them is unknown.
fn wanted_types(version: i16, ids: &[i8]) -> Option<Vec<ResourceType>> {
    if version == 0 {
        return Some(vec![ResourceType::ClientMetrics]);
    }
    if ids.is_empty() {
        return Some(ResourceType::ALL.to_vec());
    }
    let kinds: Option<Vec<_>> = ids.iter().map(|id| ResourceType::from_wire(*id)).collect();
    let mut kinds = kinds?;
    kinds.sort_unstable();
    kinds.dedup();
    Some(kinds)
}

fn list(image: &Image, kind: ResourceType) -> Vec<ConfigResource> {
    let resource = |resource_name: String| {
        let resource_type = kind.wire_id();
        ConfigResource {
            resource_name,
            resource_type,
        }
    };
    match kind {
        ResourceType::Topic => image
            .topics()
            .map(|topic| resource(topic.name.to_string()))
            .collect(),
        ResourceType::Broker | ResourceType::BrokerLogger => image
            .brokers()
            .map(|broker| resource(broker.broker_id.to_string()))
            .collect(),
        ResourceType::ClientMetrics | ResourceType::Group => Vec::new(),
    }
}
