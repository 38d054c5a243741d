//! One Topic, seen to once: what is there, what is to be done, and what came of it.

use std::{sync::Arc, time::Duration};

use kube::{
    ResourceExt,
    runtime::{controller::Action, events::EventType},
};
use tracing::{debug, warn};

use super::{
    Context,
    carry_out::{self, Failure},
    claims::{self, Standing},
    deletion::{self, Farewell},
    findings::{HeldUp, Outcome},
    health::Health,
    plan::{self, Existing, Observed, Plan, Step},
    spread, status,
    view::{Trouble, View},
};
use crate::api::{Cluster, Topic};

/// How soon a Topic is looked at again of which something turned out to be other than it was known.
const SOON: Duration = Duration::from_secs(1);
/// How soon a call to the API server is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Why a Topic was not seen to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or was not reached.
    #[error(transparent)]
    Kubernetes(#[from] kube::Error),
}

/// Sees to a Topic.
///
/// # Errors
///
/// The API server refused, or was not reached. What brokers say is in the status.
pub async fn reconcile(topic: Arc<Topic>, context: Arc<Context>) -> Result<Action, Error> {
    tokio::select! {
        () = context.watched.ready() => {}
        () = context.shutdown.cancelled() => return Ok(Action::await_change()),
    }
    let cluster = context.watched.cluster(&topic.cluster());
    let others = context.watched.named(topic.topic_name());
    let standing = claims::standing(&topic, cluster, others);
    if deletion::is_deleting(&*topic) {
        return say_farewell(&topic, &standing, &context).await;
    }
    let changed = match deletion::finalizers(&topic, &standing) {
        Some(finalizers) => {
            let resources = &context.resources;
            Some(resources.set_finalizers(&topic, &finalizers).await?)
        }
        None => None,
    };
    let topic = changed.as_ref().unwrap_or(&topic);
    let cluster = topic.cluster();
    let reference = format!("{}/{}", cluster.namespace.unwrap_or_default(), cluster.name);
    let held_up = match standing {
        Standing::Owner(cluster) => return keep(topic, &cluster, &context).await,
        Standing::Conflict { owner } => HeldUp::NameConflict { owner },
        Standing::NotAllowed => HeldUp::NotAllowed { cluster: reference },
        Standing::NoCluster => HeldUp::ClusterNotFound { cluster: reference },
    };
    hold_up(topic, &held_up, &context).await?;
    Ok(again(&context, topic))
}

/// What is done after an error.
pub fn on_error(topic: &Topic, error: &Error) -> Action {
    let Error::Kubernetes(error) = error;
    match error {
        // The change comes by the watch; should that be slow, it is tried again.
        kube::Error::Api(status) if status.code == 409 => Action::requeue(SOON),
        kube::Error::Api(status) if status.code == 404 => Action::await_change(),
        error => {
            let namespace = topic.namespace().unwrap_or_default();
            warn!(namespace, topic = topic.name_any(), %error, "the API server was asked in vain");
            Action::requeue(spread(RETRY, &topic.name_any()))
        }
    }
}

/// Makes the topic of a resource that has it what the resource says.
async fn keep(topic: &Topic, cluster: &Arc<Cluster>, context: &Context) -> Result<Action, Error> {
    let view = context.view(cluster);
    // Never closed.
    let _seat = view.seats.acquire().await.ok();
    let old = topic.status.clone().unwrap_or_default();
    let is_changed = old.observed_generation != topic.metadata.generation;
    let looked = async {
        let survey = view.survey().await?;
        let found = view.topic(&survey, topic.topic_name(), is_changed).await?;
        Ok((survey, found))
    };
    let (survey, found) = match looked.await {
        Ok(looked) => looked,
        Err(trouble) => return in_trouble(topic, &view, trouble, context).await,
    };
    let (existing, health) = found.unzip();
    let observed = Observed {
        brokers: survey.brokers,
        topic: existing,
    };
    let plan = plan::plan(&topic.spec, &old, &observed, status::was_moving(&old));
    let health = health.unwrap_or_default();
    let (existing, failures) = carry_out_all(topic, &plan, observed.topic, &view, context).await;
    if failures.contains(&Failure::Stale) {
        debug!(
            topic = topic.name_any(),
            "the topics were changed elsewhere"
        );
        view.doubt(topic.topic_name());
        return Ok(Action::requeue(SOON));
    }
    announce_adoption(topic, &plan, existing.as_ref(), context).await;
    finish(topic, &plan, &failures, existing.as_ref(), &health, context).await?;
    let is_moving = existing.is_some_and(|topic| topic.moving > 0);
    let after = match failures.iter().all(Failure::may_pass) {
        true if is_moving => context.pace.closely(),
        true => context.pace.tick,
        // What was refused once is refused again, unless something else changes.
        false => context.pace.round,
    };
    Ok(Action::requeue(spread(after, &topic.name_any())))
}

/// Carries out the steps. Returns the topic as it is then, and what went wrong.
async fn carry_out_all(
    topic: &Topic,
    plan: &Plan,
    mut existing: Option<Existing>,
    view: &View,
    context: &Context,
) -> (Option<Existing>, Vec<Failure>) {
    let mut failures = Vec::new();
    for step in &plan.steps {
        let before = existing.clone().unwrap_or_default();
        let done = match view.client().await {
            Ok(client) => {
                let name = topic.topic_name();
                carry_out::carry_out(&client, name, &topic.spec, step, before).await
            }
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(after) => {
                view.note_change(topic.topic_name(), Some(&after));
                // A check that all replicas are where they should be is no change.
                if !matches!(step, Step::MoveReplicas(_)) || after.moving > 0 {
                    let event = (EventType::Normal, step.reason(), step.to_string());
                    context
                        .resources
                        .tell(topic, event.0, event.1, event.2)
                        .await;
                }
                existing = Some(after);
            }
            Err(failure) => failures.push(failure),
        }
    }
    (existing, failures)
}

async fn announce_adoption(
    topic: &Topic,
    plan: &Plan,
    existing: Option<&Existing>,
    context: &Context,
) {
    let (true, Some(existing)) = (plan.adopts, existing) else {
        return;
    };
    let known = topic
        .status
        .as_ref()
        .and_then(|status| status.topic_id.as_ref());
    let (type_, note) = match known {
        Some(known) => (
            EventType::Warning,
            format!(
                "the topic with the id {known} is gone, and the one that has its name now was adopted: {}",
                existing.id
            ),
        ),
        None => (
            EventType::Normal,
            format!("the topic was there already, with the id {}", existing.id),
        ),
    };
    context
        .resources
        .tell(topic, type_, "TopicAdopted", note)
        .await;
}

async fn finish(
    topic: &Topic,
    plan: &Plan,
    failures: &[Failure],
    existing: Option<&Existing>,
    health: &Health,
    context: &Context,
) -> Result<(), Error> {
    let outcome = Outcome {
        plan,
        failures,
        topic: existing,
        health,
    };
    let status = status::after(topic, &outcome, context.resources.now());
    context.resources.set_status(topic, &status).await?;
    Ok(())
}

async fn in_trouble(
    topic: &Topic,
    view: &View,
    trouble: Trouble,
    context: &Context,
) -> Result<Action, Error> {
    match trouble {
        Trouble::Stale => {
            view.doubt(topic.topic_name());
            Ok(Action::requeue(SOON))
        }
        Trouble::Unreachable { retry_after } => {
            let address = view.address().to_owned();
            let deleting = deletion::is_deleting(topic);
            let held_up = HeldUp::ClusterUnreachable { address, deleting };
            hold_up(topic, &held_up, context).await?;
            Ok(Action::requeue(spread(
                retry_after.max(SOON),
                &topic.name_any(),
            )))
        }
        Trouble::Refused(error) => refused(topic, error.into(), context).await,
    }
}

async fn refused(topic: &Topic, failure: Failure, context: &Context) -> Result<Action, Error> {
    if let Failure::Refused { reason, message } = failure {
        hold_up(topic, &HeldUp::Refused { reason, message }, context).await?;
    }
    Ok(again(context, topic))
}

async fn hold_up(topic: &Topic, held_up: &HeldUp, context: &Context) -> Result<(), Error> {
    let status = status::held_up(topic, held_up, context.resources.now());
    context.resources.set_status(topic, &status).await?;
    Ok(())
}

/// Sees to a Topic that is being deleted.
async fn say_farewell(
    topic: &Topic,
    standing: &Standing,
    context: &Context,
) -> Result<Action, Error> {
    if !deletion::has_finalizer(topic) {
        return Ok(Action::await_change());
    }
    // The topic and its id as they are now: what follows cannot be undone.
    let Some(topic) = context.resources.newest(topic).await? else {
        return Ok(Action::await_change());
    };
    if !deletion::is_deleting(&topic) || !deletion::has_finalizer(&topic) {
        return Ok(Action::await_change());
    }
    match (deletion::farewell(&topic, standing), standing) {
        (Farewell::Delete { topic_id }, Standing::Owner(cluster)) => {
            delete(&topic, &topic_id, cluster, context).await
        }
        (Farewell::LetGo(why), _) => {
            let_go(&topic, &format!("the topic stays: {why}"), context).await
        }
        (Farewell::Delete { .. }, _) => unreachable!("only its owner deletes a topic"),
    }
}

async fn delete(
    topic: &Topic,
    topic_id: &str,
    cluster: &Arc<Cluster>,
    context: &Context,
) -> Result<Action, Error> {
    let view = context.view(cluster);
    // Never closed.
    let _seat = view.seats.acquire().await.ok();
    let client = match view.survey().await {
        Ok(_) => view.client().await,
        Err(Trouble::Unreachable { .. }) if deletion::is_deleting(&**cluster) => {
            let note = "the Cluster is being deleted, and its brokers do not answer";
            return let_go(topic, note, context).await;
        }
        Err(trouble) => return in_trouble(topic, &view, trouble, context).await,
    };
    let deleted = match client {
        Ok(client) => carry_out::delete(&client, topic_id).await,
        Err(error) => Err(error.into()),
    };
    match deleted {
        Ok(()) => {
            view.note_change(topic.topic_name(), None);
            let_go(
                topic,
                &format!("the topic with the id {topic_id} was deleted"),
                context,
            )
            .await
        }
        Err(failure) => refused(topic, failure, context).await,
    }
}

/// Takes the finalizer away: the API server removes the resource.
async fn let_go(topic: &Topic, note: &str, context: &Context) -> Result<Action, Error> {
    let (type_, reason) = (EventType::Normal, "TopicLetGo");
    context
        .resources
        .tell(topic, type_, reason, note.to_owned())
        .await;
    let finalizers = deletion::without_finalizer(topic);
    context.resources.set_finalizers(topic, &finalizers).await?;
    Ok(Action::await_change())
}

/// The Topic is looked at again within a tick.
fn again(context: &Context, topic: &Topic) -> Action {
    Action::requeue(spread(context.pace.tick, &topic.name_any()))
}
