//! Environment variables -> settings.
//!
//! A config's variable is `FJORD_` and its name in upper case, with '_' for '.'. For Fjord's own
//! configs the prefix of the name may be left out: `FJORD_DURABILITY` is `fjord.durability`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::error::{ConfigError, suggest};
use super::layers::{Origin, Setting};
use super::table::broker_configs;

/// The variable that names the configuration file.
pub(super) const CONFIG_FILE_VARIABLE: &str = "FJORD_CONFIG";

/// The variable by which the command line `fjord` and the tests find a broker. It is nothing to a broker.
const CLIENTS_VARIABLE: &str = "FJORD_BROKER";

/// What every variable of ours begins with.
pub(super) const PREFIX: &str = "FJORD_";

/// What the environment says.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// Path of the configuration file.
    pub(super) config_file: Option<String>,
    pub(super) settings: Vec<Setting>,
}

/// Reads the variables that begin with `FJORD_`; one that means nothing is refused by name.
pub(super) fn parse(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> (Environment, Vec<ConfigError>) {
    let names = variable_names();
    let mut environment = Environment::default();
    let mut errors = Vec::new();
    for (variable, value) in variables {
        let variable = variable.to_string_lossy().into_owned();
        if !variable.starts_with(PREFIX)
            || variable == CLIENTS_VARIABLE
            || is_kubernetes_service_variable(&variable)
        {
            continue;
        }
        let Ok(value) = value.into_string() else {
            let reason = "must be UTF-8 text";
            errors.push(variable_error(
                &variable,
                reason,
                "set it to plain text".to_owned(),
            ));
            continue;
        };
        if variable == CONFIG_FILE_VARIABLE {
            environment.config_file = Some(value);
            continue;
        }
        match names.get(&variable) {
            Some(name) => environment.settings.push(Setting {
                name: (*name).to_owned(),
                value,
                origin: Origin::Environment(variable),
            }),
            None => {
                let fix = suggest(&variable, names.keys().map(String::as_str));
                errors.push(variable_error(
                    &variable,
                    "is not the variable of any config",
                    fix,
                ));
            }
        }
    }
    // The order of an environment is arbitrary; messages should not be.
    environment
        .settings
        .sort_by(|left, right| left.name.cmp(&right.name));
    errors.sort_by(|left, right| left.name.cmp(&right.name));
    (environment, errors)
}

fn variable_error(variable: &str, reason: &str, fix: String) -> ConfigError {
    ConfigError {
        name: format!("environment variable {variable}"),
        value: None,
        origin: None,
        reason: reason.to_owned(),
        fix,
    }
}

/// Every variable and the config it sets.
fn variable_names() -> BTreeMap<String, &'static str> {
    let mut names = BTreeMap::new();
    for definition in broker_configs() {
        let name = definition.name;
        names.insert(variable_name(name), name);
        if let Some(own) = name.strip_prefix("fjord.") {
            names.insert(variable_name(own), name);
        }
    }
    names
}

/// The variable that sets the config of this name.
pub(super) fn variable_name(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase().replace('.', "_"))
}

/// Kubernetes gives every container `X_SERVICE_HOST`, `X_SERVICE_PORT[_NAME]` and
/// `X_PORT[_NUMBER_PROTOCOL[_PROTO|_PORT|_ADDR]]` for each service X of its namespace, so a service
/// called fjord or fjord-something makes variables that look like ours.
fn is_kubernetes_service_variable(variable: &str) -> bool {
    if variable.ends_with("_SERVICE_HOST") || variable.ends_with("_SERVICE_PORT") {
        return true;
    }
    if variable.contains("_SERVICE_PORT_") || variable.ends_with("_PORT") {
        return true;
    }
    let Some((_, rest)) = variable.rsplit_once("_PORT_") else {
        return false;
    };
    // The parts of `_PORT_9092_TCP_PORT` end in _PORT and were caught above.
    let mut parts = rest.split('_');
    let number = parts
        .next()
        .is_some_and(|number| number.parse::<u16>().is_ok());
    number && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &[(&str, &str)]) -> (Environment, Vec<String>) {
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        let (environment, errors) = parse(variables);
        (
            environment,
            errors.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn names_are_found_with_and_without_our_prefix() {
        let (environment, errors) = check(&[
            ("FJORD_NUM_PARTITIONS", "4"),
            ("FJORD_DURABILITY", "os"),
            ("FJORD_FJORD_LOG_FORMAT", "json"),
            ("FJORD_CONFIG", "/etc/fjord.yaml"),
            ("HOME", "/root"),
        ]);
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(environment.config_file.as_deref(), Some("/etc/fjord.yaml"));
        let found: Vec<(&str, &str)> = environment
            .settings
            .iter()
            .map(|setting| (setting.name.as_str(), setting.value.as_str()))
            .collect();
        let expected = [
            ("fjord.durability", "os"),
            ("fjord.log.format", "json"),
            ("num.partitions", "4"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn unknown_variables_are_refused_by_name() {
        let (_, errors) = check(&[("FJORD_NUM_PARTITION", "4")]);
        let expected = "environment variable FJORD_NUM_PARTITION is not the variable of any config; \
                        did you mean FJORD_NUM_PARTITIONS?";
        assert_eq!(errors, [expected]);
    }

    #[test]
    fn variables_of_kubernetes_services_are_passed_over() {
        let (environment, errors) = check(&[
            ("FJORD_SERVICE_HOST", "10.0.0.1"),
            ("FJORD_SERVICE_PORT", "9092"),
            ("FJORD_SERVICE_PORT_KAFKA", "9092"),
            ("FJORD_PORT", "tcp://10.0.0.1:9092"),
            ("FJORD_PORT_9092_TCP", "tcp://10.0.0.1:9092"),
            ("FJORD_PORT_9092_TCP_PROTO", "tcp"),
            ("FJORD_PORT_9092_TCP_PORT", "9092"),
            ("FJORD_PORT_9092_TCP_ADDR", "10.0.0.1"),
            ("FJORD_HEADLESS_PORT_9092_TCP_ADDR", "10.0.0.1"),
        ]);
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(environment.settings, []);
    }

    #[test]
    fn no_two_configs_share_a_variable_or_have_one_of_a_kubernetes_service() {
        let names = variable_names();
        let own = broker_configs()
            .filter(|config| config.name.starts_with("fjord."))
            .count();
        assert_eq!(names.len(), broker_configs().count() + own);
        assert!(!names.contains_key(CONFIG_FILE_VARIABLE));
        for variable in names.keys() {
            assert!(!is_kubernetes_service_variable(variable), "{variable}");
        }
    }
}
