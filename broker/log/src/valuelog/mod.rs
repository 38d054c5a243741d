//! The value log: fixed-size, append-only files that all partitions share.

pub(crate) mod entry;
pub(crate) mod file;
pub(crate) mod files;
pub(crate) mod page_cache;
pub(crate) mod preparer;
pub(crate) mod scan;
pub(crate) mod sidecar;
pub(crate) mod zeroing;
