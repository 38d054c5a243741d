//! One file per Kafka API, one static table of them.
