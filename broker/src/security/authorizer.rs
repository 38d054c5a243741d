//! One question for every action: may this principal do this operation on this resource?

use super::Principal;

/// What is to be done to a resource; the names are those of Kafka's ACL operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Fetch records or read a group's offsets.
    Read,
    /// Append records.
    Write,
    /// Create a topic.
    Create,
    /// Delete a topic, a group, or records.
    Delete,
    /// Change a topic otherwise than by its configs, for example its count of partitions.
    Alter,
    /// See that a resource exists, and its state.
    Describe,
    /// An action between brokers.
    ClusterAction,
    /// Read configs.
    DescribeConfigs,
    /// Change configs.
    AlterConfigs,
    /// Produce idempotently, a right on the cluster.
    IdempotentWrite,
}

/// The kinds of resources that rights are given on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// A topic, by its name.
    Topic,
    /// A consumer group, by its id.
    Group,
    /// The cluster as a whole; its name is always [`Resource::CLUSTER_NAME`].
    Cluster,
    /// A transactional id.
    TransactionalId,
}

/// A resource that an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Resource<'a> {
    /// Its kind.
    pub kind: ResourceKind,
    /// Its name within the kind.
    pub name: &'a str,
}

impl<'a> Resource<'a> {
    /// The name under which Kafka's ACLs know the cluster.
    pub const CLUSTER_NAME: &'static str = "kafka-cluster";

    /// The cluster itself.
    pub fn cluster() -> Resource<'static> {
        Resource {
            kind: ResourceKind::Cluster,
            name: Resource::CLUSTER_NAME,
        }
    }

    /// A topic.
    pub fn topic(name: &'a str) -> Self {
        Self {
            kind: ResourceKind::Topic,
            name,
        }
    }

    /// A consumer group.
    pub fn group(name: &'a str) -> Self {
        Self {
            kind: ResourceKind::Group,
            name,
        }
    }

    /// A transactional id.
    pub fn transactional_id(name: &'a str) -> Self {
        Self {
            kind: ResourceKind::TransactionalId,
            name,
        }
    }
}

/// An answer of the [`Authorizer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// The operation may go on.
    Allowed,
    /// The operation must be refused with the authorization error of the resource's kind.
    Denied,
}

impl Decision {
    /// Whether the operation may go on.
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }
}

/// Decides on (principal, operation, resource). Today it allows everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Authorizer;

impl Authorizer {
    /// An authorizer that allows everything.
    pub fn allow_all() -> Self {
        Self
    }

    /// Whether `principal` may do `operation` on `resource`.
    pub fn authorize(
        &self,
        _principal: &Principal,
        _operation: Operation,
        _resource: Resource<'_>,
    ) -> Decision {
        Decision::Allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_allowed_today() {
        let authorizer = Authorizer::allow_all();
        let anonymous = Principal::anonymous();
        for resource in [
            Resource::cluster(),
            Resource::topic("t"),
            Resource::group("g"),
        ] {
            assert!(
                authorizer
                    .authorize(&anonymous, Operation::Delete, resource)
                    .is_allowed(),
                "{resource:?}"
            );
        }
    }
}
