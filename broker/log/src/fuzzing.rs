//! Entry points for the fuzz targets: what reads bytes from disk, without a disk.

use crate::fold::Extents;
use crate::valuelog::entry::EntryHeader;
use crate::valuelog::sidecar::Sidecar;

/// Decodes `bytes` as every structure that the log reads from its files. Must never panic.
pub fn decode_everything(bytes: &[u8]) {
    if let Some(header) = EntryHeader::decode(bytes) {
        let _ = header.check_payload(&bytes[bytes.len().min(64)..]);
    }
    let _ = Extents::decode(bytes);
    if let Some(sidecar) = Sidecar::decode(bytes.to_vec(), 1) {
        sidecar.entries().for_each(drop);
    }
}
