//! Sidecars: all entry headers of a sealed file in one small file, so that the index can be rebuilt
//! without reading the data.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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

/// Rows are kept in memory up to so many bytes.
const SPILL_BYTES: usize = 256 << 10;

/// Writes the sidecar of a file, row by row as the file gets its entries. However many there are, few rows are
/// in memory; the others wait in a temporary file, which becomes the sidecar once it is whole.
#[derive(Debug)]
pub(crate) struct SidecarWriter {
    path: PathBuf,
    rows: Vec<u8>,
    spilled: Spilled,
}

#[derive(Debug)]
enum Spilled {
    Nothing,
    Rows {
        file: File,
        crc: u32,
    },
    /// Rows are lost, and there will be no sidecar: the file is read where one would have been.
    Failed(io::Error),
}

impl SidecarWriter {
    /// A writer of the sidecar at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            rows: Vec::new(),
            spilled: Spilled::Nothing,
        }
    }

    /// Adds an entry, behind those that were added before.
    pub fn push(&mut self, record: &EntryRecord) {
        encode_row(record, &mut self.rows);
        if self.rows.len() >= SPILL_BYTES {
            self.spill();
            self.rows.clear();
        }
    }

    fn spill(&mut self) {
        let spilled = match std::mem::replace(&mut self.spilled, Spilled::Nothing) {
            Spilled::Nothing => File::create(self.temporary()).map(|file| (file, 0)),
            Spilled::Rows { file, crc } => Ok((file, crc)),
            Spilled::Failed(error) => Err(error),
        };
        let spilled = spilled.and_then(|(mut file, crc)| {
            file.write_all(&self.rows)?;
            Ok((file, crc32c::crc32c_append(crc, &self.rows)))
        });
        self.spilled = match spilled {
            Ok((file, crc)) => Spilled::Rows { file, crc },
            Err(error) => {
                // Half a sidecar is of no use, and may be what fills the disk.
                let _ = fs::remove_file(self.temporary());
                Spilled::Failed(error)
            }
        };
    }

    /// Makes it a whole sidecar of a file whose entries end at `end`.
    pub fn finish(mut self, end: u32) -> io::Result<()> {
        let crc = match self.spilled {
            Spilled::Rows { crc, .. } => crc,
            _ => 0,
        };
        end_rows(&mut self.rows, crc, end);
        self.spill();
        match &self.spilled {
            Spilled::Rows { file, .. } => file
                .sync_data()
                .and_then(|()| fs::rename(self.temporary(), &self.path))
                .inspect_err(|_| {
                    let _ = fs::remove_file(self.temporary());
                }),
            Spilled::Failed(error) => Err(io::Error::new(error.kind(), error.to_string())),
            Spilled::Nothing => Ok(()),
        }
    }

    fn temporary(&self) -> PathBuf {
        self.path.with_extension("idx.tmp")
    }
}

/// Adds an entry's row: its header, and the producer's stamp.
fn encode_row(record: &EntryRecord, rows: &mut Vec<u8>) {
    let stamp = record.producer.unwrap_or(ProducerStamp {
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
    });
    rows.extend_from_slice(&record.header.encode());
    rows.extend_from_slice(&stamp.producer_id.to_le_bytes());
    rows.extend_from_slice(&i32::from(stamp.producer_epoch).to_le_bytes());
    rows.extend_from_slice(&stamp.base_sequence.to_le_bytes());
}

/// Adds what is behind the rows: where the entries end, the CRC-32C of all before it, and four bytes of zero.
/// `crc` is that of the rows before those in `rows`.
fn end_rows(rows: &mut Vec<u8>, crc: u32, end: u32) {
    rows.extend_from_slice(&u64::from(end).to_le_bytes());
    let crc = crc32c::crc32c_append(crc, rows);
    rows.extend_from_slice(&crc.to_le_bytes());
    rows.extend_from_slice(&[0; 4]);
}

/// The bytes of a sidecar.
pub(crate) fn encode(records: &[EntryRecord], end: u32) -> Vec<u8> {
    let mut rows = Vec::new();
    records.iter().for_each(|r| encode_row(r, &mut rows));
    end_rows(&mut rows, 0, end);
    rows
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

    /// What [`SidecarWriter`] has written.
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
        let bytes = encode(&records, 4256);
        let too_short = encode(&records, 4248);
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

    #[test]
    fn many_rows_go_through_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("5.idx");
        let records: Vec<_> = (0..10_000).map(|i| record(4096 + i * 80, None)).collect();
        let end = 4096 + 10_000 * 80;
        let mut writer = SidecarWriter::new(path.clone());
        for record in &records {
            writer.push(record);
            assert!(writer.rows.len() < SPILL_BYTES);
        }
        assert!(!path.exists());
        writer.finish(end).unwrap();
        assert_eq!(fs::read(&path).unwrap(), encode(&records, end));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_sidecar_that_lost_rows_is_none() {
        let path = PathBuf::from("/nowhere/5.idx");
        let mut writer = SidecarWriter::new(path);
        (0..10_000).for_each(|i| writer.push(&record(4096 + i * 80, None)));
        assert_eq!(
            writer.finish(4096).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
