//! The value log: fixed-size, append-only files that all partitions share.

pub(crate) mod entry;
pub(crate) mod files;
pub(crate) mod preparer;
pub(crate) mod scan;
pub(crate) mod sidecar;
