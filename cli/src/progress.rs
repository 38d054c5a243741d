//! Progress on standard error, if that is a terminal.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

/// How often it is drawn.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);
/// A known end.
const BAR: &str =
    "{elapsed_precise} [{wide_bar}] {human_pos}/{human_len} {msg} ({per_sec}, {eta} left)";
/// An open end.
const SPINNER: &str = "{elapsed_precise} {spinner} {human_pos} {msg} ({per_sec})";

/// Progress that is drawn, or not.
#[derive(Debug, Clone)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Counts `what`, such as "records", up to `total` if that is known. It is drawn if standard error is a terminal
    /// and `wanted`: not if records go to the same terminal.
    pub fn new(what: &'static str, total: Option<u64>, wanted: bool) -> Self {
        if !wanted || !std::io::stderr().is_terminal() {
            return Self {
                bar: ProgressBar::hidden(),
            };
        }
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        let template = if total.is_some() { BAR } else { SPINNER };
        let style = ProgressStyle::with_template(template).expect("the templates are valid");
        bar.set_style(style);
        bar.set_message(what);
        bar.enable_steady_tick(DRAW_INTERVAL);
        Self { bar }
    }

    /// Counts on.
    pub fn add(&self, count: u64) {
        self.bar.inc(count);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
