//! Moving replicas: drains and balance, as plans that the brokers make, told in the status, approved, and carried out.

use fjord_client::{
    Error,
    proto::{
        BalanceGoal, DrainGoal, PlanReassignmentsRequest, PlanReassignmentsResponse, PlannedMove,
        ReassignPartitionsRequest, Reassignment, plan_reassignments_request::Goal,
    },
};

use super::{
    hash::hash,
    scale::{Scale, Scaled, refused},
    scaling::{Seen, skew_percent},
};
use crate::api::{
    cluster::{Plan, PlanKind, RebalanceMode},
    conditions::Finding,
};

/// How many steps of a plan are told.
const STEPS_TOLD: usize = 10;

impl Scale<'_> {
    /// Moves what these brokers have to others.
    pub(super) async fn drain(&self, brokers: Vec<i32>) -> Result<Scaled, Error> {
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
    pub(super) async fn balance(&self, seen: &Seen) -> Result<Scaled, Error> {
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

    /// What is told of steps, and whether they are agreed to.
    pub(super) fn plan(
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
    let step = |planned: &PlannedMove| {
        let (topic, partition) = (&planned.topic, planned.partition);
        format!(
            "{topic}/{partition}: {:?} -> {:?}",
            planned.from, planned.to
        )
    };
    planned.moves.iter().map(step).collect()
}
