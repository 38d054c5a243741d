//! The brokers' claims: what is written on them, and how they grow.

use k8s_openapi::{
    api::core::v1::PersistentVolumeClaim, apimachinery::pkg::api::resource::Quantity,
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tracing::info;

use super::{
    names::{CLUSTER_ID_ANNOTATION, FORMED_ANNOTATION, Names, index},
    stores::Stores,
};

/// The claims of a cluster's brokers.
#[must_use]
pub fn claims(stores: &Stores, names: &Names) -> Vec<std::sync::Arc<PersistentVolumeClaim>> {
    let ours = |claim: &PersistentVolumeClaim| {
        claim.namespace().as_ref() == Some(&names.namespace)
            && index(claim).is_some_and(|broker| claim.name_any() == names.claim(broker))
    };
    stores.claims.state_filter(ours)
}

/// What is to be changed of a claim; nothing if it is as it should be.
#[must_use]
pub fn change(
    claim: &PersistentVolumeClaim,
    cluster_id: &str,
    formed: bool,
    size: &Quantity,
) -> Option<Value> {
    let mut patch = json!({});
    let annotations = claim.annotations();
    if !annotations.contains_key(CLUSTER_ID_ANNOTATION) {
        patch["metadata"]["annotations"][CLUSTER_ID_ANNOTATION] = json!(cluster_id);
    }
    if formed && !annotations.contains_key(FORMED_ANNOTATION) {
        patch["metadata"]["annotations"][FORMED_ANNOTATION] = json!("true");
    }
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let has = requests.and_then(|requests| requests.get("storage"));
    let phase = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    if let (Some(has), Some(wanted)) = (has.and_then(bytes), bytes(size))
        && has < wanted
        && phase == Some("Bound")
    {
        patch["spec"]["resources"]["requests"]["storage"] = json!(size);
    }
    (patch != json!({})).then_some(patch)
}

/// Brings the claims to what they should be. Returns in words what the API server refused: a class that cannot grow
/// must not keep anything else from being done.
pub async fn settle(
    client: &Client,
    claims: &[std::sync::Arc<PersistentVolumeClaim>],
    cluster_id: &str,
    formed: bool,
    size: &Quantity,
) -> Vec<String> {
    let mut refused = Vec::new();
    for claim in claims {
        let Some(patch) = change(claim, cluster_id, formed, size) else {
            continue;
        };
        let (name, namespace) = (claim.name_any(), claim.namespace().unwrap_or_default());
        let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
        let (parameters, merge) = (PatchParams::default(), Patch::Merge(&patch));
        match api.patch(&name, &parameters, &merge).await {
            Ok(_) => info!(namespace, name, %patch, "changed the claim"),
            Err(error) => refused.push(format!("{name}: {error}")),
        }
    }
    refused
}

/// How many bytes a quantity of Kubernetes stands for; a part of a byte is left out.
#[must_use]
pub fn bytes(quantity: &Quantity) -> Option<u128> {
    const SUFFIXES: [(&str, u128); 13] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("Ei", 1 << 60),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("E", 1_000_000_000_000_000_000),
        ("", 1),
    ];
    let text = quantity.0.as_str();
    if let Some(thousandths) = text.strip_suffix('m') {
        return Some(thousandths.parse::<u128>().ok()? / 1000);
    }
    let find = |(suffix, factor): (&str, u128)| Some((text.strip_suffix(suffix)?, factor));
    let (number, factor) = SUFFIXES.into_iter().find_map(find)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let tens = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: u128 = match fraction {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    let whole = whole.parse::<u128>().ok()?.checked_mul(factor)?;
    whole.checked_add(fraction.checked_mul(factor)? / tens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_bytes() {
        let check = |text: &str, expected: Option<u128>| {
            assert_eq!(bytes(&Quantity(text.to_owned())), expected, "{text}");
        };
        check("10Gi", Some(10 << 30));
        check("1.5k", Some(1500));
        check("1000m", Some(1));
        check("7", Some(7));
        check("x", None);
        check("", None);
    }

    #[test]
    fn claims_grow_and_never_shrink() {
        let claim = |size: &str| -> PersistentVolumeClaim {
            serde_json::from_value(json!({
                "metadata": {"annotations": {CLUSTER_ID_ANNOTATION: "a", FORMED_ANNOTATION: "true"}},
                "status": {"phase": "Bound"},
                "spec": {"resources": {"requests": {"storage": size}}},
            }))
            .unwrap()
        };
        let size = Quantity("2Gi".to_owned());
        assert_eq!(change(&claim("2Gi"), "a", true, &size), None);
        assert_eq!(change(&claim("3Gi"), "a", true, &size), None);
        assert_eq!(
            change(&claim("2048M"), "a", true, &size),
            Some(json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}}))
        );
    }
}
