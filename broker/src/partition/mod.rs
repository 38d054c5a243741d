//! A partition's life on this broker: leader or follower, high watermark, parked fetches.
//!
//! ```text
//!  api/produce ─► Replica::append ─► fjord-log (queue) ─ ─ ─► durable ─► high watermark ─► parked fetches
//!  api/fetch   ─► Replica::read   ─► fjord-log (memory, or index and disk)
//! ```
//!
//! [`Partitions`] follows the metadata: it has a [`Replica`] for every partition that the image gives this
//! broker, before any client can see that image. [`records`] appends keyed records to internal
//! partitions and reads them back; metadata and coordinators stand on it.

pub mod cleaner;
pub mod housekeeping;
mod in_sync;
mod links;
mod metadata;
mod metadata_copy;
pub mod parked;
pub mod records;
mod replica;
mod set;
mod waiting;

pub use in_sync::{Proposal, Refusal};
pub use links::{Link, Outbox};
pub use metadata::{MetadataOpenError, MetadataPartition};
pub use replica::{Acks, Bounds, FollowerAt, Replica, WriteError};
pub use set::{METADATA_PARTITION, NotHere, Partitions};
