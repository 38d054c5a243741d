//! What the API server has of our own making, as the watches tell it: it may be late, and is never a reason to destroy
//! anything.

use std::fmt::Debug;

use futures::{Stream, StreamExt, TryStreamExt, future, stream, stream::BoxStream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Client, Resource, ResourceExt,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store, store::WriterDropped},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tracing::warn;

use super::names::{MANAGER_LABEL, owner};
use crate::{FIELD_MANAGER, api::Cluster};

/// The objects of all clusters of one namespace, or of all.
#[derive(Clone)]
pub struct Stores {
    /// Of the brokers' service accounts.
    pub service_accounts: Store<ServiceAccount>,
    /// Of the services.
    pub services: Store<Service>,
    /// Of the configuration files.
    pub config_maps: Store<ConfigMap>,
    /// Of the stateful sets.
    pub stateful_sets: Store<StatefulSet>,
    /// Of the budgets for evictions.
    pub disruption_budgets: Store<PodDisruptionBudget>,
    /// Of the network policies.
    pub network_policies: Store<NetworkPolicy>,
    /// Of the claims of volumes.
    pub claims: Store<PersistentVolumeClaim>,
    /// Of the pods.
    pub pods: Store<Pod>,
}

/// An API of one namespace, or of all.
pub fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

impl Stores {
    /// The stores, and the clusters of which something changed. The stores are filled while that stream is read.
    pub fn watch(
        client: &Client,
        namespace: Option<&str>,
    ) -> (
        Self,
        impl Stream<Item = ObjectRef<Cluster>> + Send + 'static,
    ) {
        let (service_accounts, first) = watched(api(client, namespace));
        let (services, second) = watched(api(client, namespace));
        let (config_maps, third) = watched(api(client, namespace));
        let (stateful_sets, fourth) = watched(api(client, namespace));
        let (disruption_budgets, fifth) = watched(api(client, namespace));
        let (network_policies, sixth) = watched(api(client, namespace));
        let (claims, seventh) = watched(api(client, namespace));
        let (pods, eighth) = watched(api(client, namespace));
        let stores = Self {
            service_accounts,
            services,
            config_maps,
            stateful_sets,
            disruption_budgets,
            network_policies,
            claims,
            pods,
        };
        let touched = [first, second, third, fourth, fifth, sixth, seventh, eighth];
        (stores, stream::select_all(touched))
    }

    /// Waits until every store has been filled once.
    ///
    /// # Errors
    ///
    /// The watches have ended.
    pub async fn ready(&self) -> Result<(), WriterDropped> {
        self.service_accounts.wait_until_ready().await?;
        self.services.wait_until_ready().await?;
        self.config_maps.wait_until_ready().await?;
        self.stateful_sets.wait_until_ready().await?;
        self.disruption_budgets.wait_until_ready().await?;
        self.network_policies.wait_until_ready().await?;
        self.claims.wait_until_ready().await?;
        self.pods.wait_until_ready().await
    }
}

fn watched<K>(api: Api<K>) -> (Store<K>, BoxStream<'static, ObjectRef<Cluster>>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let ours = format!("{MANAGER_LABEL}={FIELD_MANAGER}");
    let touched = watcher(api, watcher::Config::default().labels(&ours))
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects()
        .inspect_err(|error| warn!(kind = %K::kind(&()), %error, "watch failed; trying again"))
        .filter_map(|object| future::ready(object.ok().as_ref().and_then(owner)))
        .boxed();
    (reader, touched)
}
