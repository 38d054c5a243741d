//! A change of configs: which brokers take while they run, and which would keep a broker from starting.

use std::collections::{BTreeMap, BTreeSet};

use fjord_client::{
    Client,
    proto::{
        AlterConfigsRequest, CheckConfigsRequest, ConfigResource, DescribeConfigsRequest,
        config_resource::Resource,
    },
};

type Configs = BTreeMap<String, String>;

/// Changes of configs that brokers take while they run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Those that have a value.
    pub set: Configs,
    /// Those that are set no more.
    pub reset: Vec<String>,
}

/// How the configs `wanted` differ from those `accepted`, as far as they are `dynamic`.
#[must_use]
pub fn change(accepted: &Configs, wanted: &Configs, dynamic: &BTreeSet<String>) -> Change {
    let set = wanted.iter();
    let set =
        set.filter(|(name, value)| dynamic.contains(*name) && accepted.get(*name) != Some(*value));
    let reset = accepted.keys();
    let reset = reset.filter(|name| dynamic.contains(*name) && !wanted.contains_key(*name));
    Change {
        set: set
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        reset: reset.cloned().collect(),
    }
}

/// The names of configs that differ.
#[must_use]
pub fn differing(accepted: &Configs, wanted: &Configs) -> BTreeSet<String> {
    let names = accepted.keys().chain(wanted.keys());
    let differs = |name: &&String| accepted.get(*name) != wanted.get(*name);
    names.filter(differs).cloned().collect()
}

/// Which of `names` brokers take while they run. `broker` is one that answers.
///
/// # Errors
///
/// They do not answer.
pub async fn dynamic(
    client: &Client,
    broker: i32,
    names: &BTreeSet<String>,
) -> fjord_client::Result<BTreeSet<String>> {
    if names.is_empty() {
        return Ok(BTreeSet::new());
    }
    // A name that no broker knows would be refused, and with it the question; so all are asked for.
    let request = DescribeConfigsRequest {
        resource: Some(ConfigResource {
            resource: Some(Resource::Broker(broker)),
        }),
        names: Vec::new(),
    };
    let configs = client.describe_configs(request).await?.configs.into_iter();
    let changeable = configs.filter(|config| !config.read_only);
    let changeable = changeable.map(|config| config.name);
    Ok(changeable.filter(|name| names.contains(name)).collect())
}

/// What is wrong with what a broker would be started with, in words.
///
/// # Errors
///
/// The brokers do not answer.
pub async fn problems(client: &Client, file: &Configs) -> fjord_client::Result<Vec<String>> {
    let configs = file.iter();
    let request = CheckConfigsRequest {
        configs: configs
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    };
    let problems = client.check_configs(request).await?.problems;
    let told = |problem: fjord_client::proto::ConfigProblem| {
        format!("{}: {}", problem.name, problem.reason)
    };
    Ok(problems.into_iter().map(told).collect())
}

/// Changes configs of all brokers while they run.
///
/// # Errors
///
/// They refuse it, or do not answer.
pub async fn alter(client: &Client, change: Change) -> fjord_client::Result<()> {
    if change == Change::default() {
        return Ok(());
    }
    let request = AlterConfigsRequest {
        resource: Some(ConfigResource {
            resource: Some(Resource::AllBrokers(true)),
        }),
        set: change.set.into_iter().collect(),
        reset: change.reset,
        validate_only: false,
    };
    client.alter_configs(request).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dynamic_configs_are_altered() {
        let configs = |list: &[(&str, &str)]| -> Configs {
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            list.iter().map(own).collect()
        };
        let accepted = configs(&[("a", "1"), ("b", "1"), ("c", "1"), ("s", "1")]);
        let wanted = configs(&[("a", "2"), ("b", "1"), ("d", "1"), ("s", "2")]);
        let dynamic = ["a", "b", "c", "d"].map(str::to_owned).into();
        assert_eq!(
            change(&accepted, &wanted, &dynamic),
            Change {
                set: configs(&[("a", "2"), ("d", "1")]),
                reset: vec!["c".to_owned()],
            }
        );
        let names = ["a", "c", "d", "s"].map(str::to_owned).into();
        assert_eq!(differing(&accepted, &wanted), names);
    }
}
