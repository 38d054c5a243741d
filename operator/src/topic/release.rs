//! Letting go of all Topics, once no operator is there any more: nobody would answer to their finalizers, and neither
//! they nor their namespaces could be deleted.

use kube::{
    Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use tracing::info;

use super::{
    deletion::{has_finalizer, without_finalizer},
    watched,
};
use crate::{FIELD_MANAGER, api::Topic};

/// Takes the operator's finalizer from all Topics of these namespaces, or of all if there are none. The topics stay as
/// they are. An operator that is installed later puts it back.
///
/// # Errors
///
/// The API server refuses, or is not reached.
pub async fn release(client: &Client, namespaces: &[String]) -> kube::Result<()> {
    for api in watched::apis::<Topic>(client, namespaces) {
        let topics = api.list(&ListParams::default()).await?.items;
        for topic in topics.iter().filter(|topic| has_finalizer(topic)) {
            let (name, namespace) = (topic.name_any(), topic.namespace().unwrap_or_default());
            let api = kube::Api::<Topic>::namespaced(client.clone(), &namespace);
            let merged = json!({"metadata": {"finalizers": without_finalizer(topic)}});
            let how = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            match api.patch(&name, &how, &Patch::Merge(merged)).await {
                Ok(_) => info!(namespace, name, "let go of the Topic"),
                // It went meanwhile.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
