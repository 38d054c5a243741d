//! The one thread that writes the value log.
//!
//! ```text
//! take what waits (at most one group) ─► refuse what cannot be written ─► header+payload of each into one
//! buffer ─► written in pieces ─► one fdatasync ─► publish to partitions ─► complete ─► hand over to the indexer
//! ```
//!
//! There is no timer: what arrives during one sync makes the next group.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use crate::error::AppendError;
use crate::fold::Extents;
use crate::log::Shared;
use crate::options::Durability;
use crate::partition::Partition;
use crate::queue::{Op, PendingEntry, Work};
use crate::ring::Ring;
use crate::stats::Counters;
use crate::types::{Lsn, PartitionId, length_u32};
use crate::valuelog::entry::{
    ENTRY_HEADER, EntryHeader, EntryKind, FILE_HEADER, payload_crc, stored_bytes,
};
use crate::valuelog::files::{Room, ValueLogFile};
use crate::valuelog::preparer::Preparer;
use crate::valuelog::sidecar::{EntryRecord, SidecarBuilder};

/// Room at the end of a file that only entries which give space back may use, as a share of the file.
const RESERVE_SHARE: u32 = 16;
const RESERVE_MOST: u32 = 1 << 20;
/// Missing sidecars that one start has written; there is hardly ever more than one.
const SIDECARS_AT_ONCE: usize = 8;
/// A group takes at most this share of a file, however large groups may be.
const GROUP_SHARE: u32 = 4;
/// A group is written in pieces of about this size, each as soon as it has been put together: it is still in
/// the processor's cache then, which makes the write nearly twice as fast.
const PIECE_BYTES: usize = 256 << 10;
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
    ring: Ring,
    /// Everything before this place is synced.
    durable: Lsn,
}

struct Current {
    file: Arc<ValueLogFile>,
    position: u32,
    sidecar: SidecarBuilder,
    /// A write failed half-way: nothing more goes into this file.
    spoilt: bool,
    /// What the file was made of: one made of the reserve is only for what may use that.
    room: Room,
}

/// A group on its way to disk.
#[derive(Default)]
struct Group {
    buffer: BytesMut,
    records: Vec<EntryRecord>,
    /// Bytes of the buffer that are in the file.
    written: usize,
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
        let mut preparer = Preparer::start(shared.files.clone())?;
        preparer.make(next_id, 0, Room::Free);
        // Newest first: the older ones can wait for the next start.
        for file in without_sidecar.into_iter().rev().take(SIDECARS_AT_ONCE) {
            preparer.add_sidecar(file);
        }
        let ring = Ring::new(shared.options.recent_bytes);
        Ok(Self {
            shared,
            preparer,
            current: None,
            next_id,
            extents,
            ring,
            durable: Lsn::new(next_id, FILE_HEADER),
        })
    }

    /// Works until the queue is closed and empty; returns where the log ends.
    pub fn run(mut self) -> Lsn {
        let mut group = Vec::new();
        let options = &self.shared.options;
        let limit = options.group_bytes.min(options.file_bytes / GROUP_SHARE);
        while self.shared.queue.take(limit, &mut group) {
            // Neighbours in the file are of one partition, which makes cold reads sequential. The sort is
            // stable: a partition's own order stays.
            group.sort_by_key(|op| op.partition.id());
            if let Err(error) = self.write(std::mem::take(&mut group)) {
                self.fail(&error);
                return self.durable;
            }
        }
        self.finish()
    }

    fn write(&mut self, ops: Vec<Op>) -> io::Result<()> {
        let ops = self.admit(ops)?;
        if ops.is_empty() {
            return Ok(());
        }
        let mut group = Group::default();
        let bytes: u32 = ops.iter().map(Op::stored_bytes).sum();
        if bytes > 0 {
            group.buffer = self.ring.buffer(bytes as usize);
            if let Err(error) = self
                .fill(&mut group, &ops)
                .and_then(|()| self.persist(&mut group))
            {
                return self.write_failed(error, ops);
            }
        }
        let sync = ops.iter().any(|op| matches!(op.work, Work::Sync));
        if sync && self.shared.options.durability == Durability::Os {
            self.sync()?;
        }
        self.publish(ops, group);
        Ok(())
    }

    /// Puts the group together, and writes its pieces as they are full.
    fn fill(&mut self, group: &mut Group, ops: &[Op]) -> io::Result<()> {
        let Some(current) = self.current.as_mut() else {
            return Err(io::Error::other("admitted entries without a file"));
        };
        for op in ops {
            if let Work::Entry(entry) = &op.work {
                let place = current.place(&group.buffer);
                group.push(op.partition.id(), entry, place, self.durable);
                if group.buffer.len() - group.written >= PIECE_BYTES {
                    current.write(group)?;
                }
            }
        }
        Ok(())
    }

    /// Refuses what cannot be written, and makes sure that the rest fits into the current file.
    fn admit(&mut self, ops: Vec<Op>) -> io::Result<Vec<Op>> {
        let (ops, stale): (Vec<_>, Vec<_>) = ops.into_iter().partition(|op| !op.is_stale());
        stale
            .into_iter()
            .for_each(|op| op.refuse(AppendError::Superseded));
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
            Ok(()) => Ok(ops),
            Err(error) if is_full(&error) => self.admit_to_full_disk(ops),
            Err(error) => Err(error),
        }
    }

    /// There is no room for another file: the rest of this one goes to what helps to free some, and if that
    /// is not enough, the reserve.
    fn admit_to_full_disk(&mut self, ops: Vec<Op>) -> io::Result<Vec<Op>> {
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
                Counters::add(&self.shared.counters.refused_disk_full, 1);
                op.refuse(AppendError::DiskFull);
            }
        }
        Ok(admitted)
    }

    /// Goes on to the next file, one with room for `bytes`.
    fn rotate(&mut self, bytes: u64, room: Room) -> io::Result<()> {
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
            file,
            position: FILE_HEADER,
            sidecar: SidecarBuilder::default(),
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
        };
        let mut group = Group::default();
        group.push(
            NO_PARTITION,
            &entry,
            current.place(&group.buffer),
            self.durable,
        );
        if let Err(error) = self.persist(&mut group) {
            if let Some(current) = self.current.as_mut() {
                current.spoilt = true;
            }
            return Err(error);
        }
        let end = self.end();
        self.shared.feed.push(
            group.records.into_iter().map(|r| (r, None)).collect(),
            end,
            self.durable,
        );
        Ok(())
    }

    /// Writes the rest of the group at the end of the file and, unless told otherwise, syncs.
    fn persist(&mut self, group: &mut Group) -> io::Result<()> {
        let Some(current) = self.current.as_mut() else {
            return Ok(());
        };
        current.write(group)?;
        current.position += length_u32(group.buffer.len());
        for record in &group.records {
            current.sidecar.push(record);
            self.extents.apply(&record.header);
        }
        let counters = &self.shared.counters;
        Counters::add(&counters.groups, 1);
        Counters::add(&counters.entries, group.records.len() as u64);
        Counters::add(&counters.written_bytes, group.buffer.len() as u64);
        if self.shared.options.durability == Durability::Fsync {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let Some(current) = self.current.as_ref() else {
            return Ok(());
        };
        let began = Instant::now();
        // A failed sync is never retried: the kernel may have dropped the pages. It ends the log.
        current
            .file
            .sync()
            .map_err(|e| io::Error::other(format!("fdatasync: {e}")))?;
        let counters = &self.shared.counters;
        Counters::add(&counters.syncs, 1);
        Counters::add(
            &counters.sync_micros,
            u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        );
        self.durable = Lsn::new(current.file.id, current.position);
        Ok(())
    }

    /// Shows what is durable now to readers, tells whoever waits, and hands over to the indexer.
    fn publish(&mut self, ops: Vec<Op>, group: Group) {
        let end = self.end();
        let group_bytes = group.buffer.capacity();
        let buffer = group.buffer.freeze();
        let mut records = group.records.into_iter();
        let mut fed = Vec::with_capacity(records.len());
        let mut partitions: Vec<Arc<Partition>> = Vec::new();
        let mut start = 0usize;
        let mut completed = Vec::with_capacity(ops.len());
        let mut ops = VecDeque::from(ops);
        while let Some(partition) = ops.front().map(|op| op.partition.clone()) {
            let mut published = partition.publishing();
            while ops
                .front()
                .is_some_and(|op| Arc::ptr_eq(&op.partition, &partition))
            {
                let Some(op) = ops.pop_front() else { break };
                if matches!(op.work, Work::Entry(_))
                    && let Some(record) = records.next()
                {
                    let payload = start + ENTRY_HEADER as usize;
                    let data = buffer.slice(payload..payload + record.header.length as usize);
                    published.entry(&record.header, data);
                    start += record.header.stored_bytes() as usize;
                    fed.push((record, Some(partition.clone())));
                }
                completed.push(op);
            }
            drop(published);
            partitions.push(partition);
        }
        self.shared.feed.push(fed, end, self.durable);
        completed.into_iter().for_each(Op::complete);
        if !buffer.is_empty() {
            self.ring.push(buffer, group_bytes, end, partitions);
            self.shared
                .counters
                .recent_bytes
                .store(self.ring.bytes() as u64, Relaxed);
        }
    }

    /// A write failed. A full disk refuses the group and leaves the file; all else ends the log.
    fn write_failed(&mut self, error: io::Error, ops: Vec<Op>) -> io::Result<()> {
        let Some(current) = self.current.as_mut() else {
            return Err(error);
        };
        if !is_full(&error) {
            // Dropping the operations tells whoever waits for them that the log is closed.
            return Err(error);
        }
        tracing::warn!(file = current.file.id, %error, "disk full in the middle of a write; sealing the file");
        current.spoilt = true;
        for op in ops {
            Counters::add(&self.shared.counters.refused_disk_full, 1);
            op.refuse(AppendError::DiskFull);
        }
        Ok(())
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
            self.preparer.seal(
                current.file,
                current.position,
                current.sidecar.finish(current.position),
            );
        }
        Ok(())
    }

    fn end(&self) -> Lsn {
        self.current
            .as_ref()
            .map_or(self.durable, |c| Lsn::new(c.file.id, c.position))
    }

    fn finish(mut self) -> Lsn {
        let end = self.end();
        if let Err(error) = self.sync().and_then(|()| self.seal()) {
            self.fail(&error);
        }
        end
    }

    fn fail(&mut self, error: &io::Error) {
        tracing::error!(%error, "the value log failed; the log takes no more appends until it is opened again");
        self.shared.fail(&format!("value log: {error}"));
        self.shared.queue.refuse_all();
    }
}

impl Current {
    /// Writes what of the group is not in the file yet.
    fn write(&self, group: &mut Group) -> io::Result<()> {
        let piece = &group.buffer[group.written..];
        self.file
            .write_at(piece, self.position + length_u32(group.written))?;
        group.written = group.buffer.len();
        Ok(())
    }

    /// Where the next entry goes, behind what `buffer` holds already.
    fn place(&self, buffer: &[u8]) -> Lsn {
        Lsn::new(self.file.id, self.position + length_u32(buffer.len()))
    }

    fn has_room(&self, bytes: u64, privileged: bool) -> bool {
        let reserve = match privileged {
            true => 0,
            false => (self.file.capacity / RESERVE_SHARE).min(RESERVE_MOST),
        };
        !self.spoilt
            && (privileged || self.room == Room::Free)
            && u64::from(self.position) + bytes + u64::from(reserve)
                <= u64::from(self.file.capacity)
    }
}

impl Group {
    /// Adds an entry: its header, its payload with base offset and leader epoch set, and padding.
    fn push(&mut self, partition: PartitionId, entry: &PendingEntry, lsn: Lsn, durable: Lsn) {
        let start = self.buffer.len();
        let payload = start + ENTRY_HEADER as usize;
        self.buffer.resize(payload, 0);
        self.buffer.extend_from_slice(&entry.payload);
        if entry.kind == EntryKind::Append {
            self.buffer[payload..payload + 8].copy_from_slice(&entry.base_offset.to_be_bytes());
            self.buffer[payload + 12..payload + 16]
                .copy_from_slice(&entry.leader_epoch.to_be_bytes());
        }
        let header = EntryHeader {
            length: length_u32(entry.payload.len()),
            payload_crc: payload_crc(entry.kind, &self.buffer[payload..]),
            kind: entry.kind,
            lsn,
            partition,
            base_offset: entry.base_offset,
            last_offset_delta: entry.last_offset_delta,
            leader_epoch: entry.leader_epoch,
            max_timestamp: entry.max_timestamp,
            durable,
        };
        self.buffer[start..payload].copy_from_slice(&header.encode());
        self.buffer
            .resize(start + header.stored_bytes() as usize, 0);
        self.records.push(EntryRecord {
            header,
            producer: entry.producer,
        });
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
