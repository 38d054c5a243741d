//! What there is of a cluster: its pods, as the watches tell, and what its brokers say.

use std::collections::BTreeMap;

use fjord_client::{
    Client,
    proto::{
        DescribeClusterRequest, DescribeClusterResponse, DescribeQuorumRequest,
        DescribeQuorumResponse,
    },
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{
    names::{Names, TEMPLATE_ANNOTATION, index},
    resources::pod::CONTAINER,
    stores::Stores,
    template::Template,
};

/// Why a container does not run that waiting does not help against.
const HOPELESS: [&str; 6] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
];

/// A broker's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedPod {
    /// Its name.
    pub name: String,
    /// Its unique id: a pod that is made anew has another one.
    pub uid: String,
    /// Whether it serves clients.
    pub ready: bool,
    /// Whether it is on its way out.
    pub deleting: bool,
    /// Why it does not come up, if it does not.
    pub failing: Option<String>,
    /// What it was made from.
    pub template: Template,
}

impl ObservedPod {
    /// What a pod tells.
    #[must_use]
    pub fn new(pod: &Pod) -> Self {
        let template = pod.annotations().get(TEMPLATE_ANNOTATION);
        Self {
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            ready: condition(pod, "Ready") == Some(("True", None)),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            failing: failure(pod),
            template: Template::read(template.map_or("", String::as_str)),
        }
    }
}

fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<(&'a str, Option<&'a str>)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|known| known.type_ == type_)?;
    let message = condition.message.as_deref();
    let message = message.filter(|_| condition.status == "False");
    Some((&condition.status, message))
}

fn failure(pod: &Pod) -> Option<String> {
    if let Some(("False", message)) = condition(pod, "PodScheduled") {
        let message = message.unwrap_or_default();
        return Some(format!("cannot be scheduled: {message}"));
    }
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let broker = containers.iter().find(|status| status.name == CONTAINER)?;
    let waiting = broker.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    HOPELESS
        .contains(&reason)
        .then(|| format!("{reason}: {message}"))
}

/// The pods of a cluster, by number.
#[must_use]
pub fn pods(stores: &Stores, names: &Names) -> BTreeMap<i32, ObservedPod> {
    let ours = |pod: &Pod| {
        pod.namespace().as_ref() == Some(&names.namespace)
            && index(pod).is_some_and(|broker| pod.name_any() == names.pod(broker))
    };
    let pods = stores.pods.state_filter(ours).into_iter();
    pods.filter_map(|pod| Some((index(&*pod)?, ObservedPod::new(&pod))))
        .collect()
}

/// What the brokers say.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokersView {
    /// Of the cluster.
    pub cluster: DescribeClusterResponse,
    /// Of those that decide on metadata.
    pub quorum: DescribeQuorumResponse,
}

impl BrokersView {
    /// Asks the brokers.
    ///
    /// # Errors
    ///
    /// None answered.
    pub async fn ask(client: &Client) -> fjord_client::Result<Self> {
        Ok(Self {
            cluster: client
                .describe_cluster(DescribeClusterRequest::default())
                .await?,
            quorum: client
                .describe_quorum(DescribeQuorumRequest::default())
                .await?,
        })
    }

    /// The brokers that have a vote.
    #[must_use]
    pub fn voters(&self) -> Vec<i32> {
        let voters = self.quorum.voters.iter();
        let mut voters: Vec<i32> = voters.map(|voter| voter.broker).collect();
        voters.sort_unstable();
        voters
    }
}
