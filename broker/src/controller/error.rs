//! Why a broker of several does not start, or ends.

use std::{io, path::PathBuf};

use crate::{
    metadata::{ExecuteError, commands::RegistrationError},
    net::BindError,
};

/// Why a broker did not become one of its cluster.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The directory is that of the only broker of another cluster.
    #[error(
        "the data directory {} belongs to the only broker of a cluster, and controller.quorum.voters or \
         controller.quorum.bootstrap.servers make this one of several; leave them out, or give this broker an empty \
         directory",
        .0.display()
    )]
    SingleBroker(PathBuf),
    /// An empty directory, and no word of which cluster is meant.
    #[error(
        "the data directory {} is empty, and fjord.cluster.id is not set; set it to the id of the broker's cluster",
        .0.display()
    )]
    NoClusterId(PathBuf),
    /// A file of the directory cannot be read or written, or is damaged.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The quorum's log cannot be opened.
    #[error("cannot open the log of the metadata's quorum: {0}")]
    Store(#[from] fjord_quorum::StoreError),
    /// The quorum did not start.
    #[error("cannot take part in the metadata's quorum: {0}")]
    Quorum(#[from] fjord_quorum::StartError),
    /// The cluster could not be founded.
    #[error("cannot found the cluster: {0}")]
    Found(fjord_quorum::FoundError),
    /// A peer does not take this broker in.
    #[error("the broker at {peer} refuses this one: {reason}")]
    Refused {
        /// Its address.
        peer: String,
        /// What it said.
        reason: String,
    },
    /// The peer listener could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The cluster does not take this broker.
    #[error("cannot register with the cluster: {0}")]
    Registration(#[from] RegistrationError),
    /// The registration could not be written.
    #[error("cannot register with the cluster: {0}")]
    Execute(#[from] ExecuteError),
    /// The broker cannot go on.
    #[error("{0}")]
    Ended(String),
    /// The broker was asked to stop before it had started.
    #[error("asked to stop while starting")]
    Stopped,
    /// A task of the start panicked.
    #[error("starting ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}
