//! The brokers' pods: one container each, under the restricted pod security standard.

use k8s_openapi::{
    api::core::v1::{
        Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar,
        EnvVarSource, HTTPGetAction, ObjectFieldSelector, PodAffinityTerm, PodAntiAffinity,
        PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecurityContext,
        TopologySpreadConstraint, Volume, VolumeMount, WeightedPodAffinityTerm,
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::{Blueprint, config_map};
use crate::cluster::{
    names::{
        EXTERNAL_PORT, GRPC_PORT, HTTP_PORT, INDEX_LABEL, KAFKA_PORT, PEER_PORT,
        TEMPLATE_ANNOTATION,
    },
    template::Template,
};

/// The user of the image.
const USER: i64 = 65532;
/// How long a broker may take to hand over and stop, unless the resource says otherwise.
const GRACE_SECONDS: i64 = 60;
/// How long a broker may take until it answers at all, once its container runs: it reads its log first.
const START_SECONDS: i32 = 600;
/// The container's name.
pub const CONTAINER: &str = "broker";
/// The name of the volume with the records, and of its claim.
pub const VOLUME: &str = "data";

/// The template of the pods.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>) -> PodTemplateSpec {
    let options = &blueprint.cluster.spec.pod;
    let mut labels = options.labels.clone();
    labels.extend(blueprint.names.labels());
    let mut annotations = options.annotations.clone();
    let template = Template::new(blueprint).written();
    annotations.insert(TEMPLATE_ANNOTATION.to_owned(), template);
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(spec(blueprint)),
    }
}

fn spec(blueprint: &Blueprint<'_>) -> PodSpec {
    let cluster = &blueprint.cluster.spec;
    let options = &cluster.pod;
    let grace = options.termination_grace_period_seconds;
    let affinity = options.affinity.clone();
    let config = Volume {
        name: "config".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: blueprint.names.cluster.clone(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    };
    PodSpec {
        service_account_name: Some(blueprint.names.cluster.clone()),
        automount_service_account_token: Some(false),
        // Variables of services would look like the broker's own, and keep it from starting.
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(runtime_default()),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(blueprint)],
        volumes: Some(vec![config]),
        termination_grace_period_seconds: Some(grace.unwrap_or(GRACE_SECONDS)),
        affinity: Some(affinity.unwrap_or_else(|| apart(blueprint))),
        topology_spread_constraints: Some(spread(blueprint)),
        tolerations: Some(options.tolerations.clone()),
        node_selector: Some(options.node_selector.clone()),
        priority_class_name: options.priority_class_name.clone(),
        image_pull_secrets: Some(cluster.image_pull_secrets.clone()),
        ..PodSpec::default()
    }
}

fn container(blueprint: &Blueprint<'_>) -> Container {
    let cluster = &blueprint.cluster.spec;
    let mut ports = vec![
        ("kafka", KAFKA_PORT),
        ("grpc", GRPC_PORT),
        ("http", HTTP_PORT),
        ("peer", PEER_PORT),
    ];
    if cluster.listeners.external.is_some() {
        ports.push(("external", EXTERNAL_PORT));
    }
    let port = |(name, port): (&str, i32)| ContainerPort {
        name: Some(name.to_owned()),
        container_port: port,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(blueprint.image.to_owned()),
        image_pull_policy: cluster.image_pull_policy.clone(),
        command: Some(vec!["/usr/bin/fjord-broker".to_owned()]),
        env: Some(environment(blueprint)),
        ports: Some(ports.into_iter().map(port).collect()),
        resources: cluster.resources.clone(),
        volume_mounts: Some(vec![
            mount(VOLUME, config_map::DATA, false),
            mount("config", config_map::DIRECTORY, true),
        ]),
        startup_probe: Some(probe("/healthz", 1, START_SECONDS)),
        liveness_probe: Some(probe("/healthz", 10, 3)),
        readiness_probe: Some(probe("/readyz", 1, 3)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            seccomp_profile: Some(runtime_default()),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

/// A broker's number is that of its pod, and says which file it reads.
fn environment(blueprint: &Blueprint<'_>) -> Vec<EnvVar> {
    let value = |name: &str, value: String| EnvVar {
        name: name.to_owned(),
        value: Some(value),
        value_from: None,
    };
    let label = |name: &str, label: &str| EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".to_owned()),
                field_path: format!("metadata.labels['{label}']"),
            }),
            ..EnvVarSource::default()
        }),
    };
    let directory = config_map::DIRECTORY;
    let mut environment = vec![
        label("FJORD_NODE_ID", INDEX_LABEL),
        value(
            "FJORD_CONFIG",
            format!("{directory}/broker-$(FJORD_NODE_ID).yaml"),
        ),
    ];
    if !blueprint.config.contains_key("fjord.log.format") {
        environment.push(value("FJORD_LOG_FORMAT", "json".to_owned()));
    }
    if let Some(rack) = &blueprint.cluster.spec.rack {
        environment.push(label("FJORD_BROKER_RACK", &rack.key));
    }
    environment
}

fn probe(path: &str, period_seconds: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("http".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn runtime_default() -> SeccompProfile {
    SeccompProfile {
        type_: "RuntimeDefault".to_owned(),
        localhost_profile: None,
    }
}

/// On different nodes, where there are enough.
fn apart(blueprint: &Blueprint<'_>) -> Affinity {
    let term = PodAffinityTerm {
        label_selector: Some(blueprint.selector()),
        topology_key: "kubernetes.io/hostname".to_owned(),
        ..PodAffinityTerm::default()
    };
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![
                WeightedPodAffinityTerm {
                    weight: 100,
                    pod_affinity_term: term,
                },
            ]),
            required_during_scheduling_ignored_during_execution: None,
        }),
        ..Affinity::default()
    }
}

/// The constraints of the resource; unless there are some, over the failure domains.
fn spread(blueprint: &Blueprint<'_>) -> Vec<TopologySpreadConstraint> {
    let own = &blueprint.cluster.spec.pod.topology_spread_constraints;
    let rack = blueprint.cluster.spec.rack.iter();
    let by_rack = rack.map(|rack| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: rack.key.clone(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    });
    let constraints = match own.is_empty() {
        true => by_rack.collect(),
        false => own.clone(),
    };
    let complete = |constraint: TopologySpreadConstraint| TopologySpreadConstraint {
        label_selector: constraint
            .label_selector
            .or_else(|| Some(blueprint.selector())),
        ..constraint
    };
    constraints.into_iter().map(complete).collect()
}
