//! The definitions of the custom resources, as files.

use kube::CustomResourceExt;

use super::{Cluster, Topic};

const HEAD: &str = "# Made from the operator's types by `fjord-operator crds`. Do not edit.\n";

/// The files of `crds/`, by name.
///
/// # Errors
///
/// A definition cannot be written as YAML.
pub fn files() -> anyhow::Result<[(&'static str, String); 2]> {
    let definitions = [
        ("fjord.dev_clusters.yaml", Cluster::crd()),
        ("fjord.dev_topics.yaml", Topic::crd()),
    ];
    let [first, second] = definitions.map(|(name, definition)| {
        let yaml = serde_saphyr::to_string(&definition)?;
        Ok((name, format!("{HEAD}{yaml}")))
    });
    first.and_then(|first| second.map(|second| [first, second]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_up_to_date() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds");
        for (name, content) in files().unwrap() {
            let there = std::fs::read_to_string(format!("{directory}/{name}")).unwrap_or_default();
            assert!(
                there == content,
                "crds/{name} is not what the types say: cargo run -p fjord-operator -- crds --dir crds"
            );
        }
    }
}
