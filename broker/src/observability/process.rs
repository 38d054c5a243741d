//! Figures of the process itself, read from `/proc/self` when they are asked for.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    definitions,
    metrics::{Figure, FigureSource},
};

/// The figures of this process. What the system does not tell is left out.
#[derive(Debug)]
pub(super) struct ProcessFigures {
    started: SystemTime,
}

impl ProcessFigures {
    /// Figures of a process that has started just now.
    pub(super) fn new() -> Self {
        Self {
            started: SystemTime::now(),
        }
    }
}

impl FigureSource for ProcessFigures {
    fn figures(&self) -> Vec<Figure> {
        let started = self.started.duration_since(UNIX_EPOCH).ok();
        let gauge = |definition, value: Option<f64>| value.map(|it| Figure::gauge(definition, it));
        let cpu = Figure::counter(definitions::PROCESS_CPU, cpu_seconds());
        [
            Some(cpu),
            gauge(definitions::PROCESS_RESIDENT, resident_bytes()),
            gauge(definitions::PROCESS_OPEN_FDS, open_files()),
            gauge(
                definitions::PROCESS_START_TIME,
                started.map(|it| it.as_secs_f64()),
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn resident_bytes() -> Option<f64> {
    parse_resident_bytes(&fs::read_to_string("/proc/self/status").ok()?)
}

/// The resident set in the format of `/proc/self/status`, which tells it in KiB.
fn parse_resident_bytes(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn open_files() -> Option<f64> {
    // The directory itself is open while it is counted.
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(count.saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resident_set_is_found_among_other_lines() {
        let status = "Name:\tfjord\nVmHWM:\t  9000 kB\nVmRSS:\t    2048 kB\nThreads:\t2\n";
        assert_eq!(parse_resident_bytes(status), Some(2_097_152.0));
        assert_eq!(parse_resident_bytes("Name:\tfjord\n"), None);
        assert_eq!(parse_resident_bytes("VmRSS:\tmany kB\n"), None);
    }

    #[test]
    fn this_process_has_all_figures() {
        let figures = ProcessFigures::new().figures();
        assert_eq!(figures.len(), 4);
        assert!(
            figures.iter().all(|figure| figure.value > 0.0),
            "{figures:?}"
        );
    }
}
