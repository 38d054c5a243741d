//! Kafka's wire format, as bytes and as types. No I/O, no clock, no network.
