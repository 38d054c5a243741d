//! The stateful set: brokers with names and volumes of their own, all started at once, none restarted but by the operator.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{
            StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
            StatefulSetUpdateStrategy,
        },
        core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{Blueprint, pod};
use crate::api::cluster::{Retention, Storage};

/// The stateful set. What can never change about it is taken from the one that is there.
#[must_use]
pub fn build(blueprint: &Blueprint<'_>, there: Option<&StatefulSet>) -> StatefulSet {
    let storage = blueprint.cluster.spec.storage.clone().unwrap_or_default();
    let there = there.and_then(|there| there.spec.as_ref());
    let claims = there.and_then(|there| there.volume_claim_templates.clone());
    let claims = claims.map(|claims| claims.into_iter().map(as_applied).collect());
    StatefulSet {
        metadata: blueprint.meta(blueprint.names.cluster.clone()),
        spec: Some(StatefulSetSpec {
            replicas: Some(blueprint.replicas),
            selector: blueprint.selector(),
            service_name: Some(blueprint.names.headless()),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            persistent_volume_claim_retention_policy: Some(retention(&storage)),
            volume_claim_templates: Some(
                claims.unwrap_or_else(|| vec![claim(blueprint, &storage)]),
            ),
            template: pod::build(blueprint),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

fn retention(storage: &Storage) -> StatefulSetPersistentVolumeClaimRetentionPolicy {
    let word = |retention| match retention {
        Retention::Retain => "Retain".to_owned(),
        Retention::Delete => "Delete".to_owned(),
    };
    StatefulSetPersistentVolumeClaimRetentionPolicy {
        when_deleted: Some(word(storage.retention.when_deleted)),
        when_scaled: Some(word(storage.retention.when_scaled)),
    }
}

fn claim(blueprint: &Blueprint<'_>, storage: &Storage) -> PersistentVolumeClaim {
    let request = ("storage".to_owned(), storage.size.clone());
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(pod::VOLUME.to_owned()),
            labels: Some(blueprint.names.labels()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: storage.class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([request])),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

/// A claim's template without what the API server adds.
fn as_applied(claim: PersistentVolumeClaim) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: claim.metadata.name,
            labels: claim.metadata.labels,
            annotations: claim.metadata.annotations,
            ..ObjectMeta::default()
        },
        spec: claim.spec,
        status: None,
    }
}
