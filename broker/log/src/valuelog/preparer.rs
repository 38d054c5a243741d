//! The helper thread that makes the next file ahead of time and finishes sealed ones, so that the writer
//! waits for neither. While the next file waits to be taken, it is filled with zeros, see [`zeroing`].
//!
//! [`zeroing`]: super::zeroing

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::log::Shared;
use crate::types::Lsn;
use crate::valuelog::entry::FILE_HEADER;
use crate::valuelog::file::ValueLogFile;
use crate::valuelog::files::Room;
use crate::valuelog::scan;
use crate::valuelog::sidecar::SidecarWriter;
use crate::valuelog::zeroing::Zeroing;

/// Requests that may wait for the thread; the writer asks for one file at a time and seals one at a time.
const QUEUE: usize = 16;

enum Request {
    Make {
        id: u32,
        least: u32,
        room: Room,
    },
    Seal {
        file: Arc<ValueLogFile>,
        end: u32,
        sidecar: SidecarWriter,
    },
    AddSidecar {
        file: Arc<ValueLogFile>,
    },
}

/// A handle on the thread; dropping it lets the thread finish what was asked and ends it.
pub(crate) struct Preparer {
    requests: Option<SyncSender<Request>>,
    ready: Arc<Ready>,
    /// A file was asked for and has not been taken.
    asked: bool,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Ready {
    slot: Mutex<Option<io::Result<Arc<ValueLogFile>>>>,
    filled: Condvar,
}

impl Preparer {
    pub fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let (requests, queue) = sync_channel(QUEUE);
        let ready = Arc::new(Ready::default());
        let to_fill = ready.clone();
        let thread = std::thread::Builder::new()
            .name("fjord-prepare".into())
            .spawn(move || run(&shared, &queue, &to_fill))?;
        Ok(Self {
            requests: Some(requests),
            ready,
            asked: false,
            thread: Some(thread),
        })
    }

    /// Asks for file `id` with at least `least` bytes; [`Preparer::take`] hands it out.
    pub fn make(&mut self, id: u32, least: u32, room: Room) {
        self.asked = true;
        self.send(Request::Make { id, least, room });
    }

    /// Waits for the file that was asked for; nothing if none was.
    pub fn take(&mut self) -> Option<io::Result<Arc<ValueLogFile>>> {
        if !std::mem::take(&mut self.asked) {
            return None;
        }
        let mut slot = self
            .ready
            .slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(result) = slot.take() {
                return Some(result);
            }
            slot = self
                .ready
                .filled
                .wait(slot)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes the sidecar of a file that was sealed without one, since the process ended before.
    pub fn add_sidecar(&self, file: Arc<ValueLogFile>) {
        self.send(Request::AddSidecar { file });
    }

    /// Finishes a file that gets no more entries: cuts off the rest, and writes the sidecar.
    pub fn seal(&self, file: Arc<ValueLogFile>, end: u32, sidecar: SidecarWriter) {
        self.send(Request::Seal { file, end, sidecar });
    }

    fn send(&self, request: Request) {
        let sender = self
            .requests
            .as_ref()
            .expect("the sender is there until drop");
        if sender.send(request).is_err() {
            tracing::error!("the thread that prepares files has ended");
        }
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that prepares files panicked");
        }
    }
}

impl Ready {
    fn put(&self, made: io::Result<Arc<ValueLogFile>>) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        self.filled.notify_all();
    }

    /// Goes on with the zeros of the file that waits here. Whoever takes it waits meanwhile, so that nothing is
    /// overwritten that comes after.
    fn zero(&self, zeroing: Zeroing, shared: &Shared) -> Option<Zeroing> {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(Ok(_)) => zeroing.step(&shared.counters),
            _ => None,
        }
    }
}

fn run(shared: &Shared, queue: &Receiver<Request>, ready: &Ready) {
    let mut zeroing: Option<Zeroing> = None;
    loop {
        let request = match zeroing.take() {
            None => queue.recv().map_err(RecvTimeoutError::from),
            Some(current) => match queue.recv_timeout(current.pause()) {
                Err(RecvTimeoutError::Timeout) => {
                    zeroing = ready.zero(current, shared);
                    continue;
                }
                request => {
                    zeroing = Some(current);
                    request
                }
            },
        };
        let Ok(request) = request else { return };
        let (file, result) = match request {
            Request::Make { id, least, room } => {
                let made = shared.files.make(id, least, room);
                zeroing = made
                    .as_ref()
                    .ok()
                    .and_then(|made| Zeroing::of(made, shared));
                ready.put(made.map(|made| made.file));
                continue;
            }
            Request::Seal { file, end, sidecar } => {
                let result = seal(&file, end, sidecar);
                (file, result)
            }
            Request::AddSidecar { file } => {
                let result = add_sidecar(&file);
                (file, result)
            }
        };
        if let Err(error) = result {
            // Without a sidecar the file is scanned when the index is rebuilt: slower, not less safe.
            tracing::warn!(file = file.id, %error, "could not finish a sealed file");
        }
    }
}

fn seal(file: &ValueLogFile, end: u32, sidecar: SidecarWriter) -> io::Result<()> {
    // A file that is all but full keeps its size, so that it can be reused without a new allocation.
    if end < file.capacity / 8 * 7 {
        file.cut(end)?;
    }
    sidecar.finish(end)
}

/// The file ends where its entries end, and all of them are known to be durable.
fn add_sidecar(file: &ValueLogFile) -> io::Result<()> {
    let end = file.len()?;
    let scanned = scan::verify(file, FILE_HEADER, Lsn::new(file.id, end))?;
    let mut sidecar = SidecarWriter::new(file.sidecar_path());
    scan::visit(file, FILE_HEADER, &scanned, &mut |record| {
        sidecar.push(&record);
    })?;
    sidecar.finish(end)
}
