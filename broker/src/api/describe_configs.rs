//! DescribeConfigs (key 32), versions 1 to 4.
//!
//! - Every config is listed, with its value, where the value comes from, and on request the values it
//!   would fall back to (synonyms); version 3 adds types and, on request, documentation (KIP-569).
//! - Resources: topics; this broker; the broker without a name, which is what is set for all brokers;
//!   broker loggers, of which there is one, `root`; client metrics and groups, which have no configs
//!   here.
//! - Errors are per resource.

use fjord_wire::{
    ErrorCode,
    messages::{
        describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource},
        describe_configs_response::{
            DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
            DescribeConfigsSynonym,
        },
    },
};

use super::{
    Answer, Call, Handler,
    call::first_of,
    config_resources::{ResourceType, authorize},
    error::ApiError,
};
use crate::{
    broker::Broker,
    config::{
        ConfigType,
        describe::{
            DescribedConfig, DescribedSynonym, describe_broker, describe_cluster_defaults,
            describe_topic,
        },
    },
    metadata::topic_name,
    net::CloseConnection,
    security::Operation,
};

/// The source `DYNAMIC_BROKER_LOGGER_CONFIG`.
const LOGGER_SOURCE: i8 = 6;

pub struct DescribeConfigs;

impl Handler for DescribeConfigs {
    type Request = DescribeConfigsRequest;

    async fn handle(
        call: Call<DescribeConfigsRequest>,
    ) -> Result<Answer<DescribeConfigsResponse>, CloseConnection> {
        let describe = |resource: &DescribeConfigsResource| {
            let (error_code, error_message, configs) = match describe_resource(&call, resource) {
                Ok(configs) => (ErrorCode::None, None, configs),
                Err(error) => (error.code, error.message, Vec::new()),
            };
            DescribeConfigsResult {
                error_code: error_code.code(),
                error_message,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                configs,
            }
        };
        let results = call.request.resources.iter().map(describe).collect();
        Ok(Answer::Now(DescribeConfigsResponse {
            throttle_time_ms: 0,
            results,
        }))
    }

    fn first_error(response: &DescribeConfigsResponse) -> i16 {
        first_of(response.results.iter().map(|result| result.error_code))
    }
}

fn describe_resource(
    call: &Call<DescribeConfigsRequest>,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, ApiError> {
    let name = resource.resource_name.as_str();
    let kind = ResourceType::from_wire(resource.resource_type).ok_or_else(|| {
        let id = resource.resource_type;
        ApiError::invalid_request(format!("Unsupported resource type: {id}"))
    })?;
    authorize(call, Operation::DescribeConfigs, kind, name)?;
    let configs = match kind {
        ResourceType::Topic => topic_configs(call, name)?,
        ResourceType::Broker => broker_configs(&call.broker, name)?,
        ResourceType::BrokerLogger => return loggers(&call.broker, name),
        ResourceType::ClientMetrics if name.is_empty() => {
            let message = "Client metrics subscription name must not be empty";
            return Err(ApiError::invalid_request(message));
        }
        ResourceType::Group if name.is_empty() => {
            return Err(ApiError::invalid_request("Group name must not be empty"));
        }
        ResourceType::ClientMetrics | ResourceType::Group => Vec::new(),
    };
    let is_wanted = |config: &DescribedConfig| match &resource.configuration_keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| key == config.name),
        _ => true,
    };
    let configs = configs.into_iter().filter(is_wanted);
    Ok(configs
        .map(|config| to_result(config, &call.request))
        .collect())
}

fn topic_configs(
    call: &Call<DescribeConfigsRequest>,
    name: &str,
) -> Result<Vec<DescribedConfig>, ApiError> {
    topic_name::validate(name)?;
    let image = call.image();
    let unknown = ErrorCode::UnknownTopicOrPartition;
    let topic = image
        .topic(name)
        .ok_or_else(|| ApiError::new(unknown, unknown.message()))?;
    Ok(describe_topic(&topic.configs, &call.broker.config()))
}

fn broker_configs(broker: &Broker, name: &str) -> Result<Vec<DescribedConfig>, ApiError> {
    let config = broker.config();
    if name.is_empty() {
        return Ok(describe_cluster_defaults(&config));
    }
    let own = broker.id();
    match parse_broker_id(name)? {
        id if id == own => Ok(describe_broker(&config)),
        id => Err(ApiError::invalid_request(format!(
            "Unexpected broker id, expected {own} or empty string, but received {id}"
        ))),
    }
}

/// The one logger that there is: all log lines of the broker, at the level of its config.
fn loggers(broker: &Broker, name: &str) -> Result<Vec<DescribeConfigsResourceResult>, ApiError> {
    if name.is_empty() {
        return Err(ApiError::invalid_request("Broker id must not be empty"));
    }
    let own = broker.id();
    let id = parse_broker_id(name)?;
    if id != own {
        let message = format!("Unexpected broker id, expected {own} but received {id}");
        return Err(ApiError::invalid_request(message));
    }
    let root = DescribeConfigsResourceResult {
        name: "root".to_owned(),
        value: Some(broker.config().observability.log_level.to_uppercase()),
        read_only: true,
        config_source: LOGGER_SOURCE,
        config_type: ConfigType::String.wire_id(),
        documentation: None,
        ..Default::default()
    };
    Ok(vec![root])
}

fn parse_broker_id(name: &str) -> Result<i32, ApiError> {
    name.parse().map_err(|_| {
        ApiError::invalid_request(format!("Broker id must be an integer, but it is: {name}"))
    })
}

fn to_result(
    config: DescribedConfig,
    request: &DescribeConfigsRequest,
) -> DescribeConfigsResourceResult {
    let synonyms = match request.include_synonyms {
        true => config.synonyms.into_iter().map(to_synonym).collect(),
        false => Vec::new(),
    };
    DescribeConfigsResourceResult {
        name: config.name.to_owned(),
        value: config.value,
        read_only: config.read_only,
        config_source: config.source.wire_id(),
        is_sensitive: config.sensitive,
        synonyms,
        config_type: config.config_type.wire_id(),
        documentation: request
            .include_documentation
            .then(|| config.documentation.to_owned()),
    }
}

fn to_synonym(synonym: DescribedSynonym) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym {
        name: synonym.name.to_owned(),
        value: synonym.value,
        source: synonym.source.wire_id(),
    }
}
