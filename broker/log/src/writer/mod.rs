//! The one thread that writes the value log.
//!
//! ```text
//! take what waits (at most one group) ─► refuse what cannot be written ─► header+payload of each into one
//! buffer ─► written in pieces ─► shown to followers, if there are any ─► one fdatasync ─► publish to partitions ─► complete ─► hand over to the indexer
//!                               └─ from here on other threads, if there is more to write: see [`pipeline`]
//! ```
//!
//! There is no timer: what arrives during one sync makes the next group. Pages are written whole, with zeros
//! behind the last entry. Wherever something is refused, or another file begins, everything before is published
//! first: a group in flight is always a whole one, and all groups in flight are in one file.

mod group;
mod pipeline;
mod publisher;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use self::group::{Current, Group, PAGE_BYTES, RESERVE_MOST, RESERVE_SHARE};
use self::pipeline::Pipeline;
use self::publisher::{Publisher, Written};
use crate::error::AppendError;
use crate::fold::Extents;
use crate::log::Shared;
use crate::options::Durability;
use crate::queue::{Op, PendingEntry, Work};
use crate::ring::{Buffers, Ring};
use crate::stats::Counters;
use crate::types::{Lsn, PartitionId, length_u32};
use crate::valuelog::entry::{EntryKind, FILE_HEADER, stored_bytes};
use crate::valuelog::file::ValueLogFile;
use crate::valuelog::files::Room;
use crate::valuelog::preparer::Preparer;
use crate::valuelog::sidecar::SidecarWriter;

/// Missing sidecars that one start has written; there is hardly ever more than one.
const SIDECARS_AT_ONCE: usize = 8;
/// A group takes at most this share of a file, however large groups may be.
const GROUP_SHARE: u32 = 4;
/// A group is written in pieces of about this size, each as soon as it has been put together: it is still in
/// the processor's cache then, which makes the write nearly twice as fast.
const PIECE_BYTES: usize = 256 << 10;
/// A group takes at most so many bytes: while it is synced, the next one is written.
const GROUP_BYTES: u32 = 1 << 20;
/// With so much waiting, other threads take over when a group is written. With less, handing over would take longer
/// than what it saves.
const MUCH_BYTES: usize = 256 << 10;
/// The id under which snapshots stand; no partition has it.
const NO_PARTITION: PartitionId = PartitionId(0);

/// The state of the writer thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    preparer: Preparer,
    current: Option<Current>,
    next_id: u32,
    /// All partitions as of the last entry written.
    extents: Extents,
    buffers: Arc<Buffers>,
    pipeline: Pipeline,
    /// Whether appends are refused because the disk is full.
    is_full: bool,
}

impl Writer {
    /// A writer whose next file is `next_id`, for a log whose partitions stand as `extents` says.
    /// Sidecars are written for the files that have none.
    pub fn new(
        shared: Arc<Shared>,
        next_id: u32,
        extents: Extents,
        without_sidecar: Vec<Arc<ValueLogFile>>,
    ) -> io::Result<Self> {
        let mut preparer = Preparer::start(shared.clone())?;
        preparer.make(next_id, 0, Room::Free);
        // Newest first: the older ones can wait for the next start.
        for file in without_sidecar.into_iter().rev().take(SIDECARS_AT_ONCE) {
            preparer.add_sidecar(file);
        }
        let buffers = Arc::new(Buffers::default());
        let ring = Ring::new(shared.options.recent_bytes, buffers.clone());
        let durable = Lsn::new(next_id, FILE_HEADER);
        let publisher = Publisher::new(shared.clone(), ring);
        let pipeline = Pipeline::start(&shared, publisher, durable)?;
        Ok(Self {
            shared,
            preparer,
            current: None,
            next_id,
            extents,
            buffers,
            pipeline,
            is_full: false,
        })
    }

    /// Works until the queue is closed and empty; returns where the log ends.
    pub fn run(mut self) -> Lsn {
        let mut group = Vec::new();
        let options = &self.shared.options;
        let limit = options
            .group_bytes
            .min(options.file_bytes / GROUP_SHARE)
            .min(GROUP_BYTES);
        while self.shared.queue.take(limit, &mut group) {
            // Neighbours in the file are of one partition, which makes cold reads sequential. The sort is
            // stable: a partition's own order stays.
            group.sort_by_key(|op| op.partition.id());
            if let Err(error) = self.write(std::mem::take(&mut group)) {
                self.shared.fail_appends(&error);
                return self.pipeline.durable();
            }
        }
        self.finish()
    }

    fn write(&mut self, ops: Vec<Op>) -> io::Result<()> {
        let mut ops = self.admit(ops)?;
        if ops.is_empty() {
            return Ok(());
        }
        let mut group = Group::default();
        let bytes: u32 = ops.iter().map(Op::stored_bytes).sum();
        if bytes > 0 {
            // With room for what fills the last page.
            group.buffer = self.buffers.take((bytes + PAGE_BYTES) as usize);
            if let Err(error) = self
                .fill(&mut group, &mut ops)
                .and_then(|()| self.write_rest(&mut group))
            {
                return self.write_failed(error, ops);
            }
        }
        let must_sync = match self.shared.options.durability {
            Durability::Fsync => bytes > 0,
            Durability::Os => ops.iter().any(|op| matches!(op.work, Work::Sync)),
        };
        let more = self.shared.queue.bytes() >= MUCH_BYTES;
        let written = self.written(ops, group, must_sync);
        if self.shared.shows_written.load(Relaxed) {
            written.show();
        }
        self.pipeline.submit(written, more)
    }

    fn written(&self, ops: Vec<Op>, group: Group, must_sync: bool) -> Written {
        Written {
            ops,
            buffer_bytes: group.buffer.capacity(),
            buffer: group.buffer.freeze(),
            records: group.records,
            cost: group.cost,
            file: self.current.as_ref().map(|current| current.file.clone()),
            must_sync,
            end: self.end(),
        }
    }

    /// Puts the group together, and writes its pieces as they are full. What has been copied is let go: it may be a
    /// part of a large frame, whose memory others can use.
    fn fill(&mut self, group: &mut Group, ops: &mut [Op]) -> io::Result<()> {
        let durable = self.pipeline.durable();
        let Some(current) = self.current.as_mut() else {
            return Err(io::Error::other("admitted entries without a file"));
        };
        for op in ops {
            if let Work::Entry(entry) = &mut op.work {
                let place = current.place(&group.buffer);
                group.push(op.partition.id(), entry, place, durable);
                entry.payload = Bytes::new();
                if group.buffer.len() - group.written >= PIECE_BYTES {
                    current.write_pages(group)?;
                }
            }
        }
        Ok(())
    }

    /// Refuses what cannot be written, and makes sure that the rest fits into the current file.
    fn admit(&mut self, ops: Vec<Op>) -> io::Result<Vec<Op>> {
        let (ops, stale): (Vec<_>, Vec<_>) = ops.into_iter().partition(|op| !op.is_stale());
        if !stale.is_empty() {
            self.pipeline.drain()?;
        }
        // Only a full disk makes them so.
        self.refuse(stale);
        let bytes: u64 = ops.iter().map(|op| u64::from(op.stored_bytes())).sum();
        if bytes == 0
            || self
                .current
                .as_ref()
                .is_some_and(|c| c.has_room(bytes, false))
        {
            return Ok(ops);
        }
        match self.rotate(bytes, Room::Free) {
            Ok(()) => {
                if std::mem::take(&mut self.is_full) {
                    tracing::info!("there is space on the disk again: appends are accepted");
                }
                Ok(ops)
            }
            Err(error) if is_full(&error) => self.admit_to_full_disk(ops),
            Err(error) => Err(error),
        }
    }

    /// There is no room for another file: the rest of this one goes to what helps to free some, and if that
    /// is not enough, the reserve.
    fn admit_to_full_disk(&mut self, ops: Vec<Op>) -> io::Result<Vec<Op>> {
        self.pipeline.drain()?;
        self.shared.files.drop_recycled();
        let privileged = ops.iter().filter(|op| op.is_privileged());
        let needed: u64 = privileged.map(|op| u64::from(op.stored_bytes())).sum();
        let fits = |c: &Current| c.has_room(needed, true);
        if needed > 0 && !self.current.as_ref().is_some_and(fits) {
            match self.rotate(needed, Room::Reserve) {
                Err(error) if !is_full(&error) => return Err(error),
                _ => {}
            }
        }
        let mut taken = 0;
        let mut admitted = Vec::new();
        for op in ops {
            let needed = taken + u64::from(op.stored_bytes());
            let fits = self
                .current
                .as_ref()
                .is_some_and(|c| c.has_room(needed, op.is_privileged()));
            if fits && !op.is_stale() {
                taken = needed;
                admitted.push(op);
            } else {
                // At once: what was enqueued after it, and depends on it, is stale then.
                self.refuse(vec![op]);
            }
        }
        Ok(admitted)
    }

    /// Goes on to the next file, one with room for `bytes`.
    fn rotate(&mut self, bytes: u64, room: Room) -> io::Result<()> {
        self.pipeline.drain()?;
        if let Some(oldest) = self.shared.files.all().first() {
            self.extents.forget_truncations(oldest.id);
        }
        let snapshot = self.extents.encode();
        let needed =
            u64::from(FILE_HEADER) + u64::from(stored_bytes(length_u32(snapshot.len()))) + bytes;
        let file = self.next_file(with_reserve(needed)?, room)?;
        self.next_id += 1;
        self.seal()?;
        self.shared.files.insert(file.clone());
        self.current = Some(Current {
            position: FILE_HEADER,
            sidecar: SidecarWriter::new(file.sidecar_path()),
            file,
            spoilt: false,
            room,
        });
        if room == Room::Free {
            self.preparer.make(self.next_id, 0, Room::Free);
        }
        self.write_snapshot(&snapshot)
    }

    /// The file that was prepared, or if there is none or it is too small, one that is made now.
    fn next_file(&mut self, needed: u32, room: Room) -> io::Result<Arc<ValueLogFile>> {
        match self.preparer.take() {
            Some(Ok(file)) if file.capacity >= needed => return Ok(file),
            Some(Err(error)) if !is_full(&error) => return Err(error),
            // Too small; or there was no room when it was asked for, and there may be now.
            _ => {}
        }
        self.preparer.make(self.next_id, needed, room);
        self.preparer
            .take()
            .unwrap_or_else(|| Err(io::Error::other("no file was prepared")))
    }

    fn write_snapshot(&mut self, snapshot: &[u8]) -> io::Result<()> {
        let Some(current) = self.current.as_mut() else {
            return Ok(());
        };
        let entry = PendingEntry {
            kind: EntryKind::Snapshot,
            base_offset: 0,
            last_offset_delta: 0,
            leader_epoch: -1,
            max_timestamp: -1,
            payload: Bytes::copy_from_slice(snapshot),
            producer: None,
            fills_gap: false,
        };
        let mut group = Group::default();
        let place = current.place(&group.buffer);
        group.push(NO_PARTITION, &entry, place, self.pipeline.durable());
        if let Err(error) = self.write_rest(&mut group) {
            if let Some(current) = self.current.as_mut() {
                current.spoilt = true;
            }
            return Err(error);
        }
        let must_sync = self.shared.options.durability == Durability::Fsync;
        self.pipeline
            .submit(self.written(Vec::new(), group, must_sync), false)
    }

    /// Writes the rest of the group at the end of the file.
    fn write_rest(&mut self, group: &mut Group) -> io::Result<()> {
        let Some(current) = self.current.as_mut() else {
            return Ok(());
        };
        current.write_rest(group)?;
        current.position += length_u32(group.buffer.len());
        for record in &group.records {
            current.sidecar.push(record);
            self.extents.apply(&record.header);
        }
        let counters = &self.shared.counters;
        Counters::add(&counters.groups, 1);
        Counters::add(&counters.entries, group.records.len() as u64);
        Counters::add(&counters.written_bytes, group.buffer.len() as u64);
        Ok(())
    }

    /// A write failed. A full disk refuses the group and leaves the file; all else ends the log.
    fn write_failed(&mut self, error: io::Error, ops: Vec<Op>) -> io::Result<()> {
        self.pipeline.drain()?;
        let Some(current) = self.current.as_mut() else {
            return Err(error);
        };
        if !is_full(&error) {
            // Dropping the operations tells whoever waits for them that the log is closed.
            return Err(error);
        }
        tracing::warn!(file = current.file.id, %error, "disk full in the middle of a write; sealing the file");
        current.spoilt = true;
        self.refuse(ops);
        Ok(())
    }

    /// The disk is full. Says so in the log when it begins.
    fn refuse(&mut self, ops: Vec<Op>) {
        if ops.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.is_full, true) {
            tracing::error!("the disk is full: appends are refused until there is space");
        }
        for op in ops {
            Counters::add(&self.shared.counters.refused_disk_full, 1);
            op.refuse(AppendError::DiskFull);
        }
    }

    fn seal(&mut self) -> io::Result<()> {
        if self.shared.options.durability == Durability::Os {
            self.sync()?;
        }
        if let Some(current) = self.current.take() {
            if current.spoilt {
                // What a failed write left behind must never be taken for entries.
                current.file.cut(current.position)?;
                current.file.sync()?;
            }
            self.preparer
                .seal(current.file, current.position, current.sidecar);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        match &self.current {
            Some(current) => self.pipeline.sync(&current.file, self.end()),
            None => Ok(()),
        }
    }

    fn end(&self) -> Lsn {
        self.current.as_ref().map_or_else(
            || self.pipeline.durable(),
            |c| Lsn::new(c.file.id, c.position),
        )
    }

    fn finish(mut self) -> Lsn {
        let end = self.end();
        let finished = self.pipeline.drain().and_then(|()| self.sync());
        if let Err(error) = finished.and_then(|()| self.seal()) {
            self.shared.fail_appends(&error);
        }
        end
    }
}

/// The size of a file that has `needed` bytes beside its reserve.
fn with_reserve(needed: u64) -> io::Result<u32> {
    let share = needed.div_ceil(u64::from(RESERVE_SHARE - 1));
    u32::try_from(needed + share.min(u64::from(RESERVE_MOST)) + 1)
        .map_err(|_| io::Error::other("a group larger than a file can be"))
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
