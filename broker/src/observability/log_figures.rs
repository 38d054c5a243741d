//! The log's figures for Prometheus.

use std::{fmt, sync::Arc};

use fjord_log::Log;

use super::{
    definitions,
    metrics::{Figure, FigureSource},
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
    fn figures(&self) -> Vec<Figure> {
        let stats = self.log.stats();
        let counter = |definition, value: u64| Figure::counter(definition, value as f64);
        let gauge = |definition, value: u64| Figure::gauge(definition, value as f64);
        let mut figures = vec![
            counter(definitions::LOG_GROUPS, stats.groups),
            counter(definitions::LOG_ENTRIES, stats.entries),
            counter(definitions::LOG_WRITTEN, stats.written_bytes),
            counter(definitions::LOG_SYNCS, stats.syncs),
            Figure::counter(definitions::LOG_SYNC_TIME, stats.sync_micros as f64 / 1e6),
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
