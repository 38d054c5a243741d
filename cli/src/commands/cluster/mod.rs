//! `fjord cluster`.

mod describe;
mod elect;
mod moves;
mod plan;
mod quorum;
mod unregister;
mod voters;

use clap::Subcommand;

use crate::{args::Context, failure::Failure};

/// Describe the cluster, and move what its brokers have
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Describe the cluster: its brokers, and how much is on their disks
    Describe,
    /// Describe the quorum: the brokers that decide on metadata, and how far each of them is
    Quorum,
    /// Give a broker a vote in the quorum
    AddVoter(voters::VoterArgs),
    /// Take a broker's vote in the quorum away, whether it runs or not; it follows on
    RemoveVoter(voters::VoterArgs),
    /// Say which replicas would have to move, and move nothing
    Plan(plan::PlanArgs),
    /// Move everything off brokers, so that they can be stopped for good
    Drain(plan::DrainArgs),
    /// Give partitions other replicas, as a plan has them
    Reassign(moves::ReassignArgs),
    /// List the partitions that are on their way to other replicas
    Reassignments,
    /// Give leadership back to preferred replicas
    Elect(elect::ElectArgs),
    /// Forget a broker that has stopped, will not come back and has no vote, and whatever it has
    Unregister(unregister::UnregisterArgs),
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Describe => describe::run(context).await,
        ClusterCommand::Quorum => quorum::run(context).await,
        ClusterCommand::AddVoter(args) => voters::add(context, args).await,
        ClusterCommand::RemoveVoter(args) => voters::remove(context, args).await,
        ClusterCommand::Plan(args) => plan::run(context, args).await,
        ClusterCommand::Drain(args) => plan::drain(context, args).await,
        ClusterCommand::Reassign(args) => moves::reassign(context, args).await,
        ClusterCommand::Reassignments => moves::list(context).await,
        ClusterCommand::Elect(args) => elect::run(context, args).await,
        ClusterCommand::Unregister(args) => unregister::run(context, args).await,
    }
}
