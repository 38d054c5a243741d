//! Conditions of a resource, as the Kubernetes API conventions want them.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// What is wrong or right with a resource, before it is known since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Such as `Ready`.
    pub type_: &'static str,
    /// Whether it holds; nothing if that cannot be told.
    pub holds: Option<bool>,
    /// One word that programs may compare.
    pub reason: &'static str,
    /// A sentence for people, with names and numbers.
    pub message: String,
}

/// The conditions that follow from `findings`. A condition keeps its time of transition while its status stays.
pub fn merged(
    old: &[Condition],
    findings: &[Finding],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |finding: &Finding| {
        let status = match finding.holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let before = old
            .iter()
            .find(|old| old.type_ == finding.type_ && old.status == status);
        Condition {
            type_: finding.type_.to_owned(),
            status: status.to_owned(),
            reason: finding.reason.to_owned(),
            message: finding.message.clone(),
            observed_generation: generation,
            last_transition_time: before.map_or(Time(now), |old| old.last_transition_time.clone()),
        }
    };
    findings.iter().map(condition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_transition_stays_while_the_status_does() {
        let finding = |holds, message: &str| Finding {
            type_: "Ready",
            holds: Some(holds),
            reason: "Reason",
            message: message.to_owned(),
        };
        let (then, now) = (
            Timestamp::from_second(1).unwrap(),
            Timestamp::from_second(2).unwrap(),
        );
        let first = merged(&[], &[finding(true, "a")], Some(1), then);
        let same = merged(&first, &[finding(true, "b")], Some(2), now);
        assert_eq!(same[0].last_transition_time, Time(then));
        assert_eq!(
            (same[0].message.as_str(), same[0].observed_generation),
            ("b", Some(2))
        );
        let other = merged(&same, &[finding(false, "b")], Some(2), now);
        assert_eq!(other[0].last_transition_time, Time(now));
    }
}
