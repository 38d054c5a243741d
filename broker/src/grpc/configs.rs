//! `ConfigService`: the configs of brokers and topics.

use std::collections::HashMap;

use fjord_proto::v1::{
    AlterConfigsRequest, AlterConfigsResponse, CheckConfigsRequest, CheckConfigsResponse, Config,
    ConfigProblem, ConfigResource, ConfigSource, DescribeConfigsRequest, DescribeConfigsResponse,
    config_resource::Resource, config_service_server::ConfigService,
};
use fjord_wire::messages::{
    describe_configs_request::{self, DescribeConfigsResource},
    describe_configs_response::DescribeConfigsResourceResult,
    incremental_alter_configs_request::{
        AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
    },
};
use tonic::{Request, Response, Status};

use crate::config::ConfigError;

use super::{
    backend::{Backend, Client},
    error,
};

const DESCRIBE_CONFIGS: i16 = 4;
const INCREMENTAL_ALTER_CONFIGS: i16 = 1;
/// Kafka's kinds of resources, operations and sources.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;

/// See the module's documentation.
pub struct ConfigsOfAll {
    backend: Backend,
}

impl ConfigsOfAll {
    pub fn new(backend: Backend) -> Self {
        Self { backend }
    }
}

/// Whose configs.
pub enum Of {
    /// A topic's.
    Topic(String),
    /// A broker's.
    Broker(i32),
    /// Those of all brokers that have no others.
    AllBrokers,
}

impl Of {
    fn asked(resource: Option<ConfigResource>) -> Result<Of, Status> {
        match resource.and_then(|resource| resource.resource) {
            Some(Resource::Topic(name)) => Ok(Of::Topic(name)),
            Some(Resource::Broker(id)) => Ok(Of::Broker(id)),
            Some(Resource::AllBrokers(true)) => Ok(Of::AllBrokers),
            _ => Err(error::invalid(
                "say whose configs: a topic's, a broker's, or those of all brokers",
            )),
        }
    }

    /// Kafka's kind and name.
    fn kafka(&self) -> (i8, String) {
        match self {
            Of::Topic(name) => (TOPIC, name.clone()),
            Of::Broker(id) => (BROKER, id.to_string()),
            Of::AllBrokers => (BROKER, String::new()),
        }
    }
}

/// What is to be changed.
pub struct Changes {
    pub set: HashMap<String, String>,
    pub reset: Vec<String>,
    pub validate_only: bool,
}

#[tonic::async_trait]
impl ConfigService for ConfigsOfAll {
    async fn describe_configs(
        &self,
        request: Request<DescribeConfigsRequest>,
    ) -> Result<Response<DescribeConfigsResponse>, Status> {
        let client = self.backend.client(&request);
        let request = request.into_inner();
        let of = Of::asked(request.resource)?;
        let configs = describe(&client, &of, &request.names).await?;
        Ok(Response::new(DescribeConfigsResponse { configs }))
    }

    async fn alter_configs(
        &self,
        request: Request<AlterConfigsRequest>,
    ) -> Result<Response<AlterConfigsResponse>, Status> {
        let client = self.backend.client(&request);
        let request = request.into_inner();
        let changes = Changes {
            set: request.set,
            reset: request.reset,
            validate_only: request.validate_only,
        };
        alter(&client, &Of::asked(request.resource)?, changes).await?;
        Ok(Response::new(AlterConfigsResponse {}))
    }

    async fn check_configs(
        &self,
        request: Request<CheckConfigsRequest>,
    ) -> Result<Response<CheckConfigsResponse>, Status> {
        let problems = self
            .backend
            .broker()
            .config()
            .check_file(request.into_inner().configs);
        let problem = |error: ConfigError| ConfigProblem {
            name: error.name.clone(),
            reason: error.to_string(),
        };
        let problems = problems.into_iter().map(problem).collect();
        Ok(Response::new(CheckConfigsResponse { problems }))
    }
}

/// The configs of a resource; all if none is named.
///
/// # Errors
///
/// If there is no such resource.
pub async fn describe(client: &Client, of: &Of, names: &[String]) -> Result<Vec<Config>, Status> {
    let (resource_type, resource_name) = of.kafka();
    let request = describe_configs_request::DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type,
            resource_name,
            configuration_keys: (!names.is_empty()).then(|| names.to_vec()),
        }],
        include_synonyms: false,
        include_documentation: true,
    };
    let response = client.call(DESCRIBE_CONFIGS, request).await?;
    let Some(result) = response.results.into_iter().next() else {
        return Err(Status::internal("DescribeConfigs left the resource out"));
    };
    error::check(result.error_code, result.error_message)?;
    Ok(result.configs.into_iter().map(config).collect())
}

fn config(config: DescribeConfigsResourceResult) -> Config {
    let source = match config.config_source {
        1 => ConfigSource::Topic,
        2 => ConfigSource::Broker,
        3 => ConfigSource::AllBrokers,
        4 => ConfigSource::Static,
        5 => ConfigSource::Default,
        _ => ConfigSource::Unspecified,
    };
    Config {
        name: config.name,
        value: config.value,
        source: source.into(),
        read_only: config.read_only,
        sensitive: config.is_sensitive,
        documentation: config.documentation.unwrap_or_default(),
    }
}

/// Changes configs; nothing to change is a success.
///
/// # Errors
///
/// If a change is refused; nothing has changed then.
pub async fn alter(client: &Client, of: &Of, changes: Changes) -> Result<(), Status> {
    if changes.set.is_empty() && changes.reset.is_empty() {
        return Ok(());
    }
    let (resource_type, resource_name) = of.kafka();
    let set = changes
        .set
        .into_iter()
        .map(|(name, value)| AlterableConfig {
            name,
            config_operation: SET,
            value: Some(value),
        });
    let reset = changes.reset.into_iter().map(|name| AlterableConfig {
        name,
        config_operation: DELETE,
        value: None,
    });
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type,
            resource_name,
            configs: set.chain(reset).collect(),
        }],
        validate_only: changes.validate_only,
    };
    let response = client.call(INCREMENTAL_ALTER_CONFIGS, request).await?;
    for result in response.responses {
        error::check(result.error_code, result.error_message)?;
    }
    Ok(())
}
