//! Cluster metadata: records, the immutable image, and the pure functions that apply one to the other.
