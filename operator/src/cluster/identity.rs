//! The cluster's id: made once, and in the status before anything is made from it.
//!
//! Volumes of an earlier cluster of the same name hold its records, and brokers refuse a volume of another cluster. Its
//! id is in an annotation of the claims, and is taken up again, unless they are about to be deleted.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{apps::v1::StatefulSet, core::v1::PersistentVolumeClaim},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ListParams, PostParams},
};
use tracing::info;
use uuid::Uuid;

use super::{
    names::{CLUSTER_ID_ANNOTATION, CLUSTER_LABEL, FORMED_ANNOTATION},
    resources::pod::VOLUME,
};
use crate::{
    FIELD_MANAGER,
    api::{Cluster, ClusterStatus},
};

/// Why there is no id.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Volumes are there of which it cannot be told which cluster's they are.
    #[error("{0}")]
    Claims(String),
    /// The API server refused something, or was not reached.
    #[error(transparent)]
    Kubernetes(#[from] kube::Error),
}

/// What the volumes that are there tell of an earlier cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Earlier {
    /// Its id.
    pub cluster_id: Option<String>,
    /// Whether it had been founded.
    pub formed: bool,
}

/// Reads the claims of an earlier cluster.
///
/// # Errors
///
/// They contradict each other; in words.
pub fn earlier(claims: &[PersistentVolumeClaim]) -> Result<Earlier, String> {
    let annotation = |claim: &PersistentVolumeClaim, name| claim.annotations().get(name).cloned();
    let id = |claim: &PersistentVolumeClaim| annotation(claim, CLUSTER_ID_ANNOTATION);
    let ids: BTreeSet<String> = claims.iter().filter_map(id).collect();
    if ids.len() > 1 {
        let ids = Vec::from_iter(ids).join(", ");
        return Err(format!(
            "the volumes of earlier clusters of this name are of several: {ids}; delete the claims of those that are not wanted"
        ));
    }
    let of_whom = |claim: &&PersistentVolumeClaim| id(claim).is_none();
    if let Some(claim) = claims.iter().find(of_whom)
        && ids.is_empty()
    {
        let name = claim.name_any();
        return Err(format!(
            "the claim {name} is there and does not say of which cluster it is: annotate it with {CLUSTER_ID_ANNOTATION}, or delete it"
        ));
    }
    let formed = |claim| annotation(claim, FORMED_ANNOTATION).is_some();
    Ok(Earlier {
        cluster_id: ids.into_iter().next(),
        formed: claims.iter().any(formed),
    })
}

/// Whether a stateful set is not deleted with an earlier cluster.
fn stays(set: &StatefulSet, cluster: &Cluster) -> bool {
    let mut owners = set.owner_references().iter();
    let of_another = |owner: &OwnerReference| {
        owner.kind == Cluster::kind(&()) && Some(&owner.uid) != cluster.metadata.uid.as_ref()
    };
    set.metadata.deletion_timestamp.is_none() && !owners.any(of_another)
}

/// Whether a claim is being deleted, or will be with its stateful set: only those that `kept_by` owns stay.
fn is_going(claim: &PersistentVolumeClaim, kept_by: Option<&str>) -> bool {
    let mut owners = claim.owner_references().iter();
    let goes =
        |owner: &OwnerReference| owner.kind == "StatefulSet" && Some(owner.uid.as_str()) != kept_by;
    claim.metadata.deletion_timestamp.is_some() || owners.any(goes)
}

/// The resource as the API server has it, with the cluster's id in its status. What the watches say is not enough for
/// that: they may be from before the id was made.
///
/// # Errors
///
/// See [`IdentityError`]. A conflict means that somebody was quicker, and that the next try finds an id.
pub async fn ensure(
    client: &Client,
    cluster: &Cluster,
    image: impl Fn(&Cluster) -> String,
) -> Result<Cluster, IdentityError> {
    let namespace = cluster.namespace().unwrap_or_default();
    let api: Api<Cluster> = Api::namespaced(client.clone(), &namespace);
    let mut fresh = api.get_status(&cluster.name_any()).await?;
    let known = fresh.status.as_ref();
    if known.is_some_and(|status| status.cluster_id.is_some()) {
        return Ok(fresh);
    }
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    let ours = format!("{CLUSTER_LABEL}={}", cluster.name_any());
    let claims = claims.list(&ListParams::default().labels(&ours)).await?;
    let name = format!("{VOLUME}-{}-", cluster.name_any());
    let of_brokers = |claim: &PersistentVolumeClaim| claim.name_any().starts_with(&name);
    let claims: Vec<_> = claims.items.into_iter().filter(of_brokers).collect();
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), &namespace);
    let set = sets.get_opt(&cluster.name_any()).await?;
    let kept_by = set
        .filter(|set| stays(set, &fresh))
        .and_then(|set| set.uid());
    if let Some(claim) = claims
        .iter()
        .find(|claim| is_going(claim, kept_by.as_deref()))
    {
        let name = claim.name_any();
        let why = format!("the claim {name} of an earlier cluster of this name is being deleted");
        return Err(IdentityError::Claims(why));
    }
    let earlier = earlier(&claims).map_err(IdentityError::Claims)?;
    let adopted = earlier.cluster_id.is_some();
    let new = || Uuid::new_v4().simple().to_string();
    let cluster_id = earlier.cluster_id.unwrap_or_else(new);
    let status = ClusterStatus {
        cluster_id: Some(cluster_id.clone()),
        formed: earlier.formed,
        image: Some(image(&fresh)),
        config: Some(fresh.spec.config.clone()),
        ..fresh.status.clone().unwrap_or_default()
    };
    fresh.status = Some(status);
    let name = fresh.name_any();
    info!(
        namespace,
        name, cluster_id, adopted, "the cluster has its id"
    );
    // The version of the resource goes along: if it has changed since it was read, this fails.
    let parameters = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    Ok(api.replace_status(&name, &parameters, &fresh).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(annotations: &[(&str, &str)]) -> PersistentVolumeClaim {
        let mut claim = PersistentVolumeClaim::default();
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        claim.metadata.annotations = Some(annotations.iter().map(own).collect());
        claim
    }

    #[test]
    fn an_earlier_cluster_is_taken_up() {
        assert_eq!(earlier(&[]), Ok(Earlier::default()));
        let formed = claim(&[(CLUSTER_ID_ANNOTATION, "a"), (FORMED_ANNOTATION, "true")]);
        let there = Earlier {
            cluster_id: Some("a".to_owned()),
            formed: true,
        };
        assert_eq!(earlier(&[formed.clone(), claim(&[])]), Ok(there));
        let other = claim(&[(CLUSTER_ID_ANNOTATION, "b")]);
        assert!(earlier(&[formed, other]).unwrap_err().contains("a, b"));
        assert!(earlier(&[claim(&[])]).is_err());
    }
}
