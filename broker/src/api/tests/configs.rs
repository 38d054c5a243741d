//! Configs: described and altered.

use fjord_wire::{
    ErrorCode,
    messages::{
        alter_configs_request::{self, AlterConfigsRequest},
        create_topics_request::{CreatableTopic, CreateTopicsRequest},
        describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource},
        describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult},
        incremental_alter_configs_request::{
            AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
        },
        list_config_resources_request::ListConfigResourcesRequest,
    },
};

use super::Fixture;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;

async fn with_topic() -> Fixture {
    let fixture = Fixture::new().await;
    let topic = CreatableTopic {
        name: "t".to_owned(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        ..Default::default()
    };
    assert_eq!(fixture.send(7, &request).await.topics[0].error_code, 0);
    fixture
}

async fn describe(
    fixture: &Fixture,
    resource_type: i8,
    name: &str,
    keys: Option<Vec<String>>,
) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource {
        resource_type,
        resource_name: name.to_owned(),
        configuration_keys: keys,
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: true,
    };
    fixture.send(4, &request).await.results.remove(0)
}

fn find<'a>(result: &'a DescribeConfigsResult, name: &str) -> &'a DescribeConfigsResourceResult {
    result
        .configs
        .iter()
        .find(|config| config.name == name)
        .expect("the config is listed")
}

/// Sends operations (config, operation, value) on one resource; returns its error.
async fn alter(
    fixture: &Fixture,
    resource_type: i8,
    name: &str,
    operations: &[(&str, i8, Option<&str>)],
) -> (ErrorCode, String) {
    let config = |(name, config_operation, value): &(&str, i8, Option<&str>)| AlterableConfig {
        name: (*name).to_owned(),
        config_operation: *config_operation,
        value: value.map(str::to_owned),
    };
    let resource = AlterConfigsResource {
        resource_type,
        resource_name: name.to_owned(),
        configs: operations.iter().map(config).collect(),
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![resource],
        validate_only: false,
    };
    let response = fixture.send(1, &request).await.responses.remove(0);
    assert_eq!(
        (response.resource_type, response.resource_name.as_str()),
        (resource_type, name)
    );
    let code = ErrorCode::from_code(response.error_code).unwrap();
    (code, response.error_message.unwrap_or_default())
}

#[tokio::test]
async fn a_topics_configs_are_altered_and_told() {
    let fixture = with_topic().await;
    let default = describe(&fixture, TOPIC, "t", None).await;
    assert_eq!(find(&default, "retention.ms").config_source, 5);
    assert!(
        default
            .configs
            .iter()
            .all(|config| config.documentation.is_some())
    );

    let set = [
        ("retention.ms", 0, Some("5000")),
        ("cleanup.policy", 2, Some("compact")),
    ];
    assert_eq!(alter(&fixture, TOPIC, "t", &set).await.0, ErrorCode::None);
    let altered = describe(&fixture, TOPIC, "t", None).await;
    let retention = find(&altered, "retention.ms");
    assert_eq!(
        (retention.value.as_deref(), retention.config_source),
        (Some("5000"), 1)
    );
    assert!(
        retention.synonyms.len() > 1,
        "what it would fall back to is told"
    );
    assert_eq!(
        find(&altered, "cleanup.policy").value.as_deref(),
        Some("delete,compact")
    );

    let keys = Some(vec!["retention.ms".to_owned()]);
    assert_eq!(describe(&fixture, TOPIC, "t", keys).await.configs.len(), 1);
    let back = [
        ("retention.ms", 1, None),
        ("cleanup.policy", 3, Some("delete")),
    ];
    assert_eq!(alter(&fixture, TOPIC, "t", &back).await.0, ErrorCode::None);
    let result = describe(&fixture, TOPIC, "t", None).await;
    assert_eq!(find(&result, "retention.ms").config_source, 5);
    assert_eq!(
        find(&result, "cleanup.policy").value.as_deref(),
        Some("compact")
    );
}

#[tokio::test]
async fn refusals_name_what_is_wrong_and_change_nothing() {
    let fixture = with_topic().await;
    let check = async |kind, name, operations: &[(&str, i8, Option<&str>)], code, word| {
        let (found, message) = alter(&fixture, kind, name, operations).await;
        assert_eq!(found, code, "{message}");
        assert!(message.contains(word), "{message}");
    };
    let good = ("retention.ms", 0, Some("1"));
    let unknown = ("no.such.config", 0, Some("1"));
    check(
        TOPIC,
        "t",
        &[good, unknown],
        ErrorCode::InvalidConfig,
        "no.such.config",
    )
    .await;
    let bad = ("retention.ms", 0, Some("soon"));
    check(TOPIC, "t", &[bad], ErrorCode::InvalidConfig, "retention.ms").await;
    check(
        TOPIC,
        "t",
        &[good, good],
        ErrorCode::InvalidRequest,
        "duplicate",
    )
    .await;
    let null = ("retention.ms", 0, None);
    check(
        TOPIC,
        "t",
        &[null],
        ErrorCode::InvalidRequest,
        "retention.ms",
    )
    .await;
    check(
        TOPIC,
        "t",
        &[("retention.ms", 9, Some("1"))],
        ErrorCode::InvalidRequest,
        "9",
    )
    .await;
    check(TOPIC, "u", &[good], ErrorCode::UnknownTopicOrPartition, "u").await;
    check(
        TOPIC,
        "",
        &[good],
        ErrorCode::InvalidRequest,
        "Default topic",
    )
    .await;
    check(
        TOPIC,
        "u v",
        &[good],
        ErrorCode::InvalidTopicException,
        "u v",
    )
    .await;
    check(BROKER, "99", &[good], ErrorCode::InvalidRequest, "99").await;
    check(BROKER, "x", &[good], ErrorCode::InvalidRequest, "integer").await;
    check(
        BROKER,
        "1",
        &[("node.id", 0, Some("2"))],
        ErrorCode::InvalidRequest,
        "node.id",
    )
    .await;
    check(77, "x", &[good], ErrorCode::InvalidRequest, "77").await;
    let result = describe(&fixture, TOPIC, "t", None).await;
    assert!(
        result
            .configs
            .iter()
            .all(|config| config.config_source != 1)
    );
}

#[tokio::test]
async fn the_older_api_replaces_everything_and_can_only_validate() {
    let fixture = with_topic().await;
    alter(&fixture, TOPIC, "t", &[("retention.ms", 0, Some("5000"))]).await;
    let resource = |name: &str| alter_configs_request::AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: name.to_owned(),
        configs: vec![alter_configs_request::AlterableConfig {
            name: "max.message.bytes".to_owned(),
            value: Some("2000".to_owned()),
        }],
    };
    for (validate_only, retention_source, size_source) in [(true, 1, 5), (false, 5, 1)] {
        let resources = vec![resource("t"), resource("u"), resource("w"), resource("w")];
        let request = AlterConfigsRequest {
            resources,
            validate_only,
        };
        let response = fixture.send(2, &request).await;
        let codes: Vec<_> = response.responses.iter().map(|r| r.error_code).collect();
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        let invalid = ErrorCode::InvalidRequest.code();
        assert_eq!(codes, [0, unknown, invalid, invalid]);
        let result = describe(&fixture, TOPIC, "t", None).await;
        assert_eq!(
            find(&result, "retention.ms").config_source,
            retention_source
        );
        assert_eq!(
            find(&result, "max.message.bytes").config_source,
            size_source
        );
    }
}

#[tokio::test]
async fn broker_configs_take_effect_at_once_and_survive_in_the_log() {
    let fixture = with_topic().await;
    let set = |value| [("log.retention.ms", 0, Some(value))];
    assert_eq!(
        alter(&fixture, BROKER, "", &set("7000")).await.0,
        ErrorCode::None
    );
    let retention = || fixture.broker.config().topic_defaults.retention_ms;
    assert_eq!(retention(), 7000);
    assert_eq!(
        alter(&fixture, BROKER, "1", &set("8000")).await.0,
        ErrorCode::None
    );
    assert_eq!(retention(), 8000);
    let topic = describe(&fixture, TOPIC, "t", None).await;
    let config = find(&topic, "retention.ms");
    assert_eq!(
        (config.value.as_deref(), config.config_source),
        (Some("8000"), 2)
    );
    let defaults = describe(&fixture, BROKER, "", None).await;
    assert_eq!(defaults.configs.len(), 1);
    assert_eq!(
        find(&defaults, "log.retention.ms").value.as_deref(),
        Some("7000")
    );
    alter(&fixture, BROKER, "1", &[("log.retention.ms", 1, None)]).await;
    assert_eq!(retention(), 7000);
}

#[tokio::test]
async fn every_kind_of_resource_is_described_or_refused() {
    let fixture = with_topic().await;
    let broker = describe(&fixture, BROKER, "1", None).await;
    assert!(find(&broker, "node.id").read_only);
    assert!(!find(&broker, "log.retention.ms").read_only);
    let loggers = describe(&fixture, BROKER_LOGGER, "1", None).await;
    assert_eq!(find(&loggers, "root").value.as_deref(), Some("INFO"));
    let unknown = ErrorCode::UnknownTopicOrPartition;
    let invalid = ErrorCode::InvalidRequest;
    for (kind, name, code) in [
        (TOPIC, "u", unknown),
        (TOPIC, "u v", ErrorCode::InvalidTopicException),
        (BROKER, "2", invalid),
        (BROKER, "x", invalid),
        (BROKER_LOGGER, "", invalid),
        (16, "", invalid),
        (16, "subscription", ErrorCode::None),
        (32, "group", ErrorCode::None),
        (3, "x", invalid),
    ] {
        let result = describe(&fixture, kind, name, None).await;
        assert_eq!(result.error_code, code.code(), "{kind} {name}");
        assert_eq!(result.configs, []);
    }
}

#[tokio::test]
async fn resources_with_configs_are_listed() {
    let fixture = with_topic().await;
    let list = async |version, resource_types| {
        let request = ListConfigResourcesRequest { resource_types };
        let response = fixture.send(version, &request).await;
        let resources = response.config_resources.into_iter();
        let resources: Vec<_> = resources
            .map(|r| (r.resource_type, r.resource_name))
            .collect();
        (response.error_code, resources)
    };
    let named = |kind, name: &str| (kind, name.to_owned());
    let all = vec![
        named(TOPIC, "t"),
        named(BROKER, "1"),
        named(BROKER_LOGGER, "1"),
    ];
    assert_eq!(list(1, vec![]).await, (0, all));
    assert_eq!(
        list(1, vec![TOPIC, TOPIC]).await,
        (0, vec![named(TOPIC, "t")])
    );
    assert_eq!(
        list(1, vec![3]).await,
        (ErrorCode::UnsupportedVersion.code(), vec![])
    );
    assert_eq!(list(0, vec![]).await, (0, vec![]));
}

#[tokio::test]
async fn every_version_carries_success_and_refusal() {
    let fixture = with_topic().await;
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    for version in 1..=4 {
        let resource = |name: &str| DescribeConfigsResource {
            resource_type: TOPIC,
            resource_name: name.to_owned(),
            configuration_keys: None,
        };
        let resources = vec![resource("t"), resource("u")];
        let request = DescribeConfigsRequest {
            resources,
            include_synonyms: true,
            ..Default::default()
        };
        let results = fixture.send(version, &request).await.results;
        assert!(results[0].configs.len() > 10, "version {version}");
        assert_eq!(results[1].error_code, unknown, "version {version}");
    }
    for version in 0..=2 {
        let resource = |name: &str| alter_configs_request::AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: name.to_owned(),
            configs: vec![],
        };
        let resources = vec![resource("t"), resource("u")];
        let request = AlterConfigsRequest {
            resources,
            validate_only: false,
        };
        let responses = fixture.send(version, &request).await.responses;
        let codes: Vec<_> = responses
            .iter()
            .map(|resource| resource.error_code)
            .collect();
        assert_eq!(codes, [0, unknown], "version {version}");
    }
    for version in 0..=1 {
        let resource = |name: &str| AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: name.to_owned(),
            configs: vec![],
        };
        let resources = vec![resource("t"), resource("u")];
        let request = IncrementalAlterConfigsRequest {
            resources,
            validate_only: false,
        };
        let responses = fixture.send(version, &request).await.responses;
        let codes: Vec<_> = responses
            .iter()
            .map(|resource| resource.error_code)
            .collect();
        assert_eq!(codes, [0, unknown], "version {version}");
    }
}
