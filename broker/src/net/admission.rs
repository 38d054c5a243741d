//! Which new connections are let in, by their count in all and per address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Why a connection was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `max.connections` is reached.
    Total,
    /// `max.connections.per.ip` is reached for its address.
    PerIp,
}

impl Refusal {
    /// The value of the metrics' label `reason`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Total => "max_connections",
            Self::PerIp => "max_connections_per_ip",
        }
    }
}

/// Counts connections.
#[derive(Debug)]
pub(super) struct Admission {
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    max_total: usize,
    max_per_ip: usize,
    total: usize,
    per_ip: HashMap<IpAddr, usize>,
}

impl Admission {
    pub(super) fn new(max_total: usize, max_per_ip: usize) -> Arc<Self> {
        let counts = Counts {
            max_total,
            max_per_ip,
            total: 0,
            per_ip: HashMap::new(),
        };
        Arc::new(Self {
            counts: Mutex::new(counts),
        })
    }

    /// Changes the limits; connections that are over the new ones stay.
    pub(super) fn set_limits(&self, max_total: usize, max_per_ip: usize) {
        let mut counts = self.lock();
        counts.max_total = max_total;
        counts.max_per_ip = max_per_ip;
    }

    /// Counts a connection until the returned value is dropped, or says why it may not be.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Admitted, Refusal> {
        // An IPv4 client of a dual-stack socket is the same as one of an IPv4 socket.
        let ip = ip.to_canonical();
        let mut counts = self.lock();
        if counts.total >= counts.max_total {
            return Err(Refusal::Total);
        }
        if counts.per_ip.get(&ip).copied().unwrap_or_default() >= counts.max_per_ip {
            return Err(Refusal::PerIp);
        }
        counts.total += 1;
        *counts.per_ip.entry(ip).or_default() += 1;
        Ok(Admitted {
            admission: Arc::clone(self),
            ip,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Nothing can panic between the two counts, so that they agree even if poisoned.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One counted connection.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    ip: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.admission.lock();
        counts.total -= 1;
        if let Some(count) = counts.per_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.per_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn limits_hold_until_connections_end() {
        let admission = Admission::new(3, 2);
        let first = admission.admit(ip("10.0.0.1")).unwrap();
        let _second = admission.admit(ip("::ffff:10.0.0.1")).unwrap();
        assert_eq!(admission.admit(ip("10.0.0.1")).unwrap_err(), Refusal::PerIp);
        let third = admission.admit(ip("10.0.0.2")).unwrap();
        assert_eq!(admission.admit(ip("10.0.0.3")).unwrap_err(), Refusal::Total);
        drop(first);
        admission.admit(ip("10.0.0.1")).unwrap();
        drop(third);
        admission.set_limits(3, 1);
        assert_eq!(admission.admit(ip("10.0.0.1")).unwrap_err(), Refusal::PerIp);
        assert_eq!(
            admission.lock().per_ip.len(),
            1,
            "addresses without connections are forgotten"
        );
    }
}
