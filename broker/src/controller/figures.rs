//! The quorum's figures for Prometheus.

use std::fmt;

use fjord_quorum::{Quorum, Role};

use crate::observability::{
    definitions::{self, Definition},
    metrics::{Figure, FigureKind, FigureSource},
};

/// Asks the quorum at every scrape.
pub(super) struct QuorumFigures(pub Quorum);

impl fmt::Debug for QuorumFigures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("QuorumFigures")
    }
}

impl FigureSource for QuorumFigures {
    // Counts stay far below 2^52, up to which every one of them is exact.
    fn figures(&self) -> Vec<Figure> {
        let (state, metrics) = (self.0.watch().borrow().clone(), self.0.metrics());
        let figure = |definition: Definition, kind: FigureKind, value: u64| Figure {
            definition,
            kind,
            value: value as f64,
        };
        let gauge = |definition, value| figure(definition, FigureKind::Gauge, value);
        // An index is that of an entry, a count is one more.
        let count = |index: Option<u64>| index.map_or(0, |index| index + 1);
        let mut figures = vec![
            gauge(definitions::QUORUM_TERM, state.term),
            gauge(
                definitions::QUORUM_LEADS,
                u64::from(state.role == Role::Leader),
            ),
            gauge(
                definitions::QUORUM_HAS_LEADER,
                u64::from(state.leader.is_some()),
            ),
            gauge(definitions::QUORUM_VOTERS, state.voters.len() as u64),
            figure(
                definitions::QUORUM_COMMITTED,
                FigureKind::Counter,
                count(metrics.committed_index),
            ),
            figure(
                definitions::QUORUM_APPLIED,
                FigureKind::Counter,
                count(metrics.applied_index),
            ),
        ];
        if let Some(since) = metrics.since_majority {
            figures.push(Figure {
                definition: definitions::QUORUM_SINCE_MAJORITY,
                kind: FigureKind::Gauge,
                value: since.as_secs_f64(),
            });
        }
        figures
    }
}
