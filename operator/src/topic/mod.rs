//! The topic controller: makes what a `Topic` asks for.
//!
//! ```text
//!   Topics ───watch──► watched ──► reconcile ──► claims    who has the topic?
//!   Clusters ─watch──►                  │
//!                                       ├──────► view      what is there? survey: all topics at once
//!                                       ├──────► plan      what is to be done?
//!                                       ├──────► carry_out the steps, as calls to the brokers
//!                                       └──────► findings, status, resources
//! ```
//!
//! A Topic is looked at when it changes, when its Cluster changes in a way that matters to it, and once per tick. Looking
//! costs nothing where nothing has changed: Topics and Clusters come from caches, and what brokers have is asked once for
//! all Topics of a cluster ([`view`]). What must survive a restart of the operator is in the status: the topic's id, and
//! what was carried out.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, future::join_all, stream};
use kube::runtime::{
    Controller,
    controller::{self, Action},
    reflector::{self, ObjectRef},
    watcher,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    api::{Cluster, Topic},
    brokers::Brokers,
    context,
    metrics::{Kind, Metrics},
};

pub mod carry_out;
pub mod claims;
pub mod deletion;
pub mod findings;
pub mod health;
pub mod plan;
pub mod reconcile;
pub mod release;
pub mod resources;
pub mod status;
pub mod survey;
pub mod view;
pub mod watched;

use resources::Resources;
use view::View;
use watched::Watched;

/// How often Topics are looked at where nothing seems to change.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How old what is known of a cluster's topics may be.
    pub tick: Duration,
    /// How old what is known of one topic's configs may be.
    pub round: Duration,
}

impl Pace {
    /// How often Topics are looked at whose replicas move.
    fn closely(self) -> Duration {
        self.tick / 6
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(30),
            round: Duration::from_secs(300),
        }
    }
}

/// What reconciliations share.
pub struct Context {
    resources: Resources,
    brokers: Arc<Brokers>,
    watched: Watched,
    views: Mutex<HashMap<ObjectRef<Cluster>, Arc<View>>>,
    pace: Pace,
    metrics: Metrics,
    shutdown: CancellationToken,
}

impl Context {
    /// What is known of a cluster's topics.
    fn view(&self, cluster: &Cluster) -> Arc<View> {
        let reference = ObjectRef::from_obj(cluster);
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let view = views.entry(reference.clone()).or_insert_with(|| {
            let address = self.brokers.address(cluster);
            Arc::new(View::new(
                reference,
                address,
                Arc::clone(&self.brokers),
                self.pace,
            ))
        });
        Arc::clone(view)
    }

    /// A Cluster has changed: one that is gone is forgotten, another one tried again.
    fn note_cluster(&self, cluster: &ObjectRef<Cluster>) {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        if self.watched.cluster(cluster).is_none() {
            views.remove(cluster);
            self.brokers.forget(cluster);
        } else if let Some(view) = views.get(cluster) {
            view.encourage();
        }
    }
}

/// Sees to Topics until `shutdown`.
pub async fn run(shared: context::Context, pace: Pace, shutdown: CancellationToken) {
    let namespaces = &shared.settings.namespaces;
    let client = shared.client;
    let topics = watched::apis::<Topic>(&client, namespaces);
    let controllers: Vec<Controller<Topic>> = topics
        .into_iter()
        .map(|api| Controller::new(api, watcher::Config::default()))
        .collect();
    let clusters = watched::apis::<Cluster>(&client, namespaces);
    let (stores, changes): (Vec<_>, Vec<_>) = clusters
        .into_iter()
        .map(|api| {
            let (store, writer) = reflector::store();
            (store, watched::clusters(api, writer))
        })
        .unzip();
    let context = Arc::new(Context {
        resources: Resources::new(client, shared.recorder),
        brokers: shared.brokers,
        watched: Watched {
            topics: controllers.iter().map(Controller::store).collect(),
            clusters: stores,
        },
        views: Mutex::default(),
        pace,
        metrics: shared.metrics,
        shutdown: shutdown.clone(),
    });
    let (wake, woken) = watch::channel(());
    let watching = stream::select_all(changes.into_iter().map(StreamExt::boxed))
        .take_until(shutdown.cancelled())
        .for_each(|cluster| {
            context.note_cluster(&cluster);
            wake.send_replace(());
            std::future::ready(())
        });
    let controllers = controllers
        .into_iter()
        .map(|controller| control(controller, &context, woken.clone()));
    futures::join!(watching, join_all(controllers));
}

/// Runs one controller. How many reconciliations run at the same time is bounded by what they need: seats of their
/// cluster, and of the API server. So Topics of a cluster that does not answer keep no others waiting.
async fn control(
    controller: Controller<Topic>,
    context: &Arc<Context>,
    woken: watch::Receiver<()>,
) {
    let wakes = stream::unfold(woken, |mut woken| async {
        woken.changed().await.ok()?;
        Some(((), woken))
    });
    controller
        .with_config(controller::Config::default())
        .reconcile_all_on(wakes)
        .graceful_shutdown_on(context.shutdown.clone().cancelled_owned())
        .run(
            look,
            |topic, error, _| reconcile::on_error(&topic, error),
            Arc::clone(context),
        )
        .for_each(|outcome| {
            match outcome {
                Ok((topic, _)) => debug!(%topic, "looked at"),
                // Deleted meanwhile, or told by `on_error`.
                Err(error) => debug!(%error, "not looked at"),
            }
            std::future::ready(())
        })
        .await;
}

async fn look(topic: Arc<Topic>, context: Arc<Context>) -> Result<Action, reconcile::Error> {
    let begin = Instant::now();
    let outcome = reconcile::reconcile(topic, Arc::clone(&context)).await;
    let seconds = begin.elapsed().as_secs_f64();
    let metrics = &context.metrics;
    metrics.observe(Kind::Topic, seconds, outcome.is_err());
    outcome
}

/// A duration up to a quarter longer or shorter, always the same for one name: what is due for many names is not due at
/// once.
fn spread(duration: Duration, name: &str) -> Duration {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let percent = u32::try_from(hasher.finish() % 51).unwrap_or_default();
    duration * (75 + percent) / 100
}

#[cfg(test)]
mod scenarios;
