//! The identity on whose behalf a connection's requests run.

use std::{fmt, sync::Arc};

/// An identity: a kind (Kafka's `User`, unless an authenticator says otherwise) and a name.
///
/// It prints as Kafka writes principals, `User:ANONYMOUS`. Cloning is cheap.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    kind: Arc<str>,
    name: Arc<str>,
}

impl Principal {
    /// The kind of every principal that Kafka's own authenticators yield.
    pub const USER: &'static str = "User";

    /// The principal of a connection on a listener without authentication (`User:ANONYMOUS`).
    pub fn anonymous() -> Self {
        Self::new(Self::USER, "ANONYMOUS")
    }

    /// A principal of the given kind and name.
    pub fn new(kind: &str, name: &str) -> Self {
        Self {
            kind: kind.into(),
            name: name.into(),
        }
    }

    /// The kind, `User` in most cases.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The name within the kind.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.kind, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_kafka_does() {
        assert_eq!(Principal::anonymous().to_string(), "User:ANONYMOUS");
        assert_eq!(Principal::new("Role", "admin").to_string(), "Role:admin");
    }
}
