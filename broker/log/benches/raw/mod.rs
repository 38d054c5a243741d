//! The reference: batches of all partitions one after the other in files, and nothing else. No offsets, no
//! index, no checksums, nothing can be read back by partition.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::IoSlice;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use rustix::fs::FallocateFlags;

use crate::Done;

/// Slices that one system call takes at most (`IOV_MAX` on Linux).
const SLICES: usize = 1024;

struct Append {
    /// Partition and length: what it takes to find the batches again.
    header: [u8; 16],
    batch: Bytes,
    done: Done,
}

#[derive(Default)]
struct Waiting {
    appends: VecDeque<Append>,
    closed: bool,
}

struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    group_bytes: usize,
}

pub struct RawFile {
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
}

impl RawFile {
    /// Writes round and round over `count` files of `file_bytes` bytes.
    pub fn open(directory: &Path, file_bytes: u32, count: usize, group_bytes: u32) -> Self {
        fs::create_dir_all(directory).expect("the directory can be made");
        let make = |i: usize| {
            let path = directory.join(i.to_string());
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(path)
                .expect("the file can be made");
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, u64::from(file_bytes))
                .expect("there is room");
            file.sync_all().expect("the file can be synced");
            file
        };
        let files: Vec<File> = (0..count).map(make).collect();
        let queue = Arc::new(Queue {
            waiting: Mutex::default(),
            arrived: Condvar::new(),
            group_bytes: group_bytes as usize,
        });
        let of_writer = queue.clone();
        let writer = std::thread::Builder::new()
            .name("raw-writer".into())
            .spawn(move || write(&files, u64::from(file_bytes), &of_writer))
            .expect("a thread starts");
        Self {
            queue,
            writer: Some(writer),
        }
    }

    pub fn push(&self, partition: u64, batch: Bytes, done: Done) {
        let mut header = [0; 16];
        header[..8].copy_from_slice(&partition.to_le_bytes());
        header[8..].copy_from_slice(&(batch.len() as u64).to_le_bytes());
        let mut waiting = self
            .queue
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        waiting.appends.push_back(Append {
            header,
            batch,
            done,
        });
        let first = waiting.appends.len() == 1;
        drop(waiting);
        if first {
            self.queue.arrived.notify_one();
        }
    }
}

impl Drop for RawFile {
    fn drop(&mut self) {
        self.queue
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.queue.arrived.notify_all();
        if let Some(writer) = self.writer.take() {
            writer.join().expect("the writer ends in order");
        }
    }
}

impl Queue {
    fn take(&self) -> Vec<Append> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.appends.is_empty() && !waiting.closed {
            waiting = self
                .arrived
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let (mut group, mut bytes) = (Vec::new(), 0);
        while let Some(next) = waiting.appends.front() {
            bytes += next.batch.len() + next.header.len();
            if !group.is_empty() && bytes > self.group_bytes {
                break;
            }
            group.extend(waiting.appends.pop_front());
        }
        group
    }
}

/// One group, one vectored write, one sync, then the completions.
fn write(files: &[File], file_bytes: u64, queue: &Queue) {
    let (mut current, mut position) = (0, 0);
    loop {
        let group = queue.take();
        if group.is_empty() {
            return;
        }
        let bytes: u64 = group
            .iter()
            .map(|a| (a.batch.len() + a.header.len()) as u64)
            .sum();
        if position + bytes > file_bytes {
            (current, position) = ((current + 1) % files.len(), 0);
        }
        let slices: Vec<IoSlice> = group
            .iter()
            .flat_map(|a| [IoSlice::new(&a.header), IoSlice::new(&a.batch)])
            .collect();
        for some in slices.chunks(SLICES) {
            let expected: usize = some.iter().map(|s| s.len()).sum();
            let written = rustix::io::pwritev(&files[current], some, position);
            assert_eq!(
                written,
                Ok(expected),
                "regular files take everything at once"
            );
            position += expected as u64;
        }
        files[current].sync_data().expect("the file can be synced");
        group.into_iter().for_each(|append| (append.done)());
    }
}
