//! Partition logs on a shared, group-committed value log, indexed by fjall.
