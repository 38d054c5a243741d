//! What a client was told stays: a command that was acknowledged is committed where its proposer was told, and
//! whoever reads later sees it. That it stays committed follows from [`super::OneSequence`]: later states have it in
//! their chain.

use fjord_quorum::NodeId;

/// What clients were told.
#[derive(Default)]
pub struct Acknowledged {
    count: u64,
    newest_index: u64,
}

impl Acknowledged {
    /// A client was told that `command` is committed at `index`, where nodes have `applied`.
    ///
    /// # Errors
    /// They have something else.
    pub fn told(&mut self, command: &str, index: u64, applied: Option<&str>) -> Result<(), String> {
        self.count += 1;
        self.newest_index = self.newest_index.max(index);
        match applied == Some(command) {
            true => Ok(()),
            false => Err(format!(
                "{command:?} was acknowledged at index {index}, where nodes have {applied:?}"
            )),
        }
    }

    /// Somebody who should see everything up to `least` has read up to `index`.
    ///
    /// # Errors
    /// That is too little.
    pub fn read(&self, node: NodeId, least: u64, index: u64) -> Result<(), String> {
        match index >= least {
            true => Ok(()),
            false => Err(format!(
                "a reader on node {node} saw everything up to {index}, but {least} was acknowledged before it began"
            )),
        }
    }

    /// Commands that were acknowledged.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The greatest index that anybody was told.
    pub fn newest_index(&self) -> u64 {
        self.newest_index
    }
}
