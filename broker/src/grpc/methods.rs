//! The methods that the listener serves, by their paths: a closed set, for metrics.

use std::{collections::HashMap, sync::LazyLock};

use prost::Message;
use prost_types::FileDescriptorSet;

/// What a client calls.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// The service's name, with its package.
    pub service: String,
    /// The method's name.
    pub method: String,
}

/// By the path of a request.
static METHODS: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
    let sets = [
        fjord_proto::DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    sets.into_iter().flat_map(methods_in).collect()
});

/// Stands for everything that is not served.
static UNKNOWN: LazyLock<Method> = LazyLock::new(|| Method {
    service: "_unknown".to_owned(),
    method: "_unknown".to_owned(),
});

/// The method of a request's path; one and the same for all that are not there.
pub fn method(path: &str) -> &'static Method {
    METHODS.get(path).unwrap_or_else(|| &UNKNOWN)
}

fn methods_in(descriptors: &[u8]) -> Vec<(String, Method)> {
    let set = FileDescriptorSet::decode(descriptors)
        .expect("descriptors are made together with the code of their services");
    let mut found = Vec::new();
    for file in set.file {
        for service in &file.service {
            for method in &service.method {
                let service = format!("{}.{}", file.package(), service.name());
                let method = method.name().to_owned();
                found.push((format!("/{service}/{method}"), Method { service, method }));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_known_and_no_other_path_is() {
        let produce = method("/fjord.v1.ProducerService/Produce");
        assert_eq!(produce.service, "fjord.v1.ProducerService");
        assert_eq!(produce.method, "Produce");
        assert_eq!(method("/grpc.health.v1.Health/Check").method, "Check");
        let reflection = "grpc.reflection.v1.ServerReflection";
        let path = format!("/{reflection}/ServerReflectionInfo");
        assert_eq!(method(&path).service, reflection);
        for path in ["", "/", "/fjord.v1.ProducerService/", "/x.Y/Z"] {
            assert_eq!(method(path), &*UNKNOWN, "{path}");
        }
    }
}
