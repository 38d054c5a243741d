//! A rolling restart, one step further: what the planner says is told in the status, approved, and done.

use std::collections::{BTreeMap, BTreeSet};

use fjord_client::Client;

use super::{
    configs,
    hash::hash,
    observed::{BrokersView, ObservedPod},
    resources::Blueprint,
    restart,
    rollout::{Brokers, Pod, Step, next},
    template::Template,
};
use crate::{
    api::{
        cluster::{Approval, Plan, PlanKind},
        conditions::Finding,
    },
    context::Context,
};

/// How many steps of a plan are told.
const STEPS_TOLD: usize = 10;

/// What came of it.
#[derive(Debug, Default)]
pub struct Rolled {
    /// The plan, if brokers are not as they should be.
    pub plan: Option<Plan>,
    /// What is under way.
    pub progress: Option<(&'static str, String)>,
    /// What keeps it from going on.
    pub findings: Vec<Finding>,
}

/// Takes the next step that can be taken.
///
/// # Errors
///
/// The API server refuses it, or was not reached.
pub async fn roll(
    context: &Context,
    blueprint: &Blueprint<'_>,
    pods: &BTreeMap<i32, ObservedPod>,
    brokers: Option<(&Client, &BrokersView)>,
) -> kube::Result<Rolled> {
    let wanted = Template::new(blueprint);
    let client = brokers.map(|(client, _)| client);
    let view = brokers.map(|(_, view)| view);
    let differing = pods
        .values()
        .map(|pod| pod.template.differing_configs(&wanted));
    let differing: BTreeSet<String> = differing.flatten().collect();
    let dynamic = match brokers {
        Some((client, view)) => configs::dynamic(client, view.cluster.broker, &differing).await,
        None => Ok(BTreeSet::new()),
    };
    let Ok(dynamic) = dynamic else {
        return Ok(waits("the brokers do not answer".to_owned(), None));
    };
    let staying = pods.range(..blueprint.replicas);
    let planned: BTreeMap<i32, Pod> = staying
        .map(|(broker, pod)| (*broker, planned(*broker, pod, &wanted, &dynamic)))
        .collect();
    let said = view.map(told);
    let step = next(&planned, blueprint.replicas, said.as_ref());
    if step == Step::Nothing {
        return Ok(Rolled::default());
    }
    let mut plan = plan(blueprint, &planned, &wanted);
    let (broker, uid, serves, difference) = match step {
        Step::Nothing => return Ok(Rolled::default()),
        Step::Wait(reason) => return Ok(waits(reason, Some(plan))),
        Step::Restart {
            broker,
            uid,
            serves,
            difference,
        } => (broker, uid, serves, difference),
    };
    if serves {
        let Some(client) = client else {
            return Ok(waits("the brokers do not answer".to_owned(), Some(plan)));
        };
        match restart::blockers(client, broker).await {
            Ok(blockers) if blockers.is_empty() => {}
            Ok(blockers) => {
                plan.blockers = blockers;
                return Ok(blocked(broker, plan));
            }
            Err(error) => {
                let reason = format!("the brokers do not say what is at risk: {error}");
                return Ok(waits(reason, Some(plan)));
            }
        }
    }
    if !plan.approved {
        return Ok(Rolled {
            plan: Some(plan),
            ..Rolled::default()
        });
    }
    let (cluster, names) = (blueprint.cluster, &blueprint.names);
    restart::restart(context, cluster, names, broker, &uid, serves, &difference).await?;
    Ok(Rolled {
        plan: Some(plan),
        progress: Some(("RollingRestart", format!("broker {broker} restarts"))),
        findings: Vec::new(),
    })
}

fn planned(broker: i32, pod: &ObservedPod, wanted: &Template, dynamic: &BTreeSet<String>) -> Pod {
    Pod {
        uid: pod.uid.clone(),
        ready: pod.ready,
        deleting: pod.deleting,
        failing: pod.failing.clone(),
        difference: pod.template.difference(wanted, broker, dynamic),
    }
}

/// What the brokers say, for planners.
#[must_use]
pub fn told(view: &BrokersView) -> Brokers {
    let brokers = &view.cluster.brokers;
    let out_of_sync = brokers
        .iter()
        .map(|broker| (broker.broker, broker.out_of_sync));
    let fenced = brokers.iter().filter(|broker| broker.fenced);
    Brokers {
        leader: Some(view.quorum.leader),
        out_of_sync: out_of_sync.collect(),
        fenced: fenced.map(|broker| broker.broker).collect(),
    }
}

/// The plan. Its hash is that of what brokers are to be made from, and stays while they are restarted one by one.
fn plan(blueprint: &Blueprint<'_>, pods: &BTreeMap<i32, Pod>, wanted: &Template) -> Plan {
    let hash = hash(&format!("restart {}", wanted.written()));
    let spec = &blueprint.cluster.spec;
    let agreed = match spec.rolling.approval {
        Approval::Automatic => true,
        Approval::Manual => spec.approve.as_ref() == Some(&hash),
    };
    let outdated = pods.iter().filter(|(_, pod)| !pod.difference.is_empty());
    let step = |(broker, pod): (&i32, &Pod)| {
        let difference = pod.difference.join("; ");
        format!("restart broker {broker}: {difference}")
    };
    Plan {
        kind: PlanKind::Restart,
        hash,
        approved: agreed && !spec.plan_only,
        steps: outdated.map(step).take(STEPS_TOLD).collect(),
        moves: None,
        bytes: None,
        blockers: Vec::new(),
    }
}

fn waits(reason: String, plan: Option<Plan>) -> Rolled {
    let under_way = plan.as_ref().is_none_or(|plan| plan.approved);
    Rolled {
        plan,
        progress: under_way.then_some(("RollingRestart", reason)),
        findings: Vec::new(),
    }
}

fn blocked(broker: i32, plan: Plan) -> Rolled {
    let message = format!("without broker {broker}: {}", plan.blockers.join("; "));
    let finding = Finding {
        type_: "RollBlocked",
        holds: Some(true),
        reason: "Unsafe",
        message: message.clone(),
    };
    Rolled {
        progress: Some(("RollingRestart", message)),
        plan: Some(plan),
        findings: vec![finding],
    }
}
