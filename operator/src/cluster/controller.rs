//! The controller: watches, looks, and looks again.

use std::{collections::HashMap, sync::Arc, sync::Mutex, time::Duration};

use futures::{StreamExt, future};
use kube::runtime::{
    Controller,
    controller::{Action, Config},
    reflector::ObjectRef,
    watcher,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    reconcile::{ReconcileError, Shell, reconcile},
    stores::{Stores, api},
};
use crate::{api::Cluster, context::Context, metrics::Kind};

/// How long changes are gathered before they are looked at.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// How many clusters are looked at at once.
const CONCURRENCY: u16 = 8;
/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Looks after the clusters until `stop` says otherwise. What is being done then is finished first.
pub async fn run(context: Context, stop: CancellationToken) {
    let namespaces = &context.settings.namespaces;
    let scopes: Vec<Option<String>> = match namespaces.is_empty() {
        true => vec![None],
        false => namespaces.iter().cloned().map(Some).collect(),
    };
    let running = scopes
        .into_iter()
        .map(|scope| watch(context.clone(), scope, stop.clone()));
    future::join_all(running).await;
}

async fn watch(context: Context, namespace: Option<String>, stop: CancellationToken) {
    let clusters = api::<Cluster>(&context.client, namespace.as_deref());
    let (stores, touched) = Stores::watch(&context.client, namespace.as_deref());
    let runner = Arc::new(Runner {
        shell: Shell { context, stores },
        failures: Mutex::default(),
    });
    Controller::new(clusters, watcher::Config::default())
        .with_config(
            Config::default()
                .debounce(DEBOUNCE)
                .concurrency(CONCURRENCY),
        )
        .reconcile_on(touched)
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(look, after_failure, runner)
        .for_each(|_| future::ready(()))
        .await;
}

struct Runner {
    shell: Shell,
    /// How often in a row a cluster could not be looked at.
    failures: Mutex<HashMap<ObjectRef<Cluster>, u32>>,
}

async fn look(cluster: Arc<Cluster>, runner: Arc<Runner>) -> Result<Action, ReconcileError> {
    let begin = Instant::now();
    let outcome = reconcile(&cluster, &runner.shell).await;
    let seconds = begin.elapsed().as_secs_f64();
    let metrics = &runner.shell.context.metrics;
    metrics.observe(Kind::Cluster, seconds, outcome.is_err());
    let again = outcome?;
    if let Ok(mut failures) = runner.failures.lock() {
        failures.remove(&ObjectRef::from_obj(&*cluster));
    }
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

fn after_failure(cluster: Arc<Cluster>, error: &ReconcileError, runner: Arc<Runner>) -> Action {
    let key = ObjectRef::from_obj(&*cluster);
    let times = match runner.failures.lock() {
        Ok(mut failures) => {
            let times = failures.entry(key.clone()).or_default();
            *times = times.saturating_add(1);
            *times
        }
        Err(_) => 1,
    };
    let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(times - 1));
    let pause = pause.min(LONGEST_PAUSE);
    warn!(cluster = %key, %error, times, pause = ?pause, "cannot look after the cluster; trying again");
    Action::requeue(pause)
}
