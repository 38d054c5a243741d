//! More brokers, or fewer, one step further: what the planner says is told in the status, approved, and done.

use std::collections::BTreeMap;

use fjord_client::{
    Client, Error,
    proto::{
        AddVoterRequest, AlterConfigsRequest, BalanceGoal, ConfigResource, DrainGoal,
        ListReassignmentsRequest, ListTopicsRequest, PlanReassignmentsRequest,
        PlanReassignmentsResponse, ReassignPartitionsRequest, Reassignment, RemoveVoterRequest,
        UnregisterBrokerRequest, config_resource::Resource, plan_reassignments_request::Goal,
    },
};
use tracing::info;

use super::{
    hash::hash,
    names::Names,
    observed::{BrokersView, ObservedPod},
    scaling::{Broker, Seen, Step, next, skew_percent},
};
use crate::api::{
    Cluster,
    cluster::{Plan, PlanKind, RebalanceMode},
    conditions::Finding,
};

/// The config that keeps new replicas away from a broker (KIP-1066).
const CORDONED: &str = "cordoned.log.dirs";
/// How many steps of a plan are told.
const STEPS_TOLD: usize = 10;

/// What came of it.
#[derive(Debug, Default)]
pub struct Scaled {
    /// Whether the pods beyond those that are wanted have nothing any more.
    pub drained: bool,
    /// The plan, if replicas are to move.
    pub plan: Option<Plan>,
    /// What is under way.
    pub progress: Option<(&'static str, String)>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// What a step is about.
pub struct Scale<'a> {
    /// The resource.
    pub cluster: &'a Cluster,
    /// The names of its parts.
    pub names: &'a Names,
    /// How many pods the stateful set has.
    pub pods_now: i32,
    /// The pods.
    pub pods: &'a BTreeMap<i32, ObservedPod>,
    /// The way to the brokers.
    pub client: &'a Client,
    /// What they say.
    pub view: &'a BrokersView,
}

impl Scale<'_> {
    /// Takes the next step that can be taken. What the brokers refuse is waited for.
    pub async fn step(&self) -> Scaled {
        match self.try_step().await {
            Ok(scaled) => scaled,
            Err(error) => under_way(format!("the brokers refused a step: {error}")),
        }
    }

    async fn try_step(&self) -> Result<Scaled, Error> {
        let seen = self.seen().await?;
        let step = next(&seen);
        if self.cluster.spec.plan_only && !matches!(step, Step::Nothing | Step::Drain(_)) {
            return Ok(Scaled {
                plan: Some(self.plan(PlanKind::Drain, vec![format!("{step:?}")], None)),
                ..Scaled::default()
            });
        }
        let name = &self.names.cluster;
        match step {
            Step::Nothing => return self.balance(&seen).await,
            Step::Wait(reason) => return Ok(under_way(reason)),
            Step::Refuse(reason) => return Ok(refused(reason)),
            Step::RemovePods => {
                info!(
                    cluster = name,
                    replicas = seen.wanted,
                    "the other brokers are empty; removing them"
                );
                return Ok(Scaled {
                    drained: true,
                    ..under_way("brokers are removed".to_owned())
                });
            }
            Step::Drain(brokers) => return self.drain(brokers).await,
            Step::Cordon(broker) => self.cordon(broker, true).await?,
            Step::Uncordon(broker) => self.cordon(broker, false).await?,
            Step::AddVoter(broker) => {
                self.client.add_voter(AddVoterRequest { broker }).await?;
            }
            Step::RemoveVoter(broker) => {
                self.client
                    .remove_voter(RemoveVoterRequest { broker })
                    .await?;
            }
            Step::Unregister(broker) => {
                let request = UnregisterBrokerRequest { broker };
                self.client.unregister_broker(request).await?;
            }
        }
        info!(cluster = name, ?step, "a step of scaling is done");
        Ok(under_way(format!("{step:?}")))
    }

    async fn seen(&self) -> Result<Seen, Error> {
        let wanted = self.cluster.spec.replicas;
        let broker = |broker: &fjord_client::proto::Broker| Broker {
            in_its_pod: self.names.is_host_of(broker.broker, &broker.host),
            fenced: broker.fenced,
            cordoned: broker.cordoned,
            replicas: broker.replicas,
        };
        let brokers = self.view.cluster.brokers.iter();
        let ongoing = ListReassignmentsRequest::default();
        let ongoing = self.client.list_reassignments(ongoing).await?;
        let highest_replication = match wanted < self.pods_now {
            false => 0,
            true => self.highest_replication().await?,
        };
        Ok(Seen {
            wanted,
            pods: self.pods_now,
            there: self.pods.keys().copied().collect(),
            brokers: brokers.map(|known| (known.broker, broker(known))).collect(),
            voters: self.view.voters().into_iter().collect(),
            moving: ongoing.reassignments.len(),
            highest_replication,
        })
    }

    async fn highest_replication(&self) -> Result<i32, Error> {
        let request = ListTopicsRequest {
            include_internal: true,
        };
        let topics = self.client.list_topics(request).await?.topics.into_iter();
        let highest = topics.map(|topic| topic.replication_factor).max();
        Ok(highest.unwrap_or_default())
    }

    async fn cordon(&self, broker: i32, cordoned: bool) -> Result<(), Error> {
        let mut request = AlterConfigsRequest {
            resource: Some(ConfigResource {
                resource: Some(Resource::Broker(broker)),
            }),
            ..AlterConfigsRequest::default()
        };
        match cordoned {
            true => {
                request.set.insert(CORDONED.to_owned(), "*".to_owned());
            }
            false => request.reset.push(CORDONED.to_owned()),
        }
        self.client.alter_configs(request).await.map(|_| ())
    }

    async fn drain(&self, brokers: Vec<i32>) -> Result<Scaled, Error> {
        let goal = Goal::Drain(DrainGoal { brokers });
        let planned = self.ask_for_plan(goal).await?;
        let plan = self.plan(PlanKind::Drain, steps(&planned), Some(&planned));
        if planned.moves.is_empty() {
            let left = planned.unfinished_partitions;
            return Ok(refused(format!(
                "{left} partitions cannot move to other brokers"
            )));
        }
        let approved = plan.approved;
        if approved {
            self.move_replicas(&planned).await?;
        }
        let moves = planned.moves.len();
        let progress = (
            "Draining",
            format!("{moves} partitions move to other brokers"),
        );
        Ok(Scaled {
            plan: Some(plan),
            progress: approved.then_some(progress),
            ..Scaled::default()
        })
    }

    /// Moves replicas for balance, if brokers differ too much, nothing else moves, and it is wanted.
    async fn balance(&self, seen: &Seen) -> Result<Scaled, Error> {
        let rebalance = self.cluster.spec.rebalance;
        let replicas: Vec<i32> = seen
            .brokers
            .values()
            .map(|broker| broker.replicas)
            .collect();
        let skew = skew_percent(&replicas);
        let balanced = |holds, reason, message: String| Finding {
            type_: "Balanced",
            holds: Some(holds),
            reason,
            message,
        };
        let told = format!("the fullest broker has {skew}% more replicas than the mean");
        if seen.moving > 0 {
            let message = format!("{} partitions move", seen.moving);
            return Ok(Scaled {
                findings: vec![balanced(false, "Moving", message.clone())],
                progress: Some(("Rebalancing", message)),
                ..Scaled::default()
            });
        }
        let just = |holds, reason| Scaled {
            findings: vec![balanced(holds, reason, told.clone())],
            ..Scaled::default()
        };
        if skew <= rebalance.threshold {
            return Ok(just(true, "WithinThreshold"));
        }
        if rebalance.mode == RebalanceMode::Off {
            return Ok(just(false, "Skewed"));
        }
        let planned = self.ask_for_plan(Goal::Balance(BalanceGoal {})).await?;
        if planned.moves.is_empty() {
            return Ok(just(true, "NothingBetter"));
        }
        let plan = self.plan(PlanKind::Balance, steps(&planned), Some(&planned));
        let approved = plan.approved;
        if approved {
            self.move_replicas(&planned).await?;
        }
        let moves = planned.moves.len();
        let progress = ("Rebalancing", format!("{moves} partitions move"));
        Ok(Scaled {
            plan: Some(plan),
            progress: approved.then_some(progress),
            ..just(false, "Skewed")
        })
    }

    /// A plan of no more moves than may be under way at once; the next one follows when they are done.
    async fn ask_for_plan(&self, goal: Goal) -> Result<PlanReassignmentsResponse, Error> {
        let most = u32::try_from(self.cluster.spec.rebalance.max_moves).unwrap_or(1);
        let request = PlanReassignmentsRequest {
            goal: Some(goal),
            max_moves: most,
            max_leader_moves: 0,
        };
        self.client.plan_reassignments(request).await
    }

    async fn move_replicas(&self, planned: &PlanReassignmentsResponse) -> Result<(), Error> {
        let moves = planned.moves.iter().map(|planned| Reassignment {
            topic: planned.topic.clone(),
            partition: planned.partition,
            replicas: planned.to.clone(),
        });
        let request = ReassignPartitionsRequest {
            reassignments: moves.collect(),
            keep_replication_factor: true,
        };
        let outcomes = self.client.reassign_partitions(request).await?.partitions;
        match outcomes.into_iter().find_map(|outcome| outcome.error) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn plan(
        &self,
        kind: PlanKind,
        steps: Vec<String>,
        planned: Option<&PlanReassignmentsResponse>,
    ) -> Plan {
        let hash = hash(&format!("{kind:?} {}", steps.join("\n")));
        let spec = &self.cluster.spec;
        let asks = kind == PlanKind::Balance && spec.rebalance.mode == RebalanceMode::Manual;
        let agreed = !asks || spec.approve.as_ref() == Some(&hash);
        let moves = planned.map(|planned| i32::try_from(planned.moves.len()).unwrap_or(i32::MAX));
        Plan {
            kind,
            hash,
            approved: agreed && !spec.plan_only,
            steps: steps.into_iter().take(STEPS_TOLD).collect(),
            moves,
            bytes: planned.map(|planned| planned.bytes),
            blockers: Vec::new(),
        }
    }
}

/// What would move, without sizes: they change all the time, and a plan's hash is made of this.
fn steps(planned: &PlanReassignmentsResponse) -> Vec<String> {
    let step = |planned: &fjord_client::proto::PlannedMove| {
        let (topic, partition) = (&planned.topic, planned.partition);
        format!(
            "{topic}/{partition}: {:?} -> {:?}",
            planned.from, planned.to
        )
    };
    planned.moves.iter().map(step).collect()
}

fn under_way(reason: String) -> Scaled {
    Scaled {
        progress: Some(("Scaling", reason)),
        ..Scaled::default()
    }
}

fn refused(reason: String) -> Scaled {
    Scaled {
        findings: vec![Finding {
            type_: "ScaleBlocked",
            holds: Some(true),
            reason: "Unsafe",
            message: reason,
        }],
        ..Scaled::default()
    }
}
