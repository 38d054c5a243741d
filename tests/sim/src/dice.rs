//! All chance of a simulation comes from one seed, by way of these.

use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A seeded source of chance. It may be shared: everything runs on one thread, so the order of draws is always the same.
pub struct Dice(Mutex<StdRng>);

impl Dice {
    /// Chance from a seed; `purpose` keeps the draws of different parts apart.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let seed = seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(purpose);
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number, both ends included.
    pub fn number(&self, range: RangeInclusive<u64>) -> u64 {
        self.with(|rng| rng.random_range(range))
    }

    /// Whether it happens, so many times out of a hundred.
    pub fn happens(&self, percent: u64) -> bool {
        self.number(0..=99) < percent
    }

    /// So many milliseconds, both ends included.
    pub fn milliseconds(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    /// One of these; there must be one.
    pub fn one_of<T: Copy>(&self, these: &[T]) -> T {
        let last = these.len().checked_sub(1).expect("one of none");
        these[usize::try_from(self.number(0..=last as u64)).expect("an index")]
    }

    /// Some of these, at least one if there is one.
    pub fn some_of<T: Copy>(&self, these: &[T]) -> Vec<T> {
        let mut some: Vec<T> = these.iter().copied().filter(|_| self.happens(50)).collect();
        if some.is_empty() && !these.is_empty() {
            some.push(self.one_of(these));
        }
        some
    }
}
