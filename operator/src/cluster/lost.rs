//! Whether a broker's volume is lost, as far as its pod and its claim tell.
//!
//! The operator may not read nodes and volumes, which belong to the whole of Kubernetes. But the scheduler says of a
//! pod that fits nowhere how many nodes are out of the question and why. A volume that can only be used on a node
//! that is gone is out of reach of all nodes that are left; a node that merely takes no pods now is counted under
//! that other reason.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, Pod, PodCondition},
    jiff::Timestamp,
};
use kube::{ResourceExt, runtime::reflector::ObjectRef};

use super::{
    names::{Names, REPLACE_ANNOTATION},
    stores::Stores,
};

/// How schedulers say that a node cannot use a volume, the newest first.
const OUT_OF_REACH: [&str; 3] = [
    "node(s) didn't match PersistentVolume's node affinity",
    "node(s) had volume node affinity conflict",
    "node(s) didn't satisfy plugin(s) [VolumeBinding]",
];

/// A volume that is lost, or seems to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What is wrong.
    pub why: String,
    /// Since when the broker has been without it.
    pub since: Timestamp,
    /// Why it may still be there.
    pub doubt: Option<String>,
}

/// A broker's volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// The unique id of the pod that uses it.
    pub pod_uid: String,
    /// The unique id of its claim.
    pub claim_uid: String,
    /// Whether somebody says that the broker is to be replaced.
    pub asked: bool,
    /// Whether it is lost.
    pub loss: Option<Loss>,
}

impl Volume {
    /// What a pod and its claim tell.
    #[must_use]
    pub fn new(pod: &Pod, claim: &PersistentVolumeClaim) -> Self {
        let asks = |annotations: &BTreeMap<String, String>| {
            annotations.get(REPLACE_ANNOTATION).map(String::as_str) == Some("true")
        };
        Self {
            pod_uid: pod.uid().unwrap_or_default(),
            claim_uid: claim.uid().unwrap_or_default(),
            asked: asks(pod.annotations()) || asks(claim.annotations()),
            loss: loss(pod, claim),
        }
    }

    /// Why the broker is to be replaced; nothing if it is not.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        let lost = self.loss.as_ref().map(|loss| loss.why.as_str());
        let asked = "its pod or its claim is annotated to have it replaced";
        lost.or(self.asked.then_some(asked))
    }
}

/// The volumes of a cluster's brokers, as the watches tell.
#[must_use]
pub fn volumes(stores: &Stores, names: &Names) -> BTreeMap<i32, Volume> {
    let claims = super::volumes::claims(stores, names).into_iter();
    let volume = |claim: std::sync::Arc<PersistentVolumeClaim>| {
        let broker = super::names::index(&*claim)?;
        let pod = ObjectRef::new(&names.pod(broker)).within(&names.namespace);
        let pod = stores.pods.get(&pod)?;
        Some((broker, Volume::new(&pod, &claim)))
    };
    claims.filter_map(volume).collect()
}

fn loss(pod: &Pod, claim: &PersistentVolumeClaim) -> Option<Loss> {
    let phase = claim.status.as_ref().and_then(|told| told.phase.as_deref());
    let unscheduled = false_condition(pod, "PodScheduled");
    let since = |condition: Option<&PodCondition>| {
        let changed = condition.and_then(|condition| condition.last_transition_time.clone());
        let made = || pod.metadata.creation_timestamp.clone();
        changed.or_else(made).map(|time| time.0)
    };
    if phase == Some("Lost") {
        return Some(Loss {
            why: format!("the volume of its claim {} is gone", claim.name_any()),
            since: since(unscheduled.or(false_condition(pod, "Ready")))?,
            doubt: None,
        });
    }
    let others = other_reasons(unscheduled?.message.as_deref()?)?;
    let doubt = format!(
        "its volume may be on a node that takes no pods at present ({})",
        others.join(", ")
    );
    Some(Loss {
        why: "no node can use its volume".to_owned(),
        since: since(unscheduled)?,
        doubt: (!others.is_empty()).then_some(doubt),
    })
}

fn false_condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let wanted = |known: &&PodCondition| known.type_ == type_ && known.status == "False";
    conditions.iter().find(wanted)
}

/// The reasons for which nodes are out of the question other than a volume that is out of their reach, from what the
/// scheduler says: `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had volume node affinity conflict. ...`.
/// Nothing if no node is out of the question because of a volume.
fn other_reasons(message: &str) -> Option<Vec<String>> {
    let (nodes, reasons) = message.split_once(" nodes are available: ")?;
    let nodes: u32 = nodes.strip_prefix("0/")?.parse().ok()?;
    let reasons = reasons.split(". ").next()?.trim_end_matches('.');
    let out_of_reach = |reason: &str| {
        let (count, reason) = reason.split_once(' ')?;
        OUT_OF_REACH.contains(&reason).then_some(())?;
        count.parse::<u32>().ok()
    };
    let counts: Vec<u32> = reasons.split(", ").filter_map(out_of_reach).collect();
    let counted = counts.iter().fold(0_u32, |sum, n| sum.saturating_add(*n));
    if counts.is_empty() {
        return None;
    }
    let others = reasons
        .split(", ")
        .filter(|told| out_of_reach(told).is_none());
    let mut others: Vec<String> = others.map(str::to_owned).collect();
    if counted != nodes && others.is_empty() {
        others.push(format!(
            "{nodes} nodes, of which {counted} are accounted for"
        ));
    }
    Some(others)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(annotations: Value, conditions: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "orders-1", "uid": "p", "annotations": annotations,
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "status": {"conditions": conditions},
        }))
        .unwrap()
    }

    fn claim(annotations: Value, phase: &str) -> PersistentVolumeClaim {
        serde_json::from_value(json!({
            "metadata": {"name": "data-orders-1", "uid": "c", "annotations": annotations},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    fn unscheduled(message: &str) -> Option<Loss> {
        let condition = json!([{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": message, "lastTransitionTime": "2026-01-01T00:00:07Z",
        }]);
        Volume::new(&pod(json!({}), condition), &claim(json!({}), "Bound")).loss
    }

    #[test]
    fn a_volume_that_no_node_can_use_is_lost() {
        for message in [
            "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity. no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
            "0/2 nodes are available: 2 node(s) had volume node affinity conflict. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
            "0/1 nodes are available: 1 node(s) didn't satisfy plugin(s) [VolumeBinding].",
        ] {
            let loss = unscheduled(message).unwrap();
            assert_eq!(loss.doubt, None, "{message}");
            assert_eq!(loss.since, "2026-01-01T00:00:07Z".parse().unwrap());
        }
    }

    #[test]
    fn a_node_that_is_only_out_of_order_may_have_it() {
        for other in [
            "1 node(s) were unschedulable",
            "1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }",
            "1 Insufficient memory",
            "1 node(s) didn't satisfy plugin(s) [NodeAffinity VolumeBinding]",
        ] {
            let message = format!(
                "0/3 nodes are available: {other}, 2 node(s) had volume node affinity conflict. preemption: none"
            );
            let doubt = unscheduled(&message).unwrap().doubt.unwrap();
            assert!(doubt.contains(other), "{doubt}");
        }
        let more = "0/3 nodes are available: 2 node(s) had volume node affinity conflict.";
        assert!(unscheduled(more).unwrap().doubt.is_some());
    }

    #[test]
    fn what_has_nothing_to_do_with_volumes_is_no_loss() {
        for message in [
            "",
            "0/3 nodes are available: 3 Insufficient cpu.",
            "0/0 nodes are available: .",
            "persistentvolumeclaim \"data-orders-1\" is being deleted",
            "3 node(s) had volume node affinity conflict",
        ] {
            assert_eq!(unscheduled(message), None, "{message}");
        }
        let well = Volume::new(&pod(json!({}), json!([])), &claim(json!({}), "Bound"));
        assert_eq!(well.reason(), None);
    }

    #[test]
    fn a_claim_whose_volume_is_gone_is_lost_since_its_broker_stopped() {
        let conditions = json!([
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:09Z"},
        ]);
        let lost = claim(json!({}), "Lost");
        let loss = Volume::new(&pod(json!({}), conditions), &lost)
            .loss
            .unwrap();
        assert_eq!(loss.since, "2026-01-01T00:00:09Z".parse().unwrap());
        assert!(loss.why.contains("data-orders-1") && loss.doubt.is_none());
        let loss = Volume::new(&pod(json!({}), json!([])), &lost).loss.unwrap();
        assert_eq!(loss.since, "2026-01-01T00:00:00Z".parse().unwrap());
    }

    #[test]
    fn an_annotation_asks_for_it() {
        let yes = json!({REPLACE_ANNOTATION: "true"});
        let no = json!({REPLACE_ANNOTATION: "false"});
        let asked = |pod_says: &Value, claim_says: &Value| {
            let pod = pod(pod_says.clone(), json!([]));
            Volume::new(&pod, &claim(claim_says.clone(), "Bound")).asked
        };
        assert!(asked(&yes, &no) && asked(&no, &yes) && !asked(&no, &no));
    }
}
