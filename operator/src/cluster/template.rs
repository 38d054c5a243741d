//! What brokers are made from, field by field, so that a restart can be told as a difference before it happens.
//!
//! Only what the resource says is in it: another release of the operator, other peers or another number of brokers are
//! no reason for a restart.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::resources::Blueprint;

/// Begins the names of fields that are about configs.
const CONFIG: &str = "config.";
/// Begins the names of fields that are about one broker only, whose number follows.
const EXTERNAL: &str = "external.";
/// How many characters of a value are told.
const SHOWN: usize = 60;

/// The fields from which pods are made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template(BTreeMap<String, String>);

impl Template {
    /// The fields that a blueprint asks for.
    #[must_use]
    pub fn new(blueprint: &Blueprint<'_>) -> Self {
        let spec = &blueprint.cluster.spec;
        let mut fields = BTreeMap::new();
        let mut field = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
        };
        let pod = &spec.pod;
        field("image", Some(blueprint.image.to_owned()));
        field("imagePullSecrets", told(&spec.image_pull_secrets));
        field("resources", told(&spec.resources));
        field("rack", spec.rack.as_ref().map(|rack| rack.key.clone()));
        field("pod.annotations", told(&pod.annotations));
        field("pod.labels", told(&pod.labels));
        field("pod.affinity", told(&pod.affinity));
        field("pod.tolerations", told(&pod.tolerations));
        field("pod.nodeSelector", told(&pod.node_selector));
        field("pod.topologySpread", told(&pod.topology_spread_constraints));
        field("pod.priorityClassName", pod.priority_class_name.clone());
        let grace = pod.termination_grace_period_seconds;
        field("pod.terminationGracePeriodSeconds", told(&grace));
        for (broker, address) in &blueprint.external {
            field(&format!("{EXTERNAL}{broker}"), Some(address.clone()));
        }
        for (name, value) in blueprint.config {
            field(&format!("{CONFIG}{name}"), Some(value.clone()));
        }
        Self(fields)
    }

    /// What was written by [`written`](Self::written); nothing is known of what is not of that form.
    #[must_use]
    pub fn read(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_default())
    }

    /// The fields as a text, for the annotation of pods.
    #[must_use]
    pub fn written(&self) -> String {
        serde_json::Value::from_iter(self.0.clone()).to_string()
    }

    /// In what the pod of `broker`, made from `self`, differs from what is wanted, in words.
    ///
    /// Configs in `dynamic` are set while brokers run, so that another value is no reason for a restart. But a broker
    /// that was started with one that is named no longer would still have it.
    #[must_use]
    pub fn difference(
        &self,
        wanted: &Self,
        broker: i32,
        dynamic: &BTreeSet<String>,
    ) -> Vec<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(wanted.0.keys()).collect();
        let own = format!("{EXTERNAL}{broker}");
        let concerns = |name: &str| !name.starts_with(EXTERNAL) || name == own;
        let covered = |name: &str| {
            let config = name.strip_prefix(CONFIG);
            config.is_some_and(|config| dynamic.contains(config)) && wanted.0.contains_key(name)
        };
        names
            .into_iter()
            .filter(|name| concerns(name) && !covered(name))
            .filter_map(|name| {
                let (have, want) = (self.0.get(name), wanted.0.get(name));
                (have != want).then(|| format!("{name}: {} -> {}", shown(have), shown(want)))
            })
            .collect()
    }

    /// The names of configs in which the two differ.
    #[must_use]
    pub fn differing_configs(&self, wanted: &Self) -> BTreeSet<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(wanted.0.keys()).collect();
        let differs = |name: &&&String| self.0.get(**name) != wanted.0.get(**name);
        let configs = names.iter().filter(differs);
        let configs = configs.filter_map(|name| name.strip_prefix(CONFIG));
        configs.map(str::to_owned).collect()
    }
}

/// A value as JSON; nothing if it is empty.
fn told<T: Serialize>(value: &T) -> Option<String> {
    let json = serde_json::to_value(value).unwrap_or_default();
    let empty = match &json {
        serde_json::Value::Null => true,
        serde_json::Value::Array(list) => list.is_empty(),
        serde_json::Value::Object(map) => map.is_empty(),
        _ => false,
    };
    (!empty).then(|| json.to_string())
}

fn shown(value: Option<&String>) -> String {
    match value {
        None => "unset".to_owned(),
        Some(value) if value.chars().count() <= SHOWN => value.clone(),
        Some(value) => value.chars().take(SHOWN).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(fields: &[(&str, &str)]) -> Template {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Template(fields.iter().map(owned).collect())
    }

    #[test]
    fn a_restart_is_told_as_a_difference() {
        let have = template(&[("image", "a:1"), ("config.x", "1"), ("external.0", "h:1")]);
        let want = template(&[("image", "a:2"), ("config.y", "2"), ("external.1", "h:2")]);
        let none = BTreeSet::new();
        assert_eq!(
            have.difference(&want, 1, &none),
            [
                "config.x: 1 -> unset",
                "config.y: unset -> 2",
                "external.1: unset -> h:2",
                "image: a:1 -> a:2"
            ]
        );
        assert!(have.difference(&have, 0, &none).is_empty());
        assert_eq!(Template::read(&have.written()), have);
    }

    #[test]
    fn dynamic_configs_restart_nobody_unless_they_are_taken_away() {
        let dynamic = ["x".to_owned()].into();
        let (one, two) = (
            template(&[("config.x", "1")]),
            template(&[("config.x", "2")]),
        );
        assert!(one.difference(&two, 0, &dynamic).is_empty());
        assert!(template(&[]).difference(&one, 0, &dynamic).is_empty());
        let gone = one.difference(&template(&[]), 0, &dynamic);
        assert_eq!(gone, ["config.x: 1 -> unset"]);
    }
}
