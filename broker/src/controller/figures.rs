//! The quorum's figures for Prometheus.

use std::fmt;

use fjord_quorum::{Quorum, Role};

use crate::observability::{
    definitions,
    metrics::{Figure, FigureSource},
};

/// Asks the quorum at every scrape.
pub(super) struct QuorumFigures(pub Quorum);

impl fmt::Debug for QuorumFigures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("QuorumFigures")
    }
}

impl FigureSource for QuorumFigures {
    fn figures(&self) -> Vec<Figure> {
        let (state, metrics) = (self.0.watch().borrow().clone(), self.0.metrics());
        let gauge = |definition, value: u64| Figure::gauge(definition, value as f64);
        // An index is that of an entry, a count is one more.
        let count = |definition, index: Option<u64>| {
            Figure::counter(definition, index.map_or(0, |index| index + 1) as f64)
        };
        let leads = state.role == Role::Leader;
        let mut figures = vec![
            gauge(definitions::QUORUM_TERM, state.term),
            gauge(definitions::QUORUM_LEADS, leads.into()),
            gauge(
                definitions::QUORUM_HAS_LEADER,
                state.leader.is_some().into(),
            ),
            gauge(definitions::QUORUM_VOTERS, state.voters.len() as u64),
            count(definitions::QUORUM_COMMITTED, metrics.committed_index),
            count(definitions::QUORUM_APPLIED, metrics.applied_index),
        ];
        if let Some(since) = metrics.since_majority {
            let seconds = since.as_secs_f64();
            figures.push(Figure::gauge(definitions::QUORUM_SINCE_MAJORITY, seconds));
        }
        figures
    }
}
