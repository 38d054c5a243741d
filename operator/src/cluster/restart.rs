//! Restarting one broker: the others are asked, the reason is told, then its pod is deleted.

use fjord_client::{Client, proto::CheckRestartRequest};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::{
    Api, Resource,
    api::{DeleteParams, Preconditions},
    runtime::events::{Event, EventType},
};
use tracing::info;

use super::{names::Names, observed::ObservedPod, rollout::risks};
use crate::{api::Cluster, context::Context};

/// How many risks are told.
const RISKS_TOLD: u32 = 5;

/// Asks the brokers what would be at risk without one of them.
///
/// # Errors
///
/// They do not answer.
pub async fn blockers(client: &Client, broker: i32) -> fjord_client::Result<Vec<String>> {
    check(client, broker, false).await
}

/// Asks the brokers what would be at risk if one of them came back with an empty disk.
///
/// # Errors
///
/// They do not answer.
pub async fn lost_blockers(client: &Client, broker: i32) -> fjord_client::Result<Vec<String>> {
    check(client, broker, true).await
}

async fn check(client: &Client, broker: i32, lost: bool) -> fjord_client::Result<Vec<String>> {
    let request = CheckRestartRequest {
        brokers: vec![broker],
        max_risks: RISKS_TOLD,
        lost,
    };
    client
        .check_restart(request)
        .await
        .map(|check| risks(&check))
}

/// Deletes a broker's pod, if it is still the one that was meant, and serves clients if it did so; its stateful set
/// makes it anew.
///
/// # Errors
///
/// The API server refuses it, or was not reached.
pub async fn restart(
    context: &Context,
    cluster: &Cluster,
    names: &Names,
    broker: i32,
    uid: &str,
    serves: bool,
    difference: &[String],
) -> kube::Result<()> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &names.namespace);
    let name = names.pod(broker);
    // What the watches say may be from before the pod was replaced, or came up after all.
    let Some(there) = api.get_opt(&name).await? else {
        return Ok(());
    };
    let pod = ObservedPod::new(&there);
    if pod.uid != uid || pod.ready != serves || pod.deleting {
        return Ok(());
    }
    let reason = difference.join("; ");
    let note = format!("restarting broker {broker}: {reason}");
    let about = Some(there.object_ref(&()));
    publish(
        context,
        cluster,
        EventType::Normal,
        "BrokerRestart",
        &note,
        about,
    )
    .await;
    api.delete(&name, &only(uid)).await?;
    context.metrics.restarts.inc();
    info!(
        namespace = names.namespace,
        pod = name,
        reason,
        "restarting a broker"
    );
    Ok(())
}

/// Deletes an object only if it is the one with this unique id.
#[must_use]
pub fn only(uid: &str) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    }
}

/// Writes an event about a cluster, and about something else of it. One that cannot be written is no reason to do
/// anything else. Of events that differ in nothing but their notes, those that come soon after the first are only
/// counted.
pub async fn publish(
    context: &Context,
    cluster: &Cluster,
    type_: EventType,
    reason: &str,
    note: &str,
    about: Option<ObjectReference>,
) {
    /// The API server takes no longer ones.
    const LONGEST: usize = 1000;
    let event = Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note.chars().take(LONGEST).collect()),
        action: reason.to_owned(),
        secondary: about,
    };
    let regarding = cluster.object_ref(&());
    if let Err(error) = context.recorder.publish(&event, &regarding).await {
        info!(%error, reason, "an event was not taken");
    }
}
