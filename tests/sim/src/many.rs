//! Many seeds, each in a process of its own: what one leaves behind in the process cannot change the next one.

use std::io;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

/// What many seeds have come to.
pub struct Outcome {
    /// Seeds that were run.
    pub run: u64,
    /// Those that violated something, with what they said.
    pub failed: Vec<(u64, String)>,
}

/// Runs `count` seeds from `first` on, `jobs` at a time, each as this program with `arguments`. Ends after the first
/// one that fails if `stops`.
///
/// # Errors
/// A process could not be started.
pub fn run(
    first: u64,
    count: u64,
    jobs: u64,
    arguments: &[String],
    stops: bool,
) -> io::Result<Outcome> {
    let program = std::env::current_exe()?;
    let next = AtomicU64::new(first);
    let end = first.saturating_add(count);
    let outcome = Mutex::new(Outcome {
        run: 0,
        failed: Vec::new(),
    });
    let work = || -> io::Result<()> {
        loop {
            let seed = next.fetch_add(1, SeqCst);
            if seed >= end {
                return Ok(());
            }
            let mut command = Command::new(&program);
            let done = command
                .arg("--seed")
                .arg(seed.to_string())
                .args(arguments)
                .output()?;
            let mut outcome = outcome
                .lock()
                .map_err(|_| io::Error::other("another job has failed"))?;
            outcome.run += 1;
            if outcome.run % 100 == 0 {
                println!("{} seeds, {} failed", outcome.run, outcome.failed.len());
            }
            if !done.status.success() {
                let said = said(&done);
                println!("{said}");
                outcome.failed.push((seed, said));
                if stops {
                    next.store(end, SeqCst);
                }
            }
        }
    };
    thread::scope(|scope| {
        let jobs: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        for job in jobs {
            job.join()
                .map_err(|_| io::Error::other("a job has panicked"))??;
        }
        Ok::<_, io::Error>(())
    })?;
    outcome
        .into_inner()
        .map_err(|_| io::Error::other("a job has panicked"))
}

/// The last line of the output, which says what was violated, or whatever there is.
fn said(done: &Output) -> String {
    let text = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    let last = text.lines().next_back().unwrap_or_default();
    match errors.trim().lines().next_back() {
        Some(error) => format!("{last} {error}"),
        None => last.to_owned(),
    }
}
