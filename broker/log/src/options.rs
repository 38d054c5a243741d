//! What a log can be told when it is opened.

use std::path::PathBuf;

/// When an append counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// After `fdatasync` has returned: survives loss of power.
    #[default]
    Fsync,
    /// After the write has reached the page cache: survives the end of the process, not loss of power.
    Os,
}

/// Options of [`crate::Log::open`]. Every bound of the log is here.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The directory that holds the log. Created if it does not exist.
    pub directory: PathBuf,
    /// When an append counts as done.
    pub durability: Durability,
    /// Size of a value log file in bytes. Smaller files are made while little has been written and where
    /// the file system is small.
    pub file_bytes: u32,
    /// Most bytes that one group (one sync) takes, unless a single batch is larger.
    pub group_bytes: u32,
    /// Memory for recently written batches, in bytes.
    pub recent_bytes: usize,
    /// How much of what was written last stays in the page cache of the operating system, in bytes. Nothing: as
    /// much as the kernel gives, unless its memory turns out to be dear.
    pub page_cache_bytes: Option<u64>,
    /// Memory for fjall's block cache, in bytes.
    pub index_cache_bytes: u64,
    /// Most bytes that may wait for the writer.
    pub queue_bytes: usize,
    /// Most entries that may wait for the indexer before appends are refused.
    pub index_backlog: usize,
    /// Free bytes that are left on the file system; appends are refused before they are used up.
    pub reserve_bytes: u64,
    /// Dead files kept for reuse; overwriting is up to twice as fast under fsync as a new file.
    pub recycled_files: usize,
    /// Most producers remembered for each partition; the longest idle is forgotten first.
    pub producers_per_partition: usize,
}

impl LogOptions {
    /// The defaults, in `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            durability: Durability::Fsync,
            file_bytes: 256 << 20,
            group_bytes: 4 << 20,
            recent_bytes: 16 << 20,
            page_cache_bytes: None,
            index_cache_bytes: 8 << 20,
            queue_bytes: 256 << 20,
            index_backlog: 1 << 18,
            reserve_bytes: 16 << 20,
            recycled_files: 2,
            producers_per_partition: 10_000,
        }
    }
}
