//! The bit fields in which responses tell a client what it may do (KIP-430).

use crate::security::{Operation, Resource, ResourceKind};

/// What a response carries when nobody asked.
pub const NOT_ASKED: i32 = i32::MIN;

const TOPIC: [Operation; 8] = [
    Operation::Read,
    Operation::Write,
    Operation::Create,
    Operation::Delete,
    Operation::Alter,
    Operation::Describe,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
];

const GROUP: [Operation; 5] = [
    Operation::Read,
    Operation::Delete,
    Operation::Describe,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
];

const CLUSTER: [Operation; 7] = [
    Operation::Create,
    Operation::Alter,
    Operation::Describe,
    Operation::ClusterAction,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
    Operation::IdempotentWrite,
];

const TRANSACTIONAL_ID: [Operation; 2] = [Operation::Write, Operation::Describe];

/// The operations that `is_authorized` allows on a resource, of those that make sense for its kind: one
/// bit each, numbered by Kafka's `AclOperation`.
pub fn bit_field(
    resource: Resource<'_>,
    is_authorized: impl Fn(Operation, Resource<'_>) -> bool,
) -> i32 {
    let operations: &[Operation] = match resource.kind {
        ResourceKind::Topic => &TOPIC,
        ResourceKind::Group => &GROUP,
        ResourceKind::Cluster => &CLUSTER,
        ResourceKind::TransactionalId => &TRANSACTIONAL_ID,
    };
    let allowed = operations
        .iter()
        .filter(|operation| is_authorized(**operation, resource));
    allowed.fold(0, |bits, operation| {
        bits | 1 << acl_operation_code(*operation)
    })
}

/// The number that Kafka's `AclOperation` has for an operation.
fn acl_operation_code(operation: Operation) -> u32 {
    match operation {
        Operation::Read => 3,
        Operation::Write => 4,
        Operation::Create => 5,
        Operation::Delete => 6,
        Operation::Alter => 7,
        Operation::Describe => 8,
        Operation::ClusterAction => 9,
        Operation::DescribeConfigs => 10,
        Operation::AlterConfigs => 11,
        Operation::IdempotentWrite => 12,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_kafkas() {
        let all = |_: Operation, _: Resource<'_>| true;
        assert_eq!(bit_field(Resource::topic("t"), all), 0b1101_1111_1000);
        assert_eq!(bit_field(Resource::cluster(), all), 0b1_1111_1010_0000);
        let none = |_: Operation, _: Resource<'_>| false;
        assert_eq!(bit_field(Resource::group("g"), none), 0);
    }
}
