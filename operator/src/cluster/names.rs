//! Names, labels and ports of what belongs to a cluster.

use std::collections::BTreeMap;

use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};

use super::resources::pod::VOLUME;
use crate::{FIELD_MANAGER, api::Cluster};

/// The label that names the cluster of a pod, a claim, or anything else that the operator makes.
pub const CLUSTER_LABEL: &str = "app.kubernetes.io/instance";
/// The label of everything that the operator makes, with [`FIELD_MANAGER`] as its value.
pub const MANAGER_LABEL: &str = "app.kubernetes.io/managed-by";
/// The label with the number of a pod in its stateful set.
pub const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";
/// The annotation of claims with the id of the cluster whose records are on the volume.
pub const CLUSTER_ID_ANNOTATION: &str = "fjord.dev/cluster-id";
/// The annotation of claims that says that this cluster has been founded.
pub const FORMED_ANNOTATION: &str = "fjord.dev/formed";
/// The annotation of pods that says what they were made from.
pub const TEMPLATE_ANNOTATION: &str = "fjord.dev/template";
/// The annotation of pods and claims with which somebody asks for another, empty broker in place of this one.
pub const REPLACE_ANNOTATION: &str = "fjord.dev/replace";

/// The port for Kafka's clients inside of Kubernetes.
pub const KAFKA_PORT: i32 = 9092;
/// The port for Kafka's clients outside.
pub const EXTERNAL_PORT: i32 = 9094;
/// The port for gRPC.
pub const GRPC_PORT: i32 = crate::brokers::GRPC_PORT as i32;
/// The port for probes and metrics.
pub const HTTP_PORT: i32 = 9292;
/// The port for the other brokers of the cluster.
pub const PEER_PORT: i32 = 9392;

/// The names of a cluster's parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The cluster's own name, which its stateful set has too.
    pub cluster: String,
    /// Its namespace.
    pub namespace: String,
    /// The domain of Kubernetes' services, such as `cluster.local`; without it, names are looked up as in any pod.
    pub domain: Option<String>,
}

impl Names {
    /// The names of the parts of `cluster`.
    #[must_use]
    pub fn new(cluster: &Cluster, domain: Option<&str>) -> Self {
        Self {
            cluster: cluster.name_any(),
            namespace: cluster.namespace().unwrap_or_default(),
            domain: domain.map(str::to_owned),
        }
    }

    /// The headless service that gives each broker a name.
    #[must_use]
    pub fn headless(&self) -> String {
        format!("{}-brokers", self.cluster)
    }

    /// A broker's pod.
    #[must_use]
    pub fn pod(&self, broker: i32) -> String {
        format!("{}-{broker}", self.cluster)
    }

    /// The claim of a broker's volume.
    #[must_use]
    pub fn claim(&self, broker: i32) -> String {
        format!("{VOLUME}-{}", self.pod(broker))
    }

    /// A broker's service for clients outside.
    #[must_use]
    pub fn external(&self, broker: i32) -> String {
        format!("{}-{broker}-external", self.cluster)
    }

    /// A broker's host name inside of Kubernetes.
    #[must_use]
    pub fn host(&self, broker: i32) -> String {
        let (pod, headless) = (self.pod(broker), self.headless());
        let domain = self.domain.as_ref().map(|domain| format!(".{domain}"));
        let domain = domain.unwrap_or_default();
        format!("{pod}.{headless}.{}.svc{domain}", self.namespace)
    }

    /// Whether a host name is that of a broker's pod, in whatever domain.
    #[must_use]
    pub fn is_host_of(&self, broker: i32, host: &str) -> bool {
        let (pod, headless) = (self.pod(broker), self.headless());
        host.starts_with(&format!("{pod}.{headless}.{}.svc", self.namespace))
    }

    /// Where other brokers reach a broker.
    #[must_use]
    pub fn peer(&self, broker: i32) -> String {
        format!("{}:{PEER_PORT}", self.host(broker))
    }

    /// The labels by which the brokers' pods are found. They can never change.
    #[must_use]
    pub fn selector(&self) -> BTreeMap<String, String> {
        [
            ("app.kubernetes.io/name", "fjord"),
            ("app.kubernetes.io/component", "broker"),
            (CLUSTER_LABEL, &self.cluster),
        ]
        .map(|(label, value)| (label.to_owned(), value.to_owned()))
        .into()
    }

    /// The labels of everything that belongs to the cluster.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.selector();
        labels.insert(MANAGER_LABEL.to_owned(), FIELD_MANAGER.to_owned());
        labels
    }
}

/// The cluster to which an object belongs by its labels.
pub fn owner<K: Resource>(object: &K) -> Option<ObjectRef<Cluster>> {
    let name = object.labels().get(CLUSTER_LABEL)?;
    Some(ObjectRef::new(name).within(&object.namespace()?))
}

/// The number of a pod in its stateful set, or of a claim.
pub fn index<K: Resource>(object: &K) -> Option<i32> {
    let name = object.meta().name.as_deref()?;
    name.rsplit_once('-')?.1.parse().ok()
}
