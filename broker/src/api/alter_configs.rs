//! AlterConfigs (key 33), versions 0 to 2: replaces all configs of a resource.
//!
//! - What is not in the request gets its default again.
//! - Errors are per resource; a resource is altered as a whole or not at all.
//! - Clients prefer IncrementalAlterConfigs since Kafka 2.3 (KIP-339).

use fjord_wire::messages::{
    alter_configs_request::{AlterConfigsRequest, AlterConfigsResource},
    alter_configs_response::{AlterConfigsResourceResponse, AlterConfigsResponse},
};

use super::{
    Answer, Call, Handler,
    alter_resources::{Altered, RequestedAlteration, alter, check_names},
    call::first_of,
    error::{ApiError, code_and_message},
};
use crate::{metadata::commands::Alteration, net::CloseConnection};

pub struct AlterConfigs;

impl Handler for AlterConfigs {
    type Request = AlterConfigsRequest;

    async fn handle(
        mut call: Call<AlterConfigsRequest>,
    ) -> Result<Answer<AlterConfigsResponse>, CloseConnection> {
        let resources = std::mem::take(&mut call.request.resources);
        let requested = resources.into_iter().map(to_alteration).collect();
        let altered = alter(&call, requested, call.request.validate_only).await;
        let responses = altered.into_iter().map(to_response).collect();
        Ok(Answer::Now(AlterConfigsResponse {
            throttle_time_ms: 0,
            responses,
        }))
    }

    fn first_error(response: &AlterConfigsResponse) -> i16 {
        first_of(
            response
                .responses
                .iter()
                .map(|resource| resource.error_code),
        )
    }
}

fn to_alteration(resource: AlterConfigsResource) -> RequestedAlteration {
    let alteration = replacement(&resource);
    let AlterConfigsResource {
        resource_type,
        resource_name,
        ..
    } = resource;
    RequestedAlteration {
        resource_type,
        resource_name,
        alteration,
    }
}

fn replacement(resource: &AlterConfigsResource) -> Result<Alteration, ApiError> {
    let configs = &resource.configs;
    let without_value: Vec<&str> = configs
        .iter()
        .filter(|config| config.value.is_none())
        .map(|config| config.name.as_str())
        .collect();
    check_names(
        configs.iter().map(|config| config.name.as_str()),
        &without_value,
    )?;
    let values = configs
        .iter()
        .filter_map(|c| Some((c.name.clone(), c.value.clone()?)));
    Ok(Alteration::Replace(values.collect()))
}

fn to_response(altered: Altered) -> AlterConfigsResourceResponse {
    let (error_code, error_message) = code_and_message(altered.outcome);
    AlterConfigsResourceResponse {
        error_code,
        error_message,
        resource_type: altered.resource_type,
        resource_name: altered.resource_name,
    }
}
