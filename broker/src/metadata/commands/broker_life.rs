//! What the commands about single brokers share.

use crate::metadata::{Broker, Image};
use serde::{Deserialize, Serialize};

/// A command about a broker that does not hold for the broker as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum BrokerLifeError {
    /// No broker is registered under this id.
    #[error("Broker ID {0} is not currently registered")]
    NotRegistered(i32),
    /// The command is about an earlier or a later registration.
    #[error("Expected broker epoch {asked}, but found broker epoch {registered}")]
    StaleEpoch {
        /// The epoch that the command names.
        asked: i64,
        /// The epoch of the registration.
        registered: i64,
    },
    /// The broker is about to stop: it takes no part again before it has registered anew.
    #[error("Broker {0} is in controlled shutdown")]
    ShuttingDown(i32),
    /// The broker has not asked to stop.
    #[error("Broker {0} is not in controlled shutdown")]
    NotShuttingDown(i32),
    /// The broker takes part, so its copies must not be given up.
    #[error("Broker {0} is not fenced; stop it first")]
    NotFenced(i32),
}

/// The broker, if it is still the one that registered with this epoch.
pub(super) fn registered(image: &Image, id: i32, epoch: i64) -> Result<Broker, BrokerLifeError> {
    let broker = image.broker(id).ok_or(BrokerLifeError::NotRegistered(id))?;
    if broker.epoch != epoch {
        return Err(BrokerLifeError::StaleEpoch {
            asked: epoch,
            registered: broker.epoch,
        });
    }
    Ok(broker.as_ref().clone())
}
