//! What is told of a cluster: a function of what was seen.

use std::collections::BTreeMap;

use super::{
    names::Names,
    observed::{BrokersView, ObservedPod},
};
use crate::api::{
    Cluster, ClusterStatus,
    cluster::{BrokerStatus, Plan},
    conditions::{Finding, merged},
};
use k8s_openapi::jiff::Timestamp;

/// What was seen of a cluster.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    /// The resource.
    pub cluster: &'a Cluster,
    /// The names of its parts.
    pub names: &'a Names,
    /// Its pods.
    pub pods: &'a BTreeMap<i32, ObservedPod>,
    /// What the brokers say; nothing if none answers.
    pub brokers: Option<&'a BrokersView>,
    /// What is to be done to running brokers.
    pub plan: Option<Plan>,
    /// What is under way, as a reason and a sentence.
    pub progress: Option<(&'static str, String)>,
    /// What was found besides.
    pub findings: Vec<Finding>,
}

impl Seen<'_> {
    /// The status that follows from it.
    #[must_use]
    pub fn status(mut self, now: Timestamp) -> ClusterStatus {
        let spec = &self.cluster.spec;
        let old = self.cluster.status.clone().unwrap_or_default();
        let count = |pods: usize| i32::try_from(pods).unwrap_or(i32::MAX);
        let ready = count(self.pods.values().filter(|pod| pod.ready).count());
        let mut findings = vec![self.ready(&old), self.progressing(), self.degraded(&old)];
        findings.append(&mut self.findings);
        let generation = self.cluster.metadata.generation;
        let selector = self.names.selector().into_iter();
        let selector: Vec<_> = selector
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let told = self.brokers.map(|view| view.cluster.version.clone());
        let voters = self.brokers.map(BrokersView::voters);
        ClusterStatus {
            observed_generation: generation,
            replicas: count(self.pods.len()),
            ready_replicas: ready,
            ready: Some(format!("{ready}/{}", spec.replicas)),
            selector: Some(selector.join(",")),
            version: told.or(old.version),
            voters: voters.unwrap_or(old.voters),
            brokers: self.brokers(&old.brokers),
            conditions: merged(&old.conditions, &findings, generation, now),
            plan: self.plan,
            ..old
        }
    }

    fn brokers(&self, old: &[BrokerStatus]) -> Vec<BrokerStatus> {
        let broker = |(id, pod): (&i32, &ObservedPod)| {
            let said = self.brokers.iter().flat_map(|view| &view.cluster.brokers);
            let said = said.into_iter().find(|said| said.broker == *id);
            let before = old.iter().find(|before| before.broker == *id);
            let directory = said.map(|said| said.directory_id.clone());
            let directory = directory.filter(|directory| !directory.is_empty());
            BrokerStatus {
                broker: *id,
                pod: pod.name.clone(),
                ready: pod.ready,
                directory_id: directory.or(before.and_then(|old| old.directory_id.clone())),
                replicas: said
                    .map(|said| said.replicas)
                    .or(before.and_then(|old| old.replicas)),
                cordoned: said.map(|said| said.cordoned).filter(|cordoned| *cordoned),
            }
        };
        self.pods.iter().map(broker).collect()
    }

    fn ready(&self, old: &ClusterStatus) -> Finding {
        let replicas = self.cluster.spec.replicas;
        let missing: Vec<String> = (0..replicas)
            .filter_map(|broker| match self.pods.get(&broker) {
                None => Some(format!("broker {broker} has no pod")),
                Some(pod) if pod.ready => None,
                Some(ObservedPod {
                    failing: Some(why), ..
                }) => Some(format!("broker {broker}: {why}")),
                Some(_) => Some(format!("broker {broker} is not ready")),
            })
            .collect();
        let (reason, message) = match (old.formed, missing.is_empty()) {
            (true, true) => (
                "AllBrokersReady",
                format!("{replicas} brokers serve clients"),
            ),
            (true, false) => ("BrokersNotReady", missing.join("; ")),
            (false, true) => (
                "Forming",
                "the brokers have not told of the cluster".to_owned(),
            ),
            (false, false) => ("Forming", missing.join("; ")),
        };
        Finding {
            type_: "Ready",
            holds: Some(old.formed && missing.is_empty()),
            reason,
            message,
        }
    }

    fn progressing(&self) -> Finding {
        let (holds, (reason, message)) = match &self.progress {
            Some(progress) => (true, progress.clone()),
            None => (false, ("Stable", "nothing is under way".to_owned())),
        };
        Finding {
            type_: "Progressing",
            holds: Some(holds),
            reason,
            message,
        }
    }

    /// Whether something is lost that should be there; for as long as nobody answers, it cannot be told.
    fn degraded(&self, old: &ClusterStatus) -> Finding {
        let finding = |holds, reason, message: String| Finding {
            type_: "Degraded",
            holds,
            reason,
            message,
        };
        let Some(view) = self.brokers else {
            let message = "no broker answers".to_owned();
            return match old.formed {
                true => finding(None, "BrokersUnreachable", message),
                false => finding(Some(false), "Forming", message),
            };
        };
        let away = view.cluster.brokers.iter().filter(|broker| broker.fenced);
        let away: Vec<_> = away.map(|broker| broker.broker.to_string()).collect();
        if !away.is_empty() {
            let message = format!("the others do without broker {}", away.join(", "));
            return finding(Some(true), "BrokersAway", message);
        }
        let behind = view
            .cluster
            .brokers
            .iter()
            .filter(|broker| broker.out_of_sync > 0);
        let behind: Vec<_> = behind.map(|broker| broker.broker.to_string()).collect();
        if !behind.is_empty() {
            let message = format!(
                "not all replicas of broker {} are in sync",
                behind.join(", ")
            );
            return finding(Some(true), "ReplicasOutOfSync", message);
        }
        finding(
            Some(false),
            "Healthy",
            "all replicas are in sync".to_owned(),
        )
    }
}
