//! Configuration: parsed once, validated, and described by its Kafka names.
