//! Sidecars: all entry headers of a sealed file in one small file, so that the index can be rebuilt
//! without reading the data.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::partition::producers::ProducerStamp;
use crate::types::{le_u32, le_u64};
use crate::valuelog::entry::{ENTRY_HEADER, EntryHeader, FILE_HEADER};

/// An entry as the fold and the index see it: the header, and the producer's stamp of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryRecord {
    pub header: EntryHeader,
    pub producer: Option<ProducerStamp>,
}

const ROW: usize = ENTRY_HEADER as usize + 16;
const TRAILER: usize = 16;

/// Collects the rows of a file while it is written.
#[derive(Debug, Default)]
pub(crate) struct SidecarBuilder {
    rows: Vec<u8>,
}

impl SidecarBuilder {
    pub fn push(&mut self, record: &EntryRecord) {
        self.rows.extend_from_slice(&record.header.encode());
        let stamp = record.producer.unwrap_or(ProducerStamp {
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
        });
        self.rows
            .extend_from_slice(&stamp.producer_id.to_le_bytes());
        self.rows
            .extend_from_slice(&i32::from(stamp.producer_epoch).to_le_bytes());
        self.rows
            .extend_from_slice(&stamp.base_sequence.to_le_bytes());
    }

    /// The sidecar's bytes: rows, where the entries end, the CRC-32C of all that, and four bytes of zero.
    pub fn finish(mut self, end: u32) -> Vec<u8> {
        self.rows.extend_from_slice(&u64::from(end).to_le_bytes());
        let crc = crc32c::crc32c(&self.rows);
        self.rows.extend_from_slice(&crc.to_le_bytes());
        self.rows.extend_from_slice(&[0; 4]);
        self.rows
    }
}

/// Writes a sidecar so that it is either whole or not there.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("idx.tmp");
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Half a sidecar is of no use, and may be what fills the disk.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A sound sidecar.
#[derive(Debug)]
pub(crate) struct Sidecar {
    bytes: Vec<u8>,
    file: u32,
    /// Where the entries of the file end.
    pub end: u32,
}

impl Sidecar {
    /// The sidecar of file `id`, if it is there and sound.
    pub fn read(path: &Path, id: u32) -> Option<Self> {
        Self::decode(fs::read(path).ok()?, id)
    }

    /// The inverse of [`SidecarBuilder`].
    pub fn decode(bytes: Vec<u8>, id: u32) -> Option<Self> {
        let rows = bytes.len().checked_sub(TRAILER)?;
        let covered = &bytes[..rows + 8];
        let sound = rows.is_multiple_of(ROW)
            && bytes[rows + 12..] == [0; 4]
            && le_u32(&bytes, rows + 8) == crc32c::crc32c(covered);
        if !sound {
            return None;
        }
        let end = u32::try_from(le_u64(&bytes, rows)).ok()?;
        let sidecar = Self {
            bytes,
            file: id,
            end,
        };
        sidecar.is_consistent().then_some(sidecar)
    }

    /// Whether all entries can be one after the other in a file that ends where the sidecar says.
    fn is_consistent(&self) -> bool {
        let mut end = Some(FILE_HEADER);
        for row in self.rows() {
            end = row.and_then(|record| {
                let position = record.header.lsn.position();
                (end? <= position).then_some(())?;
                position.checked_add(record.header.stored_bytes())
            });
        }
        end.is_some_and(|end| end <= self.end)
    }

    /// The entries, in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = EntryRecord> {
        self.rows().flatten()
    }

    fn rows(&self) -> impl Iterator<Item = Option<EntryRecord>> {
        let rows = &self.bytes[..self.bytes.len() - TRAILER];
        rows.chunks_exact(ROW).map(|row| decode_row(row, self.file))
    }
}

fn decode_row(row: &[u8], id: u32) -> Option<EntryRecord> {
    let header = EntryHeader::decode(row)?;
    if header.lsn.file() != id {
        return None;
    }
    let tail = &row[ENTRY_HEADER as usize..];
    let stamp = ProducerStamp {
        producer_id: le_u64(tail, 0).cast_signed(),
        producer_epoch: i16::try_from(le_u32(tail, 8).cast_signed()).ok()?,
        base_sequence: le_u32(tail, 12).cast_signed(),
    };
    Some(EntryRecord {
        header,
        producer: (stamp.producer_id >= 0).then_some(stamp),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Lsn, PartitionId};
    use crate::valuelog::entry::EntryKind;

    fn record(position: u32, producer: Option<ProducerStamp>) -> EntryRecord {
        EntryRecord {
            header: EntryHeader {
                length: 10,
                payload_crc: 1,
                kind: EntryKind::Append,
                lsn: Lsn::new(5, position),
                partition: PartitionId(1),
                base_offset: 3,
                last_offset_delta: 0,
                leader_epoch: 0,
                max_timestamp: 8,
                durable: Lsn::new(5, 0),
            },
            producer,
        }
    }

    #[test]
    fn sidecars_round_trip_and_notice_damage() {
        let stamp = ProducerStamp {
            producer_id: 4,
            producer_epoch: 2,
            base_sequence: 77,
        };
        let records = vec![record(4096, Some(stamp)), record(4176, None)];
        let mut builder = SidecarBuilder::default();
        records.iter().for_each(|r| builder.push(r));
        let bytes = builder.finish(4256);
        let mut builder = SidecarBuilder::default();
        records.iter().for_each(|r| builder.push(r));
        let too_short = builder.finish(4248);
        assert!(Sidecar::decode(too_short, 5).is_none());
        let decoded = Sidecar::decode(bytes.clone(), 5).unwrap();
        assert_eq!(decoded.entries().collect::<Vec<_>>(), records);
        assert_eq!(decoded.end, 4256);
        assert!(Sidecar::decode(bytes.clone(), 6).is_none());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Sidecar::decode(damaged, 5).is_none(), "byte {at}");
        }
        for length in 0..bytes.len() {
            assert!(
                Sidecar::decode(bytes[..length].to_vec(), 5).is_none(),
                "length {length}"
            );
        }
    }
}
