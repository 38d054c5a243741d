//! An operator whose caches know what the scenario wants them to know, and to which no broker answers.

use std::{borrow::Cow, collections::BTreeMap, fmt::Debug, time::Duration};

use kube::{
    Resource,
    runtime::{
        reflector::{self, Store, store::Writer},
        watcher::Event,
    },
};
use serde::de::DeserializeOwned;

use crate::{
    api::Cluster,
    cluster::{
        reconcile::{ReconcileError, Shell, reconcile},
        stores::Stores,
    },
    testing::{api_server::ApiServer, cluster, context},
};

/// An operator.
pub struct Operator {
    server: ApiServer,
    shell: Shell,
    caches: BTreeMap<Cow<'static, str>, Box<dyn Cache>>,
    /// What the cache of Clusters knows.
    pub known: Option<Cluster>,
}

/// What is known of a kind of object.
trait Cache {
    /// Takes over what is there now.
    fn catch_up(&mut self, server: &ApiServer);
}

impl<K> Cache for Writer<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + 'static,
{
    fn catch_up(&mut self, server: &ApiServer) {
        self.apply_watcher_event(&Event::Init);
        for object in server.list() {
            self.apply_watcher_event(&Event::InitApply(object));
        }
        self.apply_watcher_event(&Event::InitDone);
    }
}

impl Operator {
    /// An operator that has just been started: it knows all that there is.
    pub fn start(server: &ApiServer) -> Self {
        let mut caches = BTreeMap::new();
        let stores = Stores {
            service_accounts: store(server, &mut caches),
            services: store(server, &mut caches),
            config_maps: store(server, &mut caches),
            stateful_sets: store(server, &mut caches),
            disruption_budgets: store(server, &mut caches),
            network_policies: store(server, &mut caches),
            claims: store(server, &mut caches),
            pods: store(server, &mut caches),
        };
        let shell = Shell {
            context: context(server),
            stores,
        };
        let known = server.list().pop();
        Self {
            server: server.clone(),
            shell,
            caches,
            known,
        }
    }

    /// The kinds of which there are caches.
    pub fn kinds(&self) -> Vec<String> {
        let kinds = self.caches.keys().map(Cow::to_string);
        kinds.chain(["Cluster".to_owned()]).collect()
    }

    /// The cache of this kind hears of all that has happened.
    pub fn catch_up(&mut self, kind: &str) {
        match self.caches.get_mut(kind) {
            Some(cache) => cache.catch_up(&self.server),
            None => self.known = self.server.get(&cluster("kafka", "main")),
        }
    }

    /// All caches but one hear of all that has happened.
    pub fn catch_up_but(&mut self, lagging: &str) {
        for kind in self.kinds().iter().filter(|kind| *kind != lagging) {
            self.catch_up(kind);
        }
    }

    /// Looks at the cluster as the cache knows it, if it does.
    pub async fn look(&self) -> Result<Option<Duration>, ReconcileError> {
        match &self.known {
            Some(known) => reconcile(known, &self.shell).await,
            None => Ok(None),
        }
    }
}

fn store<K>(
    server: &ApiServer,
    caches: &mut BTreeMap<Cow<'static, str>, Box<dyn Cache>>,
) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, mut writer) = reflector::store::<K>();
    writer.catch_up(server);
    caches.insert(K::kind(&()), Box::new(writer));
    store
}
