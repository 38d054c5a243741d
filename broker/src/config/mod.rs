//! Configuration: parsed once, validated, and described by its Kafka names.
//!
//! ```text
//! table (every config: name, type, default, range, documentation)
//!   │
//! defaults < file (YAML) < environment < flags ──► BrokerConfig  ◄── dynamic overrides (metadata)
//!                                                      │
//!                     topic overrides (metadata) ──► TopicConfig
//! ```
//!
//! [`BrokerConfig`] is the typed whole that the other parts take their values from; nothing outside
//! this module parses a config again. [`TopicConfig`] is what holds for one topic: its own overrides
//! over the broker's defaults. What clients ask by name (DescribeConfigs and the two APIs that alter
//! configs) is answered from the same table by the functions in [`describe`] and [`validate`].
//! Only [`BrokerConfig::load`] touches a file; everything else is a function of values.

mod args;
mod broker;
mod build;
mod cluster;
mod definition;
mod error;
mod layers;
mod listeners;
mod parts;
mod reference;
mod source_env;
mod source_file;
mod table;
mod topic;
mod value;

pub mod describe;
pub mod validate;

#[cfg(test)]
mod tests;

pub use args::Args;
pub use broker::{
    ApiConfig, BrokerConfig, CleanerConfig, Durability, GroupsConfig, GrpcConfig, LogConfig,
    LogFormat, NetConfig, NodeConfig, ObservabilityConfig, ReplicationConfig, TransactionsConfig,
    throttle,
};
pub use cluster::{ClusterConfig, PeerAddress};
pub use definition::{ConfigDef, ConfigType, Importance, Update};
pub use error::{ConfigError, ConfigErrors};
pub use layers::{DynamicConfigs, Layers, Origin, Setting};
pub use listeners::{AdvertisedListener, ListenAddress, ListenerConfig};
pub use reference::configuration_reference;
pub use table::{broker_config, broker_configs, topic_config, topic_configs};
pub use topic::{CleanupPolicy, CompressionType, TimestampType, TopicConfig};
pub use validate::{InvalidConfig, InvalidConfigKind};
