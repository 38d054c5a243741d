//! What happens in a simulation, as lines: every message, every decision, every fault.

use std::fmt;
use std::io::{LineWriter, Stdout, stdout};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// What is shown unless `RUST_LOG` says otherwise.
const SHOWN: &str = "info,turmoil=trace,fjord=debug,fjord_sim=debug,fjord_quorum=debug,fjord_broker=debug,openraft=info";

/// The simulated time in milliseconds, since the simulation began.
static NOW_MS: AtomicU64 = AtomicU64::new(0);

/// It is so late.
pub fn now(elapsed: Duration) {
    NOW_MS.store(
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        Relaxed,
    );
}

/// The simulated time.
struct SimulatedTime;

impl FormatTime for SimulatedTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let elapsed = Duration::from_millis(NOW_MS.load(Relaxed));
        write!(writer, "{:>10.3}", elapsed.as_secs_f64())
    }
}

/// Writes the lines to the standard output.
pub fn show() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(SHOWN));
    let output: Mutex<LineWriter<Stdout>> = Mutex::new(LineWriter::new(stdout()));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(SimulatedTime)
        .with_ansi(false)
        .with_writer(output)
        .init();
}
