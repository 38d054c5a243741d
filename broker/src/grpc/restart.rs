//! Restarts of brokers for `ClusterService`: what would be at risk.

use std::collections::BTreeSet;

use fjord_proto::v1::{CheckRestartRequest, CheckRestartResponse, RestartRisk, RestartRiskKind};
use fjord_wire::ErrorCode;
use tonic::Status;

use super::{error, numbers::count};
use crate::api::error::ApiError;
use crate::metadata::{
    Image,
    commands::ElectionDefaults,
    restart::{Risk, risks},
};

const DEFAULT_MAX_RISKS: usize = 20;

/// The answer to a question about brokers.
///
/// # Errors
///
/// If no broker is named, or one that is not there.
pub fn checked(
    image: &Image,
    request: CheckRestartRequest,
    voters: &[i32],
    defaults: ElectionDefaults,
) -> Result<CheckRestartResponse, Status> {
    let brokers: BTreeSet<i32> = request.brokers.into_iter().collect();
    if brokers.is_empty() {
        return Err(error::invalid("name the brokers that are to be restarted"));
    }
    if let Some(unknown) = brokers.iter().find(|id| image.broker(**id).is_none()) {
        let error = ApiError::new(
            ErrorCode::BrokerIdNotRegistered,
            format!("there is no broker {unknown}"),
        );
        return Err(error::status(&error));
    }
    let risks = risks(image, &brokers, request.lost, voters, defaults);
    let max_risks = match request.max_risks {
        0 => DEFAULT_MAX_RISKS,
        some => usize::try_from(some).unwrap_or(usize::MAX),
    };
    let partitions = image.partitions();
    let leaders = partitions.filter(|(_, _, partition)| brokers.contains(&partition.leader));
    Ok(CheckRestartResponse {
        risk_count: count(risks.len()),
        leaders: count(leaders.count()),
        risks: risks.into_iter().take(max_risks).map(told).collect(),
    })
}

fn told(risk: Risk) -> RestartRisk {
    match risk {
        Risk::NoQuorum { left, needed } => RestartRisk {
            kind: RestartRiskKind::NoQuorum.into(),
            topic: String::new(),
            partition: -1,
            left,
            needed: count(needed),
        },
        Risk::Partition {
            topic,
            index,
            left,
            needed,
        } => RestartRisk {
            kind: match left.is_empty() {
                true => RestartRiskKind::NoLeader,
                false => RestartRiskKind::UnderMinInSync,
            }
            .into(),
            topic,
            partition: count(index),
            left,
            needed: count(needed),
        },
        Risk::LostRecords { topic, index } => RestartRisk {
            kind: RestartRiskKind::LostRecords.into(),
            topic,
            partition: count(index),
            left: Vec::new(),
            needed: 1,
        },
    }
}
