//! Where records come from: arguments, or files that a thread reads.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    thread,
};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::ProduceArgs;
use crate::{
    failure::Failure,
    format::input::{InputRecord, LineFormat},
};

/// How many records go to the producer at a time, at most: fewer if the input has no more yet.
const CHUNK_RECORDS: usize = 1000;
/// How many such chunks may wait.
const CHUNKS: usize = 4;
/// How much is read from a file at once.
const BUFFER_BYTES: usize = 256 << 10;

type Chunk = Result<Vec<InputRecord>, Failure>;

/// Records that come.
pub struct Source {
    chunks: mpsc::Receiver<Chunk>,
}

/// What the thread knows.
struct Reader {
    format: LineFormat,
    delimiter: u8,
    chunks: mpsc::Sender<Chunk>,
}

/// Nobody wants more.
struct Enough;

impl Source {
    /// Begins to read what the arguments say.
    pub fn open(args: &ProduceArgs) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS);
        let reader = Reader {
            format: args.line_format(),
            delimiter: args.delimiter,
            chunks: sender,
        };
        let values = args.values.clone();
        let mut files = args.file.clone();
        if values.is_empty() && files.is_empty() {
            files.push(PathBuf::from("-"));
        }
        thread::spawn(move || {
            // Whoever wants no more knows why.
            let _ = reader.read_all(values, &files);
        });
        Self { chunks }
    }

    /// The next records, or nothing at the end.
    pub async fn next(&mut self) -> Option<Chunk> {
        self.chunks.recv().await
    }
}

impl Reader {
    fn read_all(&self, values: Vec<String>, files: &[PathBuf]) -> Result<(), Enough> {
        self.read_values(values)?;
        files.iter().try_for_each(|file| self.read_file(file))
    }

    fn read_values(&self, values: Vec<String>) -> Result<(), Enough> {
        let mut records = Vec::new();
        for (number, value) in (1_u64..).zip(values) {
            match self.format.parse(value.into()) {
                Ok(record) => records.extend(record),
                Err(error) => {
                    self.pass(records)?;
                    return self.fail(Failure::Usage(format!("record {number}: {error}")));
                }
            }
        }
        self.pass(records)
    }

    fn read_file(&self, path: &Path) -> Result<(), Enough> {
        if path == Path::new("-") {
            return self.read(io::stdin().lock(), "standard input");
        }
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => self.read(file, &name),
            Err(error) => self.fail(Failure::File {
                what: format!("cannot open {name}"),
                error,
            }),
        }
    }

    fn read(&self, input: impl io::Read, name: &str) -> Result<(), Enough> {
        let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
        let mut records = Vec::new();
        for number in 1_u64.. {
            let mut line = Vec::new();
            match input.read_until(self.delimiter, &mut line) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    self.pass(records)?;
                    return self.fail(Failure::File {
                        what: format!("cannot read {name}"),
                        error,
                    });
                }
            }
            if line.last() == Some(&self.delimiter) {
                line.pop();
            }
            match self.format.parse(Bytes::from(line)) {
                Ok(record) => records.extend(record),
                Err(error) => {
                    self.pass(records)?;
                    return self.fail(Failure::Usage(format!("{name}, line {number}: {error}")));
                }
            }
            // Whoever types, or writes slowly, does not wait for others.
            if records.len() >= CHUNK_RECORDS || input.buffer().is_empty() {
                self.pass(std::mem::take(&mut records))?;
            }
        }
        self.pass(records)
    }

    fn pass(&self, records: Vec<InputRecord>) -> Result<(), Enough> {
        if records.is_empty() {
            return Ok(());
        }
        self.chunks.blocking_send(Ok(records)).map_err(|_| Enough)
    }

    fn fail(&self, failure: Failure) -> Result<(), Enough> {
        // Nothing is read after a failure, whether anybody hears of it or not.
        let _ = self.chunks.blocking_send(Err(failure));
        Err(Enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &str, format: LineFormat) -> Vec<Chunk> {
        let (sender, mut chunks) = mpsc::channel(CHUNKS);
        let reader = Reader {
            format,
            delimiter: b'\n',
            chunks: sender,
        };
        let _ = reader.read(input.as_bytes(), "input");
        drop(reader);
        std::iter::from_fn(|| chunks.blocking_recv()).collect()
    }

    #[test]
    fn the_last_line_need_not_end() {
        let plain = LineFormat::Plain {
            separator: None,
            null: None,
        };
        let chunks = read("a\n\nb", plain);
        let values: Vec<_> = chunks
            .into_iter()
            .flat_map(|chunk| chunk.expect("records"))
            .map(|record| record.value.expect("a value"))
            .collect();
        assert_eq!(values, ["a", "", "b"]);
    }

    #[test]
    fn a_wrong_line_is_named_and_those_before_are_kept() {
        let chunks = read("{\"value\":\"a\"}\nnonsense\n{}\n", LineFormat::Json);
        assert_eq!(chunks.len(), 2);
        assert_eq!(chunks[0].as_ref().map(Vec::len).ok(), Some(1));
        let error = chunks[1].as_ref().expect_err("the second line");
        assert!(error.to_string().starts_with("input, line 2: "), "{error}");
    }
}
