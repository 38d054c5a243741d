//! The log against the physical reference: one raw file into which the batches of all partitions are
//! written one after the other, with the same group commit, the same durability, and files prepared alike
//! (allocated ahead, recycled).
//!
//! ```text
//! cargo bench -p fjord-log --bench raw_file [-- --megabytes N --rounds N --directory DIR --only PARTITIONSxKIB]
//! ```
//!
//! Rounds are interleaved and medians compared, since machines are not equally fast at all times. The ratio is the
//! median of the rounds' ratios, with the least and the greatest.

mod raw;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fjord_log::{Log, LogOptions, Partition, PartitionId};
use fjord_wire::records::{BatchBuilder, BatchOptions};
use hdrhistogram::Histogram;
use raw::RawFile;

const FILE_BYTES: u32 = 64 << 20;
const GROUP_BYTES: u32 = 4 << 20;
const PRODUCERS: usize = 4;
const POOL_BYTES: usize = 128 << 20;
/// Bytes that each producer has under way.
const IN_FLIGHT_BYTES: usize = 1 << 20;
const PARTITIONS: [usize; 3] = [1, 100, 1000];
const BATCHES: [usize; 2] = [16 << 10, 256 << 10];

struct Arguments {
    bytes: usize,
    rounds: usize,
    directory: PathBuf,
    partitions: Vec<usize>,
    batches: Vec<usize>,
}

/// What one run has shown.
#[derive(Clone, Copy, Default)]
struct Figures {
    megabytes_per_s: f64,
    cpu_s_per_gib: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Tells the producer that a batch is durable.
type Done = Box<dyn FnOnce() + Send>;

/// Something that batches are appended to.
trait Sink: Sync {
    fn append(&self, partition: usize, batch: Bytes, done: Done);
}

struct LogSink {
    partitions: Vec<Arc<Partition>>,
}

impl Sink for LogSink {
    fn append(&self, partition: usize, batch: Bytes, done: Done) {
        let done = Box::new(move |result: Result<_, _>| {
            result.expect("the batch is durable");
            done();
        });
        self.partitions[partition]
            .append(batch, 0, done)
            .expect("the log takes the batch");
    }
}

impl Sink for RawFile {
    fn append(&self, partition: usize, batch: Bytes, done: Done) {
        self.push(partition as u64, batch, done);
    }
}

/// How many batches one producer has under way, and how long each took.
struct Window {
    state: Mutex<(usize, Histogram<u64>)>,
    changed: Condvar,
}

impl Window {
    fn new() -> Arc<Self> {
        let histogram =
            Histogram::new_with_bounds(1, 60_000_000, 3).expect("three digits are possible");
        Arc::new(Self {
            state: Mutex::new((0, histogram)),
            changed: Condvar::new(),
        })
    }

    fn wait_below(&self, limit: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.0 >= limit {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.0 += 1;
    }

    fn done(&self, since: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 -= 1;
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        state.1.saturating_record(micros);
        drop(state);
        self.changed.notify_one();
    }
}

/// Writes `bytes` with several producers, and measures.
fn measure(sink: &dyn Sink, partitions: usize, batches: &[Bytes], bytes: usize) -> Figures {
    let batch_bytes = batches[0].len();
    let (began, cpu) = (Instant::now(), cpu_time());
    let windows: Vec<_> = (0..PRODUCERS).map(|_| Window::new()).collect();
    std::thread::scope(|scope| {
        for (producer, window) in windows.iter().enumerate() {
            scope.spawn(move || {
                let in_flight = (IN_FLIGHT_BYTES / batch_bytes).max(1);
                for i in 0..bytes / PRODUCERS / batch_bytes {
                    window.wait_below(in_flight);
                    let (since, told) = (Instant::now(), window.clone());
                    let done = Box::new(move || told.done(since));
                    let number = i * PRODUCERS + producer;
                    let batch = batches[number % batches.len()].clone();
                    sink.append(number % partitions, batch, done);
                }
                window.wait_below(1);
            });
        }
    });
    let (elapsed, cpu) = (began.elapsed(), cpu_time().saturating_sub(cpu));
    let mut latencies =
        Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).expect("three digits are possible");
    for window in &windows {
        let state = window.state.lock().unwrap_or_else(PoisonError::into_inner);
        latencies.add(&state.1).expect("the histograms are alike");
    }
    let millis = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
    Figures {
        megabytes_per_s: bytes as f64 / 1e6 / elapsed.as_secs_f64(),
        cpu_s_per_gib: cpu.as_secs_f64() * (1u64 << 30) as f64 / bytes as f64,
        p50_ms: millis(0.5),
        p99_ms: millis(0.99),
    }
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Batches of `bytes` bytes that together do not fit into the processor's caches: what clients send does not
/// lie there either.
fn batches_of(bytes: usize) -> Vec<Bytes> {
    (0..POOL_BYTES / bytes).map(|_| batch_of(bytes)).collect()
}

fn batch_of(bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(0, BatchOptions::default());
    let value = vec![b'x'; 1000];
    let mut offset = 0;
    while builder.size() + value.len() < bytes {
        builder
            .append(offset, 1_700_000_000_000, None, Some(&value), &[])
            .expect("the record fits");
        offset += 1;
    }
    builder.build().expect("the batch is sound")
}

/// A log whose files are all used ones.
fn warm_log(
    directory: &Path,
    partitions: usize,
    batches: &[Bytes],
    bytes: usize,
) -> (Log, LogSink) {
    let files = bytes.div_ceil(FILE_BYTES as usize) + 4;
    let log = Log::open(LogOptions {
        file_bytes: FILE_BYTES,
        group_bytes: GROUP_BYTES,
        recycled_files: files,
        ..LogOptions::new(directory)
    })
    .expect("the log opens");
    let open = |id| {
        log.open_partition(PartitionId(id as u64 + 1), "bench", false)
            .expect("the partition opens")
    };
    let sink = LogSink {
        partitions: (0..partitions).map(open).collect(),
    };
    measure(&sink, partitions, batches, files * FILE_BYTES as usize);
    (log, sink)
}

/// Deletes everything, so that the files can be used again.
fn empty_log(log: &Log, sink: &LogSink) {
    let (told, done) = std::sync::mpsc::channel();
    for partition in &sink.partitions {
        let (end, told) = (partition.positions().durable_end, told.clone());
        let completion = move |result| told.send(result).expect("it is waited for");
        partition
            .set_log_start(end, Box::new(completion))
            .expect("the log start moves");
    }
    let results = done.iter().take(sink.partitions.len());
    assert!(results.into_iter().all(|result| result.is_ok()));
    log.reclaim();
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn medians(runs: &[Figures]) -> Figures {
    Figures {
        megabytes_per_s: median(runs.iter().map(|f| f.megabytes_per_s)),
        cpu_s_per_gib: median(runs.iter().map(|f| f.cpu_s_per_gib)),
        p50_ms: median(runs.iter().map(|f| f.p50_ms)),
        p99_ms: median(runs.iter().map(|f| f.p99_ms)),
    }
}

fn compare(arguments: &Arguments, partitions: usize, batch_bytes: usize) {
    let batches = batches_of(batch_bytes);
    let root = tempfile::tempdir_in(&arguments.directory).expect("the directory can be written");
    let files = arguments.bytes.div_ceil(FILE_BYTES as usize) + 4;
    let raw = RawFile::open(&root.path().join("raw"), FILE_BYTES, files, GROUP_BYTES);
    measure(&raw, partitions, &batches, files * FILE_BYTES as usize);
    let (log, sink) = warm_log(
        &root.path().join("log"),
        partitions,
        &batches,
        arguments.bytes,
    );
    let (mut raws, mut logs) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        empty_log(&log, &sink);
        raws.push(measure(&raw, partitions, &batches, arguments.bytes));
        logs.push(measure(&sink, partitions, &batches, arguments.bytes));
    }
    let pairs = logs.iter().zip(&raws);
    let mut ratios: Vec<f64> = pairs
        .map(|(log, raw)| log.megabytes_per_s / raw.megabytes_per_s)
        .collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = median(ratios.iter().copied());
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    let (raw, log) = (medians(&raws), medians(&logs));
    println!(
        "| {partitions} | {} | {:.0} | {:.0} | {ratio:.2} ({least:.2} to {most:.2}) | {:.2} | {:.2} | {:.1} | {:.1} | {:.1} | {:.1} |",
        batch_bytes >> 10,
        raw.megabytes_per_s,
        log.megabytes_per_s,
        raw.cpu_s_per_gib,
        log.cpu_s_per_gib,
        raw.p50_ms,
        log.p50_ms,
        raw.p99_ms,
        log.p99_ms,
    );
}

fn arguments() -> Arguments {
    let mut arguments = Arguments {
        bytes: 1 << 30,
        rounds: 7,
        directory: std::env::temp_dir(),
        partitions: PARTITIONS.to_vec(),
        batches: BATCHES.to_vec(),
    };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let mut value = || given.next().expect("the option has a value");
        match name.as_str() {
            "--megabytes" => arguments.bytes = value().parse::<usize>().expect("a number") << 20,
            "--only" => {
                let value = value();
                let (partitions, kib) = value.split_once('x').expect("as in 100x16");
                arguments.partitions = vec![partitions.parse().expect("a number")];
                arguments.batches = vec![kib.parse::<usize>().expect("a number") << 10];
            }
            "--rounds" => arguments.rounds = value().parse().expect("a number"),
            "--directory" => arguments.directory = value().into(),
            // Cargo passes this one on its own.
            "--bench" => {}
            other => panic!("unknown option {other}"),
        }
    }
    arguments
}

fn main() {
    let arguments = arguments();
    println!(
        "| partitions | batch KiB | raw MB/s | log MB/s | ratio | raw CPU s/GiB | log CPU s/GiB | raw p50 ms | log p50 ms | raw p99 ms | log p99 ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for partitions in &arguments.partitions {
        for batch_bytes in &arguments.batches {
            compare(&arguments, *partitions, *batch_bytes);
        }
    }
}
