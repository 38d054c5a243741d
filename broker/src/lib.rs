//! The Fjord broker as a library; `main.rs` is a thin shell around it.

pub mod api;
pub mod broker;
pub mod budget;
pub mod clock;
pub mod cluster_view;
pub mod config;
pub mod controller;
pub mod coordinator;
pub mod forward;
pub mod grpc;
pub mod lost_brokers;
pub mod metadata;
pub mod net;
pub mod observability;
pub mod partition;
pub mod producer_ids;
pub mod replication;
pub mod security;
pub mod server;
