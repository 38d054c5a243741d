//! A command whose proposer was told that nothing was done is never committed, so that it may be proposed again; and
//! no command that was proposed once is committed twice.

use std::collections::{BTreeMap, BTreeSet};

/// What was refused, and what was committed.
#[derive(Default)]
pub struct Refused {
    refused: BTreeSet<String>,
    /// Where each command is in the log.
    applied: BTreeMap<String, u64>,
}

impl Refused {
    /// A client was told that `command` was refused.
    ///
    /// # Errors
    /// It was committed.
    pub fn told(&mut self, command: &str) -> Result<(), String> {
        self.refused.insert(command.to_owned());
        self.check(command)
    }

    /// A node has taken `command`, which is at `index`.
    ///
    /// # Errors
    /// It was refused, or is at another index as well.
    pub fn applied(&mut self, command: &str, index: u64) -> Result<(), String> {
        let known = *self.applied.entry(command.to_owned()).or_insert(index);
        if known != index {
            return Err(format!(
                "{command:?} is committed at {known} and at {index}"
            ));
        }
        self.check(command)
    }

    fn check(&self, command: &str) -> Result<(), String> {
        match self.refused.contains(command) && self.applied.contains_key(command) {
            true => Err(format!("{command:?} was refused, and is committed")),
            false => Ok(()),
        }
    }
}
