//! A partition's life on this broker: leader, high watermark, parked fetches.
//!
//! ```text
//!  api/produce ─► Leader::append ─► fjord-log (queue) ─ ─ ─► durable ─► high watermark ─► parked fetches
//!  api/fetch   ─► Leader::read   ─► fjord-log (memory, or index and disk)
//! ```
//!
//! [`Partitions`] follows the metadata: it has a [`Leader`] for every partition that the image says this
//! broker leads, before any client can see that image. [`records`] appends keyed records to internal
//! partitions and reads them back; metadata and coordinators stand on it.

pub mod cleaner;
pub mod housekeeping;
mod leader;
mod metadata;
mod metadata_copy;
pub mod parked;
pub mod records;
mod set;

pub use leader::{Bounds, Leader};
pub use metadata::{MetadataOpenError, MetadataPartition};
pub use set::{METADATA_PARTITION, Partitions};
