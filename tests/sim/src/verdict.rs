//! Whether all that must hold has held.

use std::sync::{Arc, Mutex, PoisonError};

use tracing::error;

/// What was violated first, if anything was.
#[derive(Default)]
pub struct Verdict(Mutex<Option<String>>);

impl Verdict {
    /// Nothing was violated yet. A panic anywhere counts as a violation.
    pub fn new() -> Arc<Self> {
        let verdict = Arc::new(Self::default());
        let told = Arc::clone(&verdict);
        std::panic::set_hook(Box::new(move |panic| told.hold(Err(panic.to_string()))));
        verdict
    }

    /// Takes the outcome of a check.
    pub fn hold(&self, outcome: Result<(), String>) {
        if let Err(violation) = outcome {
            error!(violation, "violated");
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(violation);
        }
    }

    /// What was violated first.
    pub fn violation(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
