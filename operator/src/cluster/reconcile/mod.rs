//! One look at a cluster: what is there, what should be, and the steps that can be taken now.
//!
//! "Not now" is a condition and another look, never a failure: only the API server's refusals are.

mod parts;
mod tell;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fjord_client::Client as BrokerClient;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{
    ResourceExt,
    runtime::reflector::{ObjectRef, store::WriterDropped},
};
use tracing::{debug, info};

use super::{
    identity::{self, IdentityError},
    image,
    names::Names,
    observed::{self, BrokersView, ObservedPod},
    resources::Blueprint,
    roll::{self, Rolled},
    scale::{Scale, Scaled},
    stores::Stores,
};
use crate::{
    api::{Cluster, ClusterStatus, conditions::Finding},
    context::Context,
};

/// The next look at a cluster where all is well: it only speaks to brokers.
const SETTLED: Duration = Duration::from_secs(30);
/// The next look while something is under way.
const BUSY: Duration = Duration::from_secs(2);
/// The next look at something that has just been written.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The API server refused something, or was not reached.
    #[error(transparent)]
    Kubernetes(#[from] kube::Error),
    /// The watches have ended.
    #[error(transparent)]
    Watches(#[from] WriterDropped),
}

/// What a look needs.
pub struct Shell {
    /// What all controllers share.
    pub context: Context,
    /// What the watches say.
    pub stores: Stores,
}

/// Looks at a cluster. Returns when to look again; nothing if only a change is a reason to.
///
/// # Errors
///
/// See [`ReconcileError`].
pub async fn reconcile(
    cluster: &Cluster,
    shell: &Shell,
) -> Result<Option<Duration>, ReconcileError> {
    shell.stores.ready().await?;
    if cluster.metadata.deletion_timestamp.is_some() {
        // What belongs to the cluster goes with it: everything has it as its owner.
        shell.context.brokers.forget(&ObjectRef::from_obj(cluster));
        return Ok(None);
    }
    match Look::new(cluster, shell).take().await {
        // Somebody else has changed something meanwhile: what was decided here may be out of date.
        Err(ReconcileError::Kubernetes(kube::Error::Api(status))) if status.is_conflict() => {
            debug!(cluster = %cluster.name_any(), "conflict; looking again");
            Ok(Some(AT_ONCE))
        }
        outcome => outcome,
    }
}

/// What there is, as far as it can be seen.
struct Sight {
    pods: BTreeMap<i32, ObservedPod>,
    client: Option<BrokerClient>,
    view: Option<BrokersView>,
}

impl Sight {
    /// The way to the brokers and what they say, if they do.
    fn answering(&self) -> Option<(&BrokerClient, &BrokersView)> {
        self.client.as_ref().zip(self.view.as_ref())
    }

    fn any_ready(&self) -> bool {
        self.pods.values().any(|pod| pod.ready)
    }

    fn all_ready(&self, pods: i32) -> bool {
        let ready = self.pods.values().filter(|pod| pod.ready && !pod.deleting);
        i32::try_from(ready.count()) == Ok(pods)
    }
}

/// One look at one cluster.
struct Look<'a> {
    shell: &'a Shell,
    cluster: Cluster,
    names: Names,
    findings: Vec<Finding>,
}

impl<'a> Look<'a> {
    fn new(cluster: &Cluster, shell: &'a Shell) -> Self {
        Self {
            shell,
            cluster: cluster.clone(),
            names: Names::new(cluster, shell.context.settings.domain.as_deref()),
            findings: Vec::new(),
        }
    }

    async fn take(mut self) -> Result<Option<Duration>, ReconcileError> {
        // Of what the watches have never shown, something may have become that they do not show either.
        let is_new = !self.status().formed || self.stateful_set().is_none();
        if is_new && !self.cluster.spec.paused && !self.has_identity().await? {
            return Ok(Some(SETTLED));
        }
        if self.cluster.spec.paused {
            self.pause().await?;
            return Ok(None);
        }
        let sight = self.look_around().await;
        if !self.status().formed && self.is_founded(sight.view.as_ref()) {
            let cluster_id = self.status().cluster_id.unwrap_or_default();
            info!(cluster = self.names.cluster, cluster_id, "founded");
            let formed = true;
            let status = self.status();
            self.write(ClusterStatus { formed, ..status }).await?;
        }
        self.settle_configs(sight.answering(), sight.any_ready())
            .await?;
        let (pods_now, scaled) = self.scale(&sight).await;
        self.findings.extend(scaled.findings);
        let Some(external) = self.external_addresses(pods_now).await? else {
            let waiting = "waits for the addresses of load balancers".to_owned();
            let progress = Some(("WaitingForAddresses", waiting));
            self.tell(&sight, scaled.plan, progress).await?;
            return Ok(Some(BUSY));
        };
        let (cluster, status) = (self.cluster.clone(), self.status());
        let image = wanted_image(&cluster, &self.shell.context.settings.image);
        let blueprint = Blueprint {
            cluster: &cluster,
            names: self.names.clone(),
            cluster_id: status.cluster_id.as_deref().unwrap_or_default(),
            formed: status.formed,
            image: &image,
            config: status.config.as_ref().unwrap_or(&cluster.spec.config),
            replicas: pods_now,
            external,
        };
        self.apply(&blueprint).await?;
        self.settle_volumes(&blueprint).await;
        let context = &self.shell.context;
        let replaced = self.repair(&sight, pods_now).await?;
        let rolled = match replaced.under_way {
            true => Rolled::default(),
            false => roll::roll(context, &blueprint, &sight.pods, sight.answering()).await?,
        };
        self.findings.extend(replaced.findings);
        self.findings.extend(rolled.findings);
        let forming = (!status.formed).then(|| {
            (
                "Forming",
                "waits until the brokers have founded the cluster".to_owned(),
            )
        });
        let starting = (!sight.all_ready(pods_now))
            .then(|| ("Starting", "not all brokers are ready".to_owned()));
        let progress = forming.or(replaced.progress).or(rolled.progress);
        let progress = progress.or(scaled.progress).or(starting);
        // While no broker is ready there is nobody to ask: what happens to pods is told by the watches.
        let busy = progress.is_some() && sight.any_ready();
        let plan = replaced.plan.or(rolled.plan).or(scaled.plan);
        self.tell(&sight, plan, progress).await?;
        Ok(Some(if busy { BUSY } else { SETTLED }))
    }

    /// Makes sure that the resource is still there and has its id. If it cannot have one, that is told.
    async fn has_identity(&mut self) -> Result<bool, ReconcileError> {
        // The watches may be late, and what follows must not be done for a second time.
        let default = self.shell.context.settings.image.clone();
        let image = |cluster: &Cluster| wanted_image(cluster, &default);
        match identity::ensure(&self.shell.context.client, &self.cluster, image).await {
            Ok(fresh) => {
                self.cluster = fresh;
                Ok(self.cluster.metadata.deletion_timestamp.is_none())
            }
            Err(IdentityError::Kubernetes(kube::Error::Api(status))) if status.is_not_found() => {
                Ok(false)
            }
            Err(IdentityError::Kubernetes(error)) => Err(error.into()),
            Err(IdentityError::Claims(why)) => {
                self.refuse("ForeignVolumes", why).await?;
                Ok(false)
            }
        }
    }

    async fn look_around(&self) -> Sight {
        let pods = observed::pods(&self.shell.stores, &self.names);
        let client = match pods.values().any(|pod| pod.ready) {
            true => self.connect().await,
            false => None,
        };
        let view = match &client {
            Some(client) => BrokersView::ask(client).await.ok(),
            None => None,
        };
        Sight { pods, client, view }
    }

    /// Takes a step towards the number of brokers that is wanted. Returns how many pods there should be now, too.
    async fn scale(&self, sight: &Sight) -> (i32, Scaled) {
        let (pods_now, wanted) = (self.pods_now(), self.cluster.spec.replicas);
        let mut staying = sight.pods.range(..wanted);
        let calm = self.status().formed
            && staying.all(|(_, pod)| pod.ready)
            && !sight.pods.values().any(|pod| pod.deleting);
        let Some((client, view)) = sight.answering().filter(|_| calm) else {
            return (pods_now, Scaled::default());
        };
        let scale = Scale {
            cluster: &self.cluster,
            names: &self.names,
            pods_now,
            pods: &sight.pods,
            client,
            view,
        };
        let scaled = scale.step().await;
        match scaled.drained {
            true => (wanted, scaled),
            false => (pods_now, scaled),
        }
    }

    fn status(&self) -> ClusterStatus {
        self.cluster.status.clone().unwrap_or_default()
    }

    async fn connect(&self) -> Option<BrokerClient> {
        let key = ObjectRef::from_obj(&self.cluster);
        let brokers = &self.shell.context.brokers;
        let address = brokers.address(&self.cluster);
        match brokers.client(&key, &address).await {
            Ok(client) => Some(client),
            Err(error) => {
                debug!(cluster = self.names.cluster, %error, "the brokers do not answer");
                None
            }
        }
    }

    /// Whether the brokers have become one cluster, the right one: no broker founds it before all voters are there.
    fn is_founded(&self, view: Option<&BrokersView>) -> bool {
        view.is_some_and(|view| {
            let cluster_id = Some(&view.cluster.cluster_id);
            cluster_id == self.status().cluster_id.as_ref() && !view.quorum.voters.is_empty()
        })
    }

    /// How many pods there should be now. None is taken away that may have records.
    fn pods_now(&self) -> i32 {
        let there = self.stateful_set();
        let there = there.and_then(|there| there.spec.as_ref()?.replicas);
        self.cluster.spec.replicas.max(there.unwrap_or_default())
    }

    fn stateful_set(&self) -> Option<Arc<StatefulSet>> {
        let name = ObjectRef::new(&self.names.cluster).within(&self.names.namespace);
        self.shell.stores.stateful_sets.get(&name)
    }
}

fn wanted_image(cluster: &Cluster, default: &str) -> String {
    let spec = &cluster.spec;
    let current = cluster.status.as_ref();
    let current = current.and_then(|status| status.image.as_deref());
    image::resolve(
        spec.image.as_deref(),
        spec.version.as_deref(),
        current,
        default,
    )
}
