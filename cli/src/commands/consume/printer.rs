//! Prints records, up to a number of them.

use std::io::{self, IsTerminal, Write};

use fjord_client::proto::PartitionRecords;

use crate::{failure::Failure, format::render::Renderer, progress::Progress};

/// How many bytes are written at once, about.
const WRITE_BYTES: usize = 64 << 10;

/// Prints records.
pub struct Printer {
    renderer: Renderer,
    /// How many records are still wanted; without end if nothing is said.
    left: Option<u64>,
    bytes: Vec<u8>,
    progress: Progress,
}

impl Printer {
    /// Prints at most `count` records.
    pub fn new(renderer: Renderer, count: Option<u64>) -> Self {
        Self {
            renderer,
            left: count,
            bytes: Vec::new(),
            // Records and a bar on one terminal would be in each other's way.
            progress: Progress::new("records", count, !io::stdout().is_terminal()),
        }
    }

    /// Whether all that were wanted are printed.
    pub fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints records, and returns the offset behind the last one that was.
    ///
    /// # Errors
    ///
    /// If standard output does not take them.
    pub fn print(&mut self, batch: &PartitionRecords) -> Result<i64, Failure> {
        let mut next_offset = batch.next_offset;
        let mut printed = 0;
        for record in &batch.records {
            if let Some(left) = &mut self.left {
                if *left == 0 {
                    next_offset = record.offset;
                    break;
                }
                *left -= 1;
            }
            self.renderer
                .render(&batch.topic, batch.partition, record, &mut self.bytes);
            printed += 1;
            if self.bytes.len() >= WRITE_BYTES {
                self.write()?;
            }
        }
        self.write()?;
        self.progress.add(printed);
        Ok(next_offset)
    }

    fn write(&mut self) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(&self.bytes).and_then(|()| stdout.flush());
        self.bytes.clear();
        written.map_err(Failure::Output)
    }
}
