//! Where the brokers of `fjord dev` are: ports, directories, arguments. Pure but for one look at the directory.

use std::{fmt::Write, path::PathBuf};

use serde_json::{Value, json};

use crate::failure::Failure;

/// How far a broker's other ports are from that for Kafka clients.
const GRPC: u16 = 100;
const HTTP: u16 = 200;
const PEER: u16 = 300;
/// So many of the brokers vote on the metadata, and a topic has as many replicas unless its creator says otherwise.
const VOTERS: u16 = 3;

/// What was asked for. Brokers have the ids 1 to `brokers`.
#[derive(Debug)]
pub struct Layout {
    pub brokers: u16,
    pub directory: PathBuf,
    pub first_port: u16,
    pub settings: Vec<String>,
}

impl Layout {
    /// The ids of all brokers.
    pub fn ids(&self) -> std::ops::RangeInclusive<u16> {
        1..=self.brokers
    }

    /// What is there must be of as many brokers: voters do not change by themselves.
    ///
    /// # Errors
    ///
    /// It is of more or of fewer.
    pub fn check_directory(&self) -> Result<(), Failure> {
        let found = (1u16..)
            .take_while(|id| self.data(*id).exists())
            .last()
            .unwrap_or(0);
        if found == 0 || found == self.brokers {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "{} has the data of {found} brokers: use --brokers {found}, or another --directory",
            self.directory.display()
        )))
    }

    fn data(&self, id: u16) -> PathBuf {
        self.directory.join(format!("broker-{id}"))
    }

    /// The file with what a broker has to say.
    pub fn log(&self, id: u16) -> PathBuf {
        self.directory.join(format!("broker-{id}.log"))
    }

    fn kafka_port(&self, id: u16) -> u16 {
        self.first_port + id - 1
    }

    /// `host:port` of a broker's listener, whose port is `above` that for Kafka clients.
    fn address(&self, id: u16, above: u16) -> String {
        format!("127.0.0.1:{}", self.kafka_port(id) + above)
    }

    /// Where a broker says how it is.
    pub fn http(&self, id: u16) -> String {
        self.address(id, HTTP)
    }

    /// The arguments of a broker's program.
    pub fn arguments(&self, id: u16) -> Vec<String> {
        let mut arguments = vec![
            format!("--data-dir={}", self.data(id).display()),
            format!("--listen-kafka={}", self.address(id, 0)),
            format!("--listen-grpc={}", self.address(id, GRPC)),
            format!("--listen-http={}", self.address(id, HTTP)),
        ];
        let mut set = |name: &str, value: String| arguments.push(format!("--set={name}={value}"));
        set("node.id", id.to_string());
        let voters = self.brokers.min(VOTERS);
        set("default.replication.factor", voters.to_string());
        if self.brokers > 1 {
            set("fjord.cluster.id", "dev".to_owned());
            let peers = |with_ids: bool| -> String {
                let peer = |voter| match with_ids {
                    true => format!("{voter}@{}", self.address(voter, PEER)),
                    false => self.address(voter, PEER),
                };
                (1..=voters).map(peer).collect::<Vec<_>>().join(",")
            };
            if id <= voters {
                set("controller.quorum.voters", peers(true));
            } else {
                set("controller.quorum.bootstrap.servers", peers(false));
                set("fjord.peer.listen", self.address(id, PEER));
            }
        }
        // Last, so that they win.
        arguments.extend(self.settings.iter().map(|each| format!("--set={each}")));
        arguments
    }

    /// The brokers for programs; `processes` are the ids of theirs.
    pub fn to_json(&self, processes: &[u32]) -> Value {
        let each = self.ids().zip(processes).map(|(id, process)| {
            json!({
                "broker": id,
                "process": process,
                "kafka": self.address(id, 0),
                "grpc": self.address(id, GRPC),
                "http": self.address(id, HTTP),
                "log": self.log(id),
            })
        });
        each.collect()
    }

    /// How the brokers are reached, for people.
    pub fn describe(&self, processes: &[u32]) -> String {
        let all = |above| {
            let each = self.ids().map(|id| self.address(id, above));
            each.collect::<Vec<_>>().join(",")
        };
        let mut text = String::new();
        for (id, process) in self.ids().zip(processes) {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "broker {id}: process {process}, Kafka {}, gRPC {}, HTTP {}, log {}",
                self.address(id, 0),
                self.address(id, GRPC),
                self.address(id, HTTP),
                self.log(id).display(),
            );
        }
        let _ = write!(
            text,
            "\nready. Kafka clients: bootstrap.servers={}\nThis program: export FJORD_BROKER={}\n\
             A process that is killed is started again; Ctrl-C stops all.\n",
            all(0),
            all(GRPC),
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(brokers: u16) -> Layout {
        Layout {
            brokers,
            directory: PathBuf::from("d"),
            first_port: 9092,
            settings: vec!["a=b".to_owned()],
        }
    }

    #[test]
    fn three_brokers_vote_and_others_join_them() {
        let voters =
            "--set=controller.quorum.voters=1@127.0.0.1:9392,2@127.0.0.1:9393,3@127.0.0.1:9394";
        for brokers in [3, 5] {
            for id in 1..=3 {
                let arguments = layout(brokers).arguments(id);
                assert!(arguments.iter().any(|each| each == voters), "{arguments:?}");
            }
        }
        let arguments = layout(5).arguments(5);
        let servers = "--set=controller.quorum.bootstrap.servers=127.0.0.1:9392,127.0.0.1:9393,127.0.0.1:9394";
        for expected in [
            servers,
            "--set=fjord.peer.listen=127.0.0.1:9396",
            "--listen-kafka=127.0.0.1:9096",
        ] {
            assert!(
                arguments.iter().any(|each| each == expected),
                "{arguments:?}"
            );
        }
        assert_eq!(arguments.last().map(String::as_str), Some("--set=a=b"));
    }

    #[test]
    fn one_broker_is_a_cluster_by_itself() {
        let arguments = layout(1).arguments(1);
        assert!(
            !arguments.iter().any(|each| each.contains("quorum")),
            "{arguments:?}"
        );
    }

    #[test]
    fn the_data_of_another_number_of_brokers_is_refused() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let with = |brokers| Layout {
            directory: directory.path().to_owned(),
            ..layout(brokers)
        };
        assert!(with(3).check_directory().is_ok());
        for id in 1..=2 {
            std::fs::create_dir(with(2).data(id)).expect("it can be made");
        }
        assert!(with(2).check_directory().is_ok());
        let refused = with(3).check_directory().expect_err("there are two");
        assert!(refused.to_string().contains("--brokers 2"), "{refused}");
    }
}
