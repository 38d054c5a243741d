//! Layers -> checked values; and the one place that reads the file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::args::Args;
use super::broker::BrokerConfig;
use super::cluster;
use super::error::{ConfigError, ConfigErrors};
use super::layers::{DynamicConfigs, Layers, Origin, Setting, Sources, StaticValue};
use super::parts::{data_directories, parse_listeners};
use super::table::{broker_config, broker_configs};
use super::value::Value;
use super::{source_env, source_file};

impl BrokerConfig {
    /// The configuration that the flags, the environment and the file they name make together.
    ///
    /// `environment` is what `std::env::vars_os` returns. The errors hold everything that is wrong in
    /// all of them.
    pub fn load(
        args: &Args,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigErrors> {
        let (environment, mut errors) = source_env::parse(environment);
        let (flags, flag_errors) = args.settings();
        errors.extend(flag_errors);
        let path = args
            .config
            .clone()
            .or(environment.config_file.map(PathBuf::from));
        let file = path.map_or(Ok(Vec::new()), |path| read_file(&path.to_string_lossy()));
        let file = file.unwrap_or_else(|error| {
            errors.extend(error.0);
            Vec::new()
        });
        let layers = Layers {
            file,
            environment: environment.settings,
            flags,
        };
        match Self::resolve(layers) {
            Ok(config) if errors.is_empty() => Ok(config),
            Ok(_) => Err(ConfigErrors(errors)),
            Err(more) => {
                errors.extend(more.0);
                Err(ConfigErrors(errors))
            }
        }
    }

    /// The configuration that these layers make.
    pub fn resolve(layers: Layers) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let mut sources = Sources::default();
        for layer in [layers.file, layers.environment, layers.flags] {
            sources.statics.extend(check_layer(layer, &mut errors));
        }
        if errors.is_empty() {
            errors.extend(check_together(&sources));
        }
        match errors.is_empty() {
            true => Ok(Self::from_sources(sources)),
            false => Err(ConfigErrors(errors)),
        }
    }

    /// What would keep this broker from starting with these configs in place of its configuration file; what
    /// environment and flags say stays.
    pub fn check_file(
        &self,
        configs: impl IntoIterator<Item = (String, String)>,
    ) -> Vec<ConfigError> {
        let from_file = |origin: &Origin| matches!(origin, Origin::File { .. });
        let mut configs: Vec<(String, String)> = configs.into_iter().collect();
        configs.sort();
        let setting = |(name, value)| Setting {
            name,
            value,
            origin: Origin::File {
                path: "the configuration file".to_owned(),
                line: 0,
            },
        };
        let stays = self
            .sources
            .statics
            .iter()
            .filter(|(_, value)| !from_file(&value.origin));
        let kept = stays.map(|(name, value)| Setting {
            name: (*name).to_owned(),
            value: value.text.clone(),
            origin: value.origin.clone(),
        });
        let layers = Layers {
            file: configs.into_iter().map(setting).collect(),
            environment: kept.collect(),
            flags: Vec::new(),
        };
        let mut errors = Self::resolve(layers)
            .err()
            .map_or_else(Vec::new, |errors| errors.0);
        for error in &mut errors {
            error.origin.take_if(|origin| from_file(origin));
        }
        errors
    }

    /// The same configuration with other dynamic configs. Those that a broker of this version does
    /// not accept, or reads at start only, have no effect.
    pub fn with_dynamic(&self, dynamic: DynamicConfigs) -> Self {
        Self::from_sources(Sources {
            statics: self.sources.statics.clone(),
            dynamic,
        })
    }

    /// The effective configuration as a file that `--config` reads, with each value's origin.
    pub fn to_yaml(&self) -> String {
        let mut text = String::new();
        for definition in broker_configs() {
            let name = definition.name;
            let origin = match self.sources.statics.get(name) {
                Some(value) => value.origin.to_string(),
                None => "default".to_owned(),
            };
            let line = match self.sources.value(definition) {
                Some(_) if definition.is_sensitive() => format!("# {name}: (hidden)  # {origin}"),
                // Text in JSON's quotes is YAML too, whatever it holds.
                Some(value) => format!("{name}: {}  # {origin}", quote(value)),
                None => format!("# {name}:  # {origin}"),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

fn quote(value: Value) -> String {
    serde_json::Value::from(value.to_text()).to_string()
}

fn read_file(path: &str) -> Result<Vec<Setting>, ConfigErrors> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
        name: path.to_owned(),
        value: None,
        origin: None,
        reason: format!("cannot be read: {error}"),
        fix: format!("correct --config or {}", source_env::CONFIG_FILE_VARIABLE),
    })?;
    source_file::parse(path, &text)
}

/// The values of one layer, each checked alone; one name may be set only once.
fn check_layer(
    layer: Vec<Setting>,
    errors: &mut Vec<ConfigError>,
) -> BTreeMap<&'static str, StaticValue> {
    let mut values: BTreeMap<&'static str, StaticValue> = BTreeMap::new();
    for setting in layer {
        let Some(definition) = broker_config(&setting.name) else {
            errors.push(ConfigError::unknown(&setting));
            continue;
        };
        if let Some(earlier) = values.get(definition.name) {
            let reason = format!("is set twice, first by {}", earlier.origin);
            errors.push(ConfigError::new(&setting, reason, "remove one of the two"));
            continue;
        }
        match Value::parse(definition, &setting.value) {
            Ok(value) => {
                let value = StaticValue {
                    text: value.to_text(),
                    origin: setting.origin,
                };
                values.insert(definition.name, value);
            }
            Err(reason) => errors.push(ConfigError::bad_value(&setting, definition, reason)),
        }
    }
    values
}

/// Checks what is valid alone but not together.
fn check_together(sources: &Sources) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let number = |name: &str| sources.named(name).map_or(0, Value::into_number);
    let mut require = |holds: bool, name: &str, reason: String, fix: &str| {
        if !holds {
            errors.push(wrong_together(sources, name, reason, fix));
        }
    };
    let not_above = [
        (
            "group.min.session.timeout.ms",
            "group.max.session.timeout.ms",
        ),
        (
            "log.cleaner.min.compaction.lag.ms",
            "log.cleaner.max.compaction.lag.ms",
        ),
    ];
    for (low, high) in not_above {
        let reason = format!("must not be more than {high}, which is {}", number(high));
        require(
            number(low) <= number(high),
            low,
            reason,
            "lower it, or raise the other",
        );
    }
    let (queued, request) = (
        number("queued.max.request.bytes"),
        number("socket.request.max.bytes"),
    );
    let reason = format!("must be -1, or at least socket.request.max.bytes, which is {request}");
    require(
        queued <= 0 || queued >= request,
        "queued.max.request.bytes",
        reason,
        "raise it, or use -1",
    );
    let (group, file) = (
        number("fjord.log.group.bytes"),
        number("fjord.log.file.bytes"),
    );
    let reason = format!("must be at most half of fjord.log.file.bytes, which is {file}");
    require(
        group <= file / 2,
        "fjord.log.group.bytes",
        reason,
        "lower it, or raise the other",
    );
    let (broker_id, both) = (number("broker.id"), sources.statics.contains_key("node.id"));
    let reason = format!("must be equal to node.id, which is {}", number("node.id"));
    let agrees = broker_id == -1 || !both || broker_id == number("node.id");
    require(agrees, "broker.id", reason, "set node.id alone");
    let (name, directories) = data_directories(sources);
    let one = directories.len() == 1;
    require(
        one,
        name,
        "must be exactly one directory".to_owned(),
        "name one, without commas",
    );
    match parse_listeners(sources) {
        Err((name, reason)) => require(false, name, reason, "correct it, or leave it out"),
        Ok(listeners) => {
            if let Err(wrong) = cluster::check(sources, &listeners) {
                require(false, wrong.name, wrong.reason, wrong.fix);
            }
        }
    }
    errors
}

fn wrong_together(sources: &Sources, name: &str, reason: String, fix: &str) -> ConfigError {
    let value = sources.statics.get(name);
    ConfigError {
        name: name.to_owned(),
        value: sources.named(name).map(|value| value.to_text()),
        origin: value.map(|value| value.origin.clone()),
        reason,
        fix: fix.to_owned(),
    }
}
