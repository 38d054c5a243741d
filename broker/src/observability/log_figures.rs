//! The log's figures for Prometheus.

use std::{fmt, sync::Arc};

use fjord_log::Log;

use super::{
    definitions::{self, Definition},
    metrics::{Figure, FigureKind, FigureSource},
};

/// Asks the log at every scrape.
pub struct LogFigures {
    log: Arc<Log>,
}

impl LogFigures {
    /// The figures of this log.
    pub fn new(log: Arc<Log>) -> Self {
        Self { log }
    }
}

impl fmt::Debug for LogFigures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LogFigures")
    }
}

impl FigureSource for LogFigures {
    // Counts and byte counts stay far below 2^52, up to which every one of them is exact.
    fn figures(&self) -> Vec<Figure> {
        let stats = self.log.stats();
        let figure = |definition: Definition, kind: FigureKind, value: u64| Figure {
            definition,
            kind,
            value: value as f64,
        };
        let counter = |definition, value| figure(definition, FigureKind::Counter, value);
        let gauge = |definition, value| figure(definition, FigureKind::Gauge, value);
        let mut figures = vec![
            counter(definitions::LOG_GROUPS, stats.groups),
            counter(definitions::LOG_ENTRIES, stats.entries),
            counter(definitions::LOG_WRITTEN, stats.written_bytes),
            counter(definitions::LOG_SYNCS, stats.syncs),
            Figure {
                definition: definitions::LOG_SYNC_TIME,
                kind: FigureKind::Counter,
                value: stats.sync_micros as f64 / 1e6,
            },
            counter(definitions::LOG_REFUSED_DISK_FULL, stats.refused_disk_full),
            counter(definitions::LOG_DAMAGED_READS, stats.damaged_reads),
            counter(definitions::LOG_INDEX_REBUILDS, stats.index_rebuilds),
            counter(definitions::LOG_RECLAIMED_FILES, stats.reclaimed_files),
            counter(definitions::LOG_RELOCATED, stats.relocated_bytes),
            gauge(definitions::LOG_INDEX_BACKLOG, stats.index_backlog),
            gauge(definitions::LOG_QUEUED, stats.queued_bytes),
            gauge(definitions::LOG_RECENT, stats.recent_bytes),
            gauge(definitions::LOG_FILES, stats.files),
        ];
        if let Ok(space) = self.log.disk_space() {
            figures.push(gauge(definitions::DISK_TOTAL, space.total));
            figures.push(gauge(definitions::DISK_AVAILABLE, space.available));
        }
        figures
    }
}
