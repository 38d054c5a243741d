//! Value log files of arbitrary entries whose checksums are right, with sidecars and marks of a stop in order
//! that may be wrong: what no checksum catches must not make opening panic either.
//!
//! From this folder's parent, with cargo-fuzz installed, on the stable toolchain:
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run entries -- -max_total_time=300 -rss_limit_mb=1024`
#![no_main]

use fjord_log::fuzzing::{self, RawEntry};
use fjord_log_fuzz::{Input, Tree, answers_are_stable, batch};
use libfuzzer_sys::fuzz_target;

const FIRST_ENTRY: u32 = 4096;
const MOST_FILES: u32 = 3;
const MOST_ENTRIES: usize = 24;

fn payload(input: &mut Input) -> Vec<u8> {
    match input.byte() % 8 {
        0 => Vec::new(),
        1 => input.bytes(),
        // Not a batch, but with a right checksum.
        2 => {
            let mut bytes = input.bytes();
            fuzzing::set_batch_crc(&mut bytes);
            bytes
        }
        3 => fuzzing::snapshot(&[(1, 0, input.number() % 64), (2, 0, input.number())]),
        kind => {
            let sequence = i32::from(input.byte()) - 128;
            batch(
                kind.into(),
                u64::from(input.byte()),
                (sequence >= 0).then_some(sequence),
            )
        }
    }
}

/// An entry, mostly one that fits what was before.
fn entry(input: &mut Input, file: u32, position: u32, ends: &mut [u64; 3]) -> RawEntry {
    let shape = input.byte();
    let partition = u64::from(input.byte() % 3);
    let end = &mut ends[usize::from(input.byte()) % 3];
    let last_offset_delta = match shape % 4 {
        0 => input.number() as u32,
        _ => u32::from(input.byte() % 8),
    };
    let base_offset = match shape >> 2 & 3 {
        0 => input.number(),
        1 => u64::from(input.byte()),
        _ => *end,
    };
    *end = base_offset.saturating_add(u64::from(last_offset_delta) + 1);
    let durable = match shape >> 4 & 3 {
        0 => input.number(),
        1 => 0,
        _ => u64::from(file) << 32 | u64::from(position),
    };
    RawEntry {
        kind: match shape >> 6 {
            0 => input.byte(),
            _ => 1,
        },
        place: u64::from(file) << 32 | u64::from(position),
        partition,
        base_offset,
        last_offset_delta,
        leader_epoch: i32::from(input.byte()) - 1,
        max_timestamp: (input.number() as i64) >> (shape & 63),
        durable,
        payload: payload(input),
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let mut tree = Tree::default();
    let mut ends = [0; 3];
    let mut end = 0;
    for file in 1..=u32::from(input.byte()) % MOST_FILES + 1 {
        let mut bytes = fuzzing::file_header(file);
        let mut entries = Vec::new();
        while !input.is_empty() && entries.len() < MOST_ENTRIES && input.byte() % 8 > 0 {
            let position = FIRST_ENTRY.max(bytes.len() as u32);
            let entry = entry(&mut input, file, position, &mut ends);
            bytes.extend(fuzzing::encode_entry(&entry));
            if input.byte() % 16 == 0 {
                bytes.extend([0; 64]);
            }
            entries.push(entry);
        }
        end = u64::from(file) << 32 | bytes.len() as u64;
        let stem = format!("values/{file:08}");
        if input.byte() % 3 == 0 {
            let told = match input.byte() % 4 {
                0 => input.number(),
                _ => bytes.len() as u64,
            };
            tree.files.insert(
                format!("{stem}.idx"),
                fuzzing::encode_sidecar(&entries, told),
            );
        }
        bytes.resize(bytes.len() + usize::from(input.byte()) * 8, 0);
        tree.files.insert(format!("{stem}.vlog"), bytes);
    }
    match input.byte() % 3 {
        0 => {}
        1 => drop(
            tree.files
                .insert("clean".into(), fuzzing::clean_marker(end)),
        ),
        _ => drop(
            tree.files
                .insert("clean".into(), fuzzing::clean_marker(input.number())),
        ),
    }
    answers_are_stable(&tree);
});
