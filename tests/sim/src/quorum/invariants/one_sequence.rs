//! All nodes take the same commands in the same order, none left out and none twice, also after crashes and snapshots
//! (Raft, state machine safety).

use std::collections::BTreeMap;

use fjord_quorum::NodeId;

use crate::quorum::machine::Chain;

/// What is committed, as the first node that applied it had it.
#[derive(Default)]
pub struct OneSequence(BTreeMap<u64, (Chain, String)>);

impl OneSequence {
    /// A node whose state was `before` has taken `command`, and now has `after`.
    ///
    /// # Errors
    /// Another node has something else there.
    pub fn applied(
        &mut self,
        node: NodeId,
        before: Chain,
        after: Chain,
        command: String,
    ) -> Result<(), String> {
        if before.count > 0 {
            self.restored(node, before)?;
        }
        if after.index <= before.index {
            let (after, before) = (after.index, before.index);
            return Err(format!("node {node} applied index {after} after {before}"));
        }
        let (known, other) = self
            .0
            .entry(after.index)
            .or_insert((after, command.clone()));
        match *known == after {
            true => Ok(()),
            false => Err(format!(
                "node {node} has {command:?} as command {} at index {}, and another one had {other:?} as command {} there, \
                 or something else before it",
                after.count, after.index, known.count
            )),
        }
    }

    /// A node has this state.
    ///
    /// # Errors
    /// No node has ever come to it.
    pub fn restored(&self, node: NodeId, chain: Chain) -> Result<(), String> {
        match self.0.get(&chain.index) {
            Some((known, _)) if *known == chain => Ok(()),
            _ if chain == Chain::default() => Ok(()),
            _ => Err(format!(
                "node {node} has a state that nobody came to: {chain:?}"
            )),
        }
    }

    /// The command at this index.
    pub fn command_at(&self, index: u64) -> Option<&str> {
        self.0.get(&index).map(|(_, command)| command.as_str())
    }

    /// A number over all of it.
    pub fn digest(&self) -> u64 {
        self.0
            .values()
            .next_back()
            .map_or(0, |(chain, _)| chain.hash)
    }
}
