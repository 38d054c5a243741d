//! IncrementalAlterConfigs (key 44), versions 0 and 1: changes configs one by one (KIP-339).
//!
//! - Operations: set (0), delete (1), and for lists append (2) and subtract (3).
//! - An unknown config is refused by name with INVALID_CONFIG; deleting one is not an error.
//! - Errors are per resource; a resource is altered as a whole or not at all.

use fjord_wire::messages::{
    incremental_alter_configs_request::{
        AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
    },
    incremental_alter_configs_response::{
        AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
    },
};

use super::{
    Answer, Call, Handler,
    alter_resources::{Altered, RequestedAlteration, alter, check_names},
    call::first_of,
    error::{ApiError, code_and_message},
};
use crate::{
    metadata::commands::{Alteration, ConfigOperation},
    net::CloseConnection,
};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub struct IncrementalAlterConfigs;

impl Handler for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;

    async fn handle(
        mut call: Call<IncrementalAlterConfigsRequest>,
    ) -> Result<Answer<IncrementalAlterConfigsResponse>, CloseConnection> {
        let resources = std::mem::take(&mut call.request.resources);
        let requested = resources.into_iter().map(to_alteration).collect();
        let altered = alter(&call, requested, call.request.validate_only).await;
        let responses = altered.into_iter().map(to_response).collect();
        Ok(Answer::Now(IncrementalAlterConfigsResponse {
            throttle_time_ms: 0,
            responses,
        }))
    }

    fn first_error(response: &IncrementalAlterConfigsResponse) -> i16 {
        first_of(
            response
                .responses
                .iter()
                .map(|resource| resource.error_code),
        )
    }
}

fn to_alteration(resource: AlterConfigsResource) -> RequestedAlteration {
    let alteration = increments(&resource.configs);
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

fn increments(configs: &[AlterableConfig]) -> Result<Alteration, ApiError> {
    let needs_value =
        |config: &&AlterableConfig| config.config_operation != DELETE && config.value.is_none();
    let without_value: Vec<&str> = configs
        .iter()
        .filter(needs_value)
        .map(|config| config.name.as_str())
        .collect();
    check_names(
        configs.iter().map(|config| config.name.as_str()),
        &without_value,
    )?;
    let operations = configs
        .iter()
        .map(|config| Ok((config.name.clone(), operation(config)?)));
    operations
        .collect::<Result<_, _>>()
        .map(Alteration::Incremental)
}

fn operation(config: &AlterableConfig) -> Result<ConfigOperation, ApiError> {
    let value = config.value.clone().unwrap_or_default();
    match config.config_operation {
        SET => Ok(ConfigOperation::Set(value)),
        DELETE => Ok(ConfigOperation::Delete),
        APPEND => Ok(ConfigOperation::Append(value)),
        SUBTRACT => Ok(ConfigOperation::Subtract(value)),
        other => Err(ApiError::invalid_request(format!(
            "Unknown operations type {other}"
        ))),
    }
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
