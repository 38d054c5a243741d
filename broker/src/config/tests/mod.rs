//! Tests of the configuration as a whole; small pieces are tested where they stand.

mod cluster;
mod describe;
mod layering;
mod listeners;
mod table;
mod topics;

use super::{BrokerConfig, ConfigErrors, Layers, Origin, Setting};

/// The configuration that `--set` flags make.
fn resolve(settings: &[(&str, &str)]) -> Result<BrokerConfig, ConfigErrors> {
    let flags = settings
        .iter()
        .map(|(name, value)| setting(name, value))
        .collect();
    BrokerConfig::resolve(Layers {
        flags,
        ..Layers::default()
    })
}

fn config(settings: &[(&str, &str)]) -> BrokerConfig {
    resolve(settings).expect("a valid configuration")
}

fn setting(name: &str, value: &str) -> Setting {
    let origin = Origin::Flag(format!("--set {name}"));
    Setting {
        name: name.to_owned(),
        value: value.to_owned(),
        origin,
    }
}
