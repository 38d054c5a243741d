//! Plans of reassignments for `ClusterService`: computed from the metadata and the sizes of partitions, and not
//! carried out.

use std::collections::{BTreeMap, BTreeSet};

use fjord_proto::v1::{
    PlanReassignmentsRequest, PlanReassignmentsResponse, PlannedMove,
    plan_reassignments_request::Goal as Asked,
};
use tonic::Status;

use super::{backend::unknown_topic, error, numbers::count};
use crate::metadata::{
    Image,
    plan::{self, Bounds, Goal, PartitionKey},
};

const DEFAULT_MAX_MOVES: u32 = 1_000;
const DEFAULT_MAX_LEADER_MOVES: u32 = 10_000;

/// What is to be planned.
#[derive(Debug)]
pub struct Wanted {
    goal: Goal,
    bounds: Bounds,
}

/// The goal and the bounds of a request.
///
/// # Errors
///
/// If the goal makes no sense, or names what is not there.
pub fn wanted(image: &Image, request: PlanReassignmentsRequest) -> Result<Wanted, Status> {
    let goal = match request.goal {
        None => return Err(error::invalid("say what the plan is to reach")),
        Some(Asked::Balance(_)) => Goal::Balance,
        Some(Asked::Drain(asked)) => {
            let brokers: BTreeSet<i32> = asked.brokers.into_iter().collect();
            if brokers.is_empty() {
                return Err(error::invalid("name the brokers that are to be drained"));
            }
            Goal::Drain(brokers)
        }
        Some(Asked::ReplicationFactor(asked)) => {
            if asked.topics.is_empty() {
                return Err(error::invalid(
                    "name the topics that are to have other replicas",
                ));
            }
            if let Some(unknown) = asked.topics.iter().find(|n| image.topic(n).is_none()) {
                return Err(error::status(&unknown_topic(unknown)));
            }
            let factor = usize::try_from(asked.replication_factor).ok();
            let factor = factor.filter(|factor| (1..=image.broker_count()).contains(factor));
            Goal::ReplicationFactor {
                topics: asked.topics.into_iter().collect(),
                factor: factor.ok_or_else(|| {
                    error::invalid("there is at least one replica, and at most one for each broker")
                })?,
            }
        }
    };
    let bound = |given: u32, default: u32| {
        let bound = if given == 0 { default } else { given };
        usize::try_from(bound).unwrap_or(usize::MAX)
    };
    let bounds = Bounds {
        max_moves: bound(request.max_moves, DEFAULT_MAX_MOVES),
        max_leader_moves: bound(request.max_leader_moves, DEFAULT_MAX_LEADER_MOVES),
    };
    Ok(Wanted { goal, bounds })
}

/// Computes a plan, which may take seconds where there are very many partitions.
pub fn planned(
    image: &Image,
    sizes: &BTreeMap<PartitionKey, u64>,
    wanted: &Wanted,
) -> PlanReassignmentsResponse {
    let Wanted { goal, bounds } = wanted;
    let moves = plan::plan(image, sizes, goal, *bounds);
    let unfinished = plan::unfinished(image, goal, &moves);
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let bytes = moves.iter().map(|planned| planned.bytes);
    PlanReassignmentsResponse {
        bytes: signed(bytes.fold(0, u64::saturating_add)),
        unfinished_partitions: count(unfinished),
        moves: moves
            .into_iter()
            .map(|planned| PlannedMove {
                topic: planned.topic.to_string(),
                partition: count(planned.index),
                from: planned.from,
                to: planned.to,
                bytes: signed(planned.bytes),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use fjord_proto::v1::{BalanceGoal, DrainGoal, ReplicationFactorGoal};
    use tonic::Code;

    use super::*;
    use crate::metadata::commands::{
        self,
        testing::{DEFAULTS, image_with_brokers, new_topic},
    };

    /// Four brokers, and a topic of one partition on brokers 0 to 2.
    fn image() -> Image {
        let image = image_with_brokers(4);
        let mut topic = new_topic("t");
        topic.assignments = vec![(0, vec![0, 1, 2])];
        let created = commands::create_topics(&image, &[topic], DEFAULTS).unwrap();
        created.records.into_iter().fold(image, Image::apply)
    }

    fn plan(goal: Option<Asked>) -> Result<PlanReassignmentsResponse, Status> {
        let image = image();
        let request = PlanReassignmentsRequest {
            goal,
            max_moves: 0,
            max_leader_moves: 0,
        };
        let sizes = BTreeMap::from([(("t".into(), 0), 1_000)]);
        Ok(planned(&image, &sizes, &wanted(&image, request)?))
    }

    fn factor(topic: &str, replication_factor: i32) -> Option<Asked> {
        Some(Asked::ReplicationFactor(ReplicationFactorGoal {
            topics: vec![topic.to_owned()],
            replication_factor,
        }))
    }

    #[test]
    fn a_plan_says_what_moves_and_how_much_that_is() {
        let brokers = vec![1];
        let drained = plan(Some(Asked::Drain(DrainGoal { brokers }))).unwrap();
        assert_eq!((drained.bytes, drained.unfinished_partitions), (1_000, 0));
        let planned = &drained.moves[0];
        assert_eq!((planned.topic.as_str(), planned.partition), ("t", 0));
        assert_eq!(
            (&planned.from, &planned.to),
            (&vec![0, 1, 2], &vec![0, 3, 2])
        );

        let more = plan(factor("t", 4)).unwrap();
        assert_eq!(more.moves[0].to, [0, 1, 2, 3]);
        let none = plan(Some(Asked::Balance(BalanceGoal {}))).unwrap();
        assert_eq!((none.moves, none.bytes), (vec![], 0));
    }

    #[test]
    fn a_goal_that_makes_no_sense_is_refused() {
        let brokers = vec![];
        let code = |goal| plan(goal).unwrap_err().code();
        assert_eq!(code(None), Code::InvalidArgument);
        let nobody = Some(Asked::Drain(DrainGoal { brokers }));
        assert_eq!(code(nobody), Code::InvalidArgument);
        for replicas in [-1, 0, 5] {
            assert_eq!(code(factor("t", replicas)), Code::InvalidArgument);
        }
        assert_eq!(code(factor("u", 1)), Code::NotFound);
    }
}
