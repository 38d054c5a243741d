//! The cluster controller: makes what a `Cluster` asks for.
//!
//! ```text
//!   watch ──► controller ──► identity: the cluster's id, in the status before anything is made from it
//!                       ├──► observed: pods, claims, and what the brokers say
//!                       ├──► configs:  which change while brokers run, which are no good
//!                       ├──► resources (pure) ──► apply: only what differs
//!                       ├──► scaling (pure)   ──► scale: votes, cordons; moves: drains, balance
//!                       ├──► repair (pure)    ──► replace: a lost broker by an empty one
//!                       ├──► rollout (pure)   ──► restart: one broker, after asking the others
//!                       └──► status (pure)    ──► written if it changed
//! ```

pub mod apply;
pub mod configs;
mod controller;
pub mod hash;
pub mod identity;
pub mod image;
pub mod lost;
pub mod moves;
pub mod names;
pub mod observed;
pub mod reconcile;
pub mod repair;
#[cfg(test)]
mod repair_tests;
pub mod replace;
#[cfg(test)]
mod replace_tests;
pub mod resources;
pub mod restart;
pub mod roll;
pub mod rollout;
pub mod scale;
pub mod scaling;
#[cfg(test)]
mod scenarios;
pub mod status;
pub mod stores;
pub mod template;
pub mod volumes;

pub use controller::run;
