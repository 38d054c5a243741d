//! A second copy of the metadata, in a plain file beside the log.
//!
//! The log holds each metadata record once, and one that is damaged would take every topic with it. So each
//! change is written here too, after it is durable in the log. The file is not synced with every change: it
//! is there against damage, not against loss of power, after which the log is whole.
//!
//! ```text
//! fjord-metadata 1
//! 1b2c3d4e {"after":null,"end":57,"records":[["cluster","{...}"],["topic/t","{...}"]]}   all that was before
//! 9a8b7c6d {"after":57,"end":58,"records":[["topic/t",null]]}                            then change by change
//! ```
//!
//! A line begins with the CRC-32C of what follows the space. `end` is the offset in the metadata's partition
//! up to which the file is complete with this line; each line names the end of the one before.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::metadata::records::EncodedRecord;

/// The first line: what the file is, and the version of its form.
const HEADER: &str = "fjord-metadata 1";
/// The file is written anew when the changes in it take more than this and more than all that was before.
const REWRITE_AT_BYTES: usize = 1 << 20;

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The offset in the metadata's partition up to which `records` is complete.
    pub end: u64,
    /// The records, oldest first.
    pub records: Vec<EncodedRecord>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    after: Option<u64>,
    end: u64,
    records: Vec<(String, Option<String>)>,
}

/// The file, open for further changes.
pub struct MetadataCopy {
    path: PathBuf,
    /// Nothing if the file must be written anew before it takes changes.
    open: Option<Open>,
}

struct Open {
    file: File,
    end: u64,
    /// Bytes of the line with all that was before, and of the changes after it.
    base_bytes: usize,
    change_bytes: usize,
}

impl MetadataCopy {
    /// The copy at `path`, with what can be read of it; nothing if there is no such file, or its first lines
    /// are damaged. What comes after a damaged line is left out. It takes no changes before it was written
    /// with [`Self::rewrite`].
    ///
    /// # Errors
    ///
    /// If the file is there and cannot be read.
    pub fn open(path: PathBuf) -> io::Result<(Self, Option<Contents>)> {
        let contents = match fs::read(&path) {
            Ok(bytes) => decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok((Self { path, open: None }, contents))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it can take the change after `end`; if not, it is to be written anew.
    pub fn is_complete_to(&self, end: u64) -> bool {
        self.open.as_ref().is_some_and(|open| {
            open.end == end && open.change_bytes <= open.base_bytes.max(REWRITE_AT_BYTES)
        })
    }

    /// Adds a change, which makes the file complete up to `end`.
    ///
    /// # Errors
    ///
    /// If it cannot be written. The file takes no more changes then, before it was written anew.
    pub fn append(&mut self, records: &[EncodedRecord], end: u64) -> io::Result<()> {
        let mut open = self
            .open
            .take()
            .ok_or_else(|| io::Error::other("the copy is not complete"))?;
        let line = encode_line(Some(open.end), end, records)?;
        open.file.write_all(&line)?;
        open.end = end;
        open.change_bytes += line.len();
        self.open = Some(open);
        Ok(())
    }

    /// Replaces the file by one that holds what is left of `records` when every one that a later one
    /// supersedes is gone.
    ///
    /// # Errors
    ///
    /// If it cannot be written; the old file is still there then.
    pub fn rewrite(&mut self, records: &[EncodedRecord], end: u64) -> io::Result<()> {
        self.open = None;
        let line = encode_line(None, end, &newest(records))?;
        let temporary = self.path.with_extension("tmp");
        let file = replace(&self.path, &temporary, &line).inspect_err(|_| {
            // Half a file is of no use, and may be what fills the disk.
            let _ = fs::remove_file(&temporary);
        })?;
        self.open = Some(Open {
            file,
            end,
            base_bytes: line.len(),
            change_bytes: 0,
        });
        Ok(())
    }
}

/// Puts a file with the header and `line` in the place of `path`.
fn replace(path: &Path, temporary: &Path, line: &[u8]) -> io::Result<File> {
    let mut file = File::create(temporary)?;
    file.write_all(format!("{HEADER}\n").as_bytes())?;
    file.write_all(line)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(file)
}

/// The last record of every key, without those that delete.
pub fn newest(records: &[EncodedRecord]) -> Vec<EncodedRecord> {
    let mut latest: BTreeMap<&Bytes, &EncodedRecord> = BTreeMap::new();
    for record in records {
        latest.insert(&record.key, record);
    }
    let left = latest.into_values().filter(|record| record.value.is_some());
    left.cloned().collect()
}

fn encode_line(after: Option<u64>, end: u64, records: &[EncodedRecord]) -> io::Result<Vec<u8>> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).map_err(io::Error::other);
    let records = records
        .iter()
        .map(|r| Ok((text(&r.key)?, r.value.as_ref().map(text).transpose()?)))
        .collect::<io::Result<_>>()?;
    let json = serde_json::to_vec(&Line {
        after,
        end,
        records,
    })?;
    let mut line = format!("{:08x} ", crc32c::crc32c(&json)).into_bytes();
    line.extend_from_slice(&json);
    line.push(b'\n');
    Ok(line)
}

fn decode(bytes: &[u8]) -> Option<Contents> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    if lines.next()?.strip_suffix(b"\n")? != HEADER.as_bytes() {
        return None;
    }
    let first = decode_line(lines.next()?).filter(|line| line.after.is_none())?;
    let mut contents = Contents {
        end: first.end,
        records: encoded(first.records).collect(),
    };
    for line in lines.map_while(decode_line) {
        if line.after != Some(contents.end) {
            break;
        }
        contents.end = line.end;
        contents.records.extend(encoded(line.records));
    }
    Some(contents)
}

fn decode_line(line: &[u8]) -> Option<Line> {
    let (crc, json) = line.strip_suffix(b"\n")?.split_at_checked(9)?;
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?.strip_suffix(' ')?, 16).ok()?;
    if crc != crc32c::crc32c(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn encoded(records: Vec<(String, Option<String>)>) -> impl Iterator<Item = EncodedRecord> {
    records.into_iter().map(|(key, value)| EncodedRecord {
        key: key.into(),
        value: value.map(Bytes::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: Option<&str>) -> EncodedRecord {
        EncodedRecord {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: value.map(|v| Bytes::copy_from_slice(v.as_bytes())),
        }
    }

    fn read(path: &Path) -> Option<Contents> {
        MetadataCopy::open(path.to_owned()).unwrap().1
    }

    /// A file with three lines: a base up to 3, and changes up to 4 and 6.
    fn written(path: &Path) -> MetadataCopy {
        let (mut copy, found) = MetadataCopy::open(path.to_owned()).unwrap();
        assert_eq!(found, None);
        let base = [
            record("a", Some("1")),
            record("b", Some("\"2\"\n")),
            record("a", Some("3")),
            record("c", None),
        ];
        copy.rewrite(&base, 3).unwrap();
        copy.append(&[record("c", Some("4"))], 4).unwrap();
        let last = [record("a", None), record("d", Some("ü"))];
        copy.append(&last, 6).unwrap();
        copy
    }

    #[test]
    fn what_was_written_is_read_and_what_is_superseded_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy");
        let copy = written(&path);
        assert!(copy.is_complete_to(6) && !copy.is_complete_to(7));
        let expected = vec![
            record("a", Some("3")),
            record("b", Some("\"2\"\n")),
            record("c", Some("4")),
            record("a", None),
            record("d", Some("ü")),
        ];
        let contents = read(&path).unwrap();
        assert_eq!((contents.end, &contents.records), (6, &expected));
        let left = [
            record("b", Some("\"2\"\n")),
            record("c", Some("4")),
            record("d", Some("ü")),
        ];
        assert_eq!(newest(&expected), left);
    }

    #[test]
    fn damage_anywhere_leaves_the_lines_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy");
        written(&path);
        let bytes = fs::read(&path).unwrap();
        let ends: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').collect();
        for at in 0..bytes.len() {
            for damaged in [
                bytes[..at].to_vec(),
                [&bytes[..at], &[bytes[at] ^ 4], &bytes[at + 1..]].concat(),
            ] {
                let end = decode(&damaged).map(|contents| contents.end);
                let whole_lines = ends.iter().filter(|end| **end < at).count();
                let expected = [None, None, Some(3), Some(4)][whole_lines];
                assert_eq!(end, expected, "byte {at}");
            }
        }
    }

    #[test]
    fn a_file_that_lacks_a_change_or_has_grown_is_to_be_written_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (mut copy, _) = MetadataCopy::open(directory.path().join("copy")).unwrap();
        assert!(!copy.is_complete_to(0));
        assert!(copy.append(&[], 1).is_err());
        copy.rewrite(&[], 1).unwrap();
        assert!(copy.is_complete_to(1));
        copy.append(&[record("a", Some(&"x".repeat(REWRITE_AT_BYTES)))], 2)
            .unwrap();
        assert!(!copy.is_complete_to(2));
    }
}
