//! A term has at most one leader (Raft, election safety).

use std::collections::BTreeMap;

use fjord_quorum::NodeId;

/// Who has led in which term.
#[derive(Default)]
pub struct OneLeader(BTreeMap<u64, NodeId>);

impl OneLeader {
    /// Somebody says that `leader` leads in `term`.
    ///
    /// # Errors
    /// Another one has led in it.
    pub fn seen(&mut self, term: u64, leader: NodeId) -> Result<(), String> {
        let known = *self.0.entry(term).or_insert(leader);
        match known == leader {
            true => Ok(()),
            false => Err(format!(
                "nodes {known} and {leader} both lead in term {term}"
            )),
        }
    }
}
