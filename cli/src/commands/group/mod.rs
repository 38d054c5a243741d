//! `fjord group`.

mod delete;
mod describe;
mod list;
mod reset_offsets;

use clap::Subcommand;

use crate::{args::Context, failure::Failure};

/// List, describe, reset and delete consumer groups
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// List the groups
    List,
    /// Describe groups: their members, what is committed, and how far behind that is
    Describe(describe::DescribeArgs),
    /// Set committed offsets of a group without members; only says what would be, unless --execute is given
    ResetOffsets(reset_offsets::ResetOffsetsArgs),
    /// Delete groups without members, with their offsets, or a group's offsets of some topics
    Delete(delete::DeleteArgs),
}

/// Runs it.
///
/// # Errors
///
/// Why it failed.
pub async fn run(context: &Context, command: GroupCommand) -> Result<(), Failure> {
    match command {
        GroupCommand::List => list::run(context).await,
        GroupCommand::Describe(args) => describe::run(context, args).await,
        GroupCommand::ResetOffsets(args) => reset_offsets::run(context, args).await,
        GroupCommand::Delete(args) => delete::run(context, args).await,
    }
}
