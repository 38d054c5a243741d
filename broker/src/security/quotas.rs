//! How much a principal may use before it is slowed down.

use std::time::Duration;

use super::Principal;

/// What a quota counts; the kinds are those of Kafka's client quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuotaKind {
    /// Bytes produced (`producer_byte_rate`).
    Produce,
    /// Bytes fetched (`consumer_byte_rate`).
    Fetch,
    /// Partitions created or deleted (`controller_mutation_rate`).
    ControllerMutation,
}

/// Decides how long a client must wait after what it has just used. Today nothing is limited.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quotas;

impl Quotas {
    /// Quotas without any limit.
    pub fn unlimited() -> Self {
        Self
    }

    /// Records `amount` (bytes or mutations, by `kind`) against `principal` and `client_id`, and
    /// returns the wait that the response reports as `throttle_time_ms`.
    pub fn record(
        &self,
        _kind: QuotaKind,
        _principal: &Principal,
        _client_id: &str,
        _amount: u64,
    ) -> Duration {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_throttled_today() {
        let quotas = Quotas::unlimited();
        let wait = quotas.record(
            QuotaKind::Produce,
            &Principal::anonymous(),
            "client",
            u64::MAX,
        );
        assert_eq!(wait, Duration::ZERO);
    }
}
