//! Server-side apply of what differs from what is there.
//!
//! Two things say whether an object is as it should be: an annotation with the hash of what was last applied, by which
//! fields are noticed that are wanted no more; and whether all that is wanted is there, by which changes are noticed
//! that others made.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::reflector::{ObjectRef, Store},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tracing::info;

use super::hash::hash;
use crate::FIELD_MANAGER;

/// The annotation with the hash of what was applied.
const HASH_ANNOTATION: &str = "fjord.dev/applied";

/// Applies an object, unless `store` says that it is as it should be.
///
/// # Errors
///
/// The API server refuses it, or was not reached. A conflict means that the object is not what `store` says, so that
/// what was decided by it may be wrong.
pub async fn apply<K>(client: &Client, store: &Store<K>, mut wanted: K) -> kube::Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let value = serde_json::to_value(&wanted).map_err(kube::Error::SerdeError)?;
    let applied = hash(&value.to_string());
    let there = store.get(&ObjectRef::from_obj(&wanted));
    if let Some(there) = &there
        && there.annotations().get(HASH_ANNOTATION) == Some(&applied)
        && contains(
            &serde_json::to_value(&**there).map_err(kube::Error::SerdeError)?,
            &value,
        )
    {
        return Ok(());
    }
    let annotations = wanted.annotations_mut();
    annotations.insert(HASH_ANNOTATION.to_owned(), applied);
    // The API server takes it for this very object only, as it is known here.
    let meta = wanted.meta_mut();
    meta.uid = there.as_ref().and_then(|there| there.uid());
    meta.resource_version = there.and_then(|there| there.resource_version());
    let (name, namespace) = (wanted.name_any(), wanted.namespace().unwrap_or_default());
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let outcome = api.patch(&name, &parameters, &Patch::Apply(&wanted)).await;
    match outcome {
        // What somebody else has put into a list stays there on an apply, and may contradict what is wanted. A merge
        // replaces lists as a whole.
        Err(kube::Error::Api(status)) if status.is_invalid() => {
            let parameters = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            api.patch(&name, &parameters, &Patch::Merge(&wanted))
                .await?;
        }
        outcome => {
            outcome?;
        }
    }
    info!(kind = %K::kind(&()), namespace, name, "applied");
    Ok(())
}

/// Whether all of `wanted` is in `there`, which may have more. Nothing, an empty list and an empty map are the same to
/// the API server.
#[must_use]
pub fn contains(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            there
                .get(key)
                .map_or_else(|| is_empty(wanted), |there| contains(there, wanted))
        }),
        (Value::Array(there), Value::Array(wanted)) => {
            let pairs = || there.iter().zip(wanted);
            there.len() == wanted.len() && pairs().all(|(there, wanted)| contains(there, wanted))
        }
        (there, wanted) => there == wanted,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_add_is_no_difference_and_what_they_change_is() {
        let wanted = json!({"a": 1, "list": [{"b": 2}], "none": [], "map": {}});
        let there = json!({"a": 1, "list": [{"b": 2, "c": 3}], "more": true});
        assert!(contains(&there, &wanted));
        for different in [
            json!({"a": 2, "list": [{"b": 2}]}),
            json!({"a": 1, "list": [{"b": 3}]}),
            json!({"a": 1, "list": [{"b": 2}, {"b": 2}]}),
            json!({"a": 1}),
        ] {
            assert!(!contains(&different, &wanted), "{different}");
        }
    }
}
