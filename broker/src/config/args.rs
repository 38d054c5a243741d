//! The command line of the broker.

use std::path::PathBuf;

use clap::Parser;

use super::error::ConfigError;
use super::layers::{Origin, Setting};
use super::listeners::ListenAddress;

/// A message broker that speaks Kafka's protocol over a log that is on disk before it is acknowledged.
///
/// Every config can be set by its Kafka name: in the configuration file, by an environment variable
/// (FJORD_NUM_PARTITIONS for num.partitions) or with --set, the later covering the earlier.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "fjord-broker", version, max_term_width = 100)]
pub struct Args {
    /// Configuration file (YAML); by default the one that FJORD_CONFIG names, or none.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Directory of all data, made if it is missing [default: ./data].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,

    /// Address for Kafka clients; port 0 takes a free one [default: :9092, every interface].
    #[arg(long, value_name = "HOST:PORT")]
    pub listen_kafka: Option<String>,

    /// Address that Kafka clients are told to connect to [default: the one they have connected to,
    /// or that of --listen-kafka if it names a host].
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise_kafka: Option<String>,

    /// Address for gRPC clients [default: :9192].
    #[arg(long, value_name = "HOST:PORT")]
    pub listen_grpc: Option<String>,

    /// Address for /healthz, /readyz and /metrics [default: :9292].
    #[arg(long, value_name = "HOST:PORT")]
    pub listen_http: Option<String>,

    /// Number of this broker in its cluster [default: 1].
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub node_id: Option<String>,

    /// Sets any broker config by its name; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,

    /// Prints the configuration that the broker would use, and ends.
    #[arg(long)]
    pub check_config: bool,
}

impl Args {
    /// Parses the process's command line; ends the process on `--help`, `--version` and mistakes.
    pub fn parse() -> Self {
        Parser::parse()
    }

    /// What the flags set.
    pub(super) fn settings(&self) -> (Vec<Setting>, Vec<ConfigError>) {
        let mut settings = Vec::new();
        let mut errors = Vec::new();
        let mut add = |name: &str, value: String, flag: &str| {
            let origin = Origin::Flag(flag.to_owned());
            settings.push(Setting {
                name: name.to_owned(),
                value,
                origin,
            });
        };
        if let Some(directory) = &self.data_dir {
            // log.dirs is the stronger of the two names, so a flag must set that one.
            add("log.dirs", directory.clone(), "--data-dir");
        }
        let plaintext = |address: &String| format!("PLAINTEXT://{address}");
        let kafka = [
            ("listeners", &self.listen_kafka, "--listen-kafka"),
            (
                "advertised.listeners",
                &self.advertise_kafka,
                "--advertise-kafka",
            ),
        ];
        for (name, address, flag) in kafka {
            let Some(address) = address else { continue };
            match ListenAddress::parse(address) {
                Ok(_) => add(name, plaintext(address), flag),
                Err(reason) => errors.push(address_error(flag, address, reason)),
            }
        }
        let others = [
            ("fjord.grpc.listen", &self.listen_grpc, "--listen-grpc"),
            ("fjord.http.listen", &self.listen_http, "--listen-http"),
            ("node.id", &self.node_id, "--node-id"),
        ];
        for (name, value, flag) in others {
            if let Some(value) = value {
                add(name, value.clone(), flag);
            }
        }
        for assignment in &self.set {
            match assignment.split_once('=') {
                Some((name, value)) if !name.trim().is_empty() => {
                    add(name.trim(), value.to_owned(), &format!("--set {name}"));
                }
                _ => errors.push(ConfigError {
                    name: "flag --set".to_owned(),
                    value: Some(assignment.clone()),
                    origin: None,
                    reason: "must be NAME=VALUE".to_owned(),
                    fix: "write it as in --set num.partitions=4".to_owned(),
                }),
            }
        }
        (settings, errors)
    }
}

fn address_error(flag: &str, address: &str, reason: String) -> ConfigError {
    ConfigError {
        name: format!("flag {flag}"),
        value: Some(address.to_owned()),
        origin: None,
        reason,
        fix: format!("write it as in {flag} 127.0.0.1:9092"),
    }
}
