//! A broker whose volume is lost, one step further: what the planner says is told in the status, approved, and done.
//!
//! The claim is deleted first. It stays for as long as a pod runs with it, marked as going, so that an operator that
//! starts in the middle finds what there is to be done. The stateful set makes both anew; the other brokers take the
//! old broker's vote away when the new one joins.

use std::collections::BTreeMap;

use fjord_client::Client;
use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, Pod},
    jiff::Timestamp,
};
use kube::{Api, Resource, runtime::events::EventType};
use tracing::info;

use super::{
    hash::hash,
    lost::Volume,
    names::{Names, REPLACE_ANNOTATION},
    observed::{BrokersView, ObservedPod},
    repair::{self, Step},
    restart::{lost_blockers, only, publish},
    roll::told,
};
use crate::{
    api::{
        Cluster,
        cluster::{Plan, PlanKind, RepairMode},
        conditions::Finding,
    },
    context::Context,
};

/// What came of it.
#[derive(Debug, Default)]
pub struct Replaced {
    /// The plan, if a broker is to be replaced.
    pub plan: Option<Plan>,
    /// What is under way.
    pub progress: Option<(&'static str, String)>,
    /// What is lost, and what keeps it from being replaced.
    pub findings: Vec<Finding>,
    /// Whether a broker is being taken away, so that no other one may be.
    pub under_way: bool,
}

/// What a step is about.
pub struct Repair<'a> {
    /// What all controllers share.
    pub context: &'a Context,
    /// The resource.
    pub cluster: &'a Cluster,
    /// The names of its parts.
    pub names: &'a Names,
    /// How many pods the stateful set has.
    pub pods_now: i32,
    /// The pods.
    pub pods: &'a BTreeMap<i32, ObservedPod>,
    /// The volumes.
    pub volumes: &'a BTreeMap<i32, Volume>,
    /// The way to the brokers and what they say, if they do.
    pub brokers: Option<(&'a Client, &'a BrokersView)>,
}

impl Repair<'_> {
    /// Takes the next step that can be taken.
    ///
    /// # Errors
    ///
    /// The API server refuses it, or was not reached.
    pub async fn step(&self) -> kube::Result<Replaced> {
        let seen = self.seen();
        let candidate = repair::candidate(&seen);
        let Some((broker, volume)) = candidate.and_then(|id| Some((id, self.volumes.get(&id)?)))
        else {
            return Ok(Replaced::default());
        };
        let why = volume.reason().unwrap_or_default();
        let risks = self.risks(broker).await;
        let (blockers, replaces) = match repair::next(&seen, broker, &risks) {
            Step::Wait => {
                let after = seen.after_seconds;
                let message = format!("broker {broker}: {why}; it is lost after {after} seconds");
                return Ok(Replaced {
                    progress: Some(("WaitingForVolume", message)),
                    ..Replaced::default()
                });
            }
            Step::Blocked(blockers) => (blockers, false),
            Step::Replace => (Vec::new(), true),
        };
        let plan = self.plan(broker, volume, blockers);
        let mut findings = vec![self.needed(broker, volume, plan.approved)];
        findings.extend(blocked(broker, &plan.blockers));
        let under_way = replaces && plan.approved;
        if under_way {
            self.replace(broker, volume).await?;
        }
        let message = format!("broker {broker} is replaced by an empty one");
        Ok(Replaced {
            plan: Some(plan),
            progress: under_way.then_some(("Repairing", message)),
            findings,
            under_way,
        })
    }

    fn seen(&self) -> repair::Seen {
        let spec = &self.cluster.spec;
        let broker = |(id, volume): (&i32, &Volume)| {
            let pod = self.pods.get(id)?;
            let broker = repair::Broker {
                ready: pod.ready,
                deleting: pod.deleting,
                asked: volume.asked,
                loss: volume.loss.clone(),
            };
            Some((*id, broker))
        };
        repair::Seen {
            wanted: spec.replicas,
            pods: self.pods_now,
            brokers: self.volumes.iter().filter_map(broker).collect(),
            said: self.brokers.map(|(_, view)| told(view)),
            now: Timestamp::now(),
            after_seconds: spec.repair.after,
        }
    }

    /// What would be at risk, in words. Of a broker that the others do not know, nothing is.
    async fn risks(&self, broker: i32) -> Vec<String> {
        let Some((client, view)) = self.brokers else {
            return Vec::new();
        };
        if !view
            .cluster
            .brokers
            .iter()
            .any(|known| known.broker == broker)
        {
            return Vec::new();
        }
        match lost_blockers(client, broker).await {
            Ok(risks) => risks,
            Err(error) => vec![format!("the brokers do not say what is at risk: {error}")],
        }
    }

    fn plan(&self, broker: i32, volume: &Volume, blockers: Vec<String>) -> Plan {
        let hash = hash(&format!("replace {broker} {}", volume.claim_uid));
        let spec = &self.cluster.spec;
        let agreed = volume.asked
            || spec.repair.mode == RepairMode::Automatic
            || spec.approve.as_ref() == Some(&hash);
        let (claim, pod) = (self.names.claim(broker), self.names.pod(broker));
        let why = volume.reason().unwrap_or_default();
        let brokers = self
            .brokers
            .iter()
            .flat_map(|(_, view)| &view.cluster.brokers);
        let known = brokers.into_iter().find(|known| known.broker == broker);
        Plan {
            kind: PlanKind::Repair,
            hash,
            approved: agreed && !spec.plan_only,
            steps: vec![
                format!("replace broker {broker} by an empty one: {why}"),
                format!("delete the claim {claim} and the pod {pod}, which are made anew"),
                "copy what the other brokers have".to_owned(),
            ],
            moves: known.map(|known| known.replicas),
            bytes: None,
            blockers,
        }
    }

    fn needed(&self, broker: i32, volume: &Volume, approved: bool) -> Finding {
        let why = volume.reason().unwrap_or_default();
        let (claim, namespace) = (self.names.claim(broker), &self.names.namespace);
        let what = match (approved, self.cluster.spec.plan_only) {
            (true, _) => "it is replaced by an empty broker as soon as that is safe".to_owned(),
            (false, true) => "spec.planOnly keeps it from being replaced".to_owned(),
            (false, false) => format!(
                "to have it replaced by an empty broker: kubectl annotate pvc {claim} --namespace {namespace} {REPLACE_ANNOTATION}=true"
            ),
        };
        Finding {
            type_: "RepairNeeded",
            holds: Some(true),
            reason: match volume.loss {
                Some(_) => "VolumeLost",
                None => "Asked",
            },
            message: format!("broker {broker}: {why}; {what}"),
        }
    }

    /// Deletes a broker's claim and its pod, if they are still those that were meant, and for the same reason.
    pub(super) async fn replace(&self, broker: i32, meant: &Volume) -> kube::Result<()> {
        let (context, namespace) = (self.context, &self.names.namespace);
        let pods: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), namespace);
        let (pod_name, claim_name) = (self.names.pod(broker), self.names.claim(broker));
        // What the watches say may be from before one of them was replaced, or came back.
        let pod = pods.get_opt(&pod_name).await?;
        let claim = claims.get_opt(&claim_name).await?;
        let (Some(pod), Some(claim)) = (pod, claim) else {
            return Ok(());
        };
        if Volume::new(&pod, &claim) != *meant || pod.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        let why = meant.reason().unwrap_or_default();
        let note = format!("replacing broker {broker} by an empty one: {why}");
        let about = Some(pod.object_ref(&()));
        publish(
            context,
            self.cluster,
            EventType::Warning,
            "BrokerReplacement",
            &note,
            about,
        )
        .await;
        claims.delete(&claim_name, &only(&meant.claim_uid)).await?;
        pods.delete(&pod_name, &only(&meant.pod_uid)).await?;
        info!(namespace, broker, why, "replacing a broker by an empty one");
        Ok(())
    }
}

fn blocked(broker: i32, blockers: &[String]) -> Option<Finding> {
    (!blockers.is_empty()).then(|| Finding {
        type_: "RepairBlocked",
        holds: Some(true),
        reason: "Unsafe",
        message: format!(
            "broker {broker} is not replaced by an empty one: {}",
            blockers.join("; ")
        ),
    })
}
