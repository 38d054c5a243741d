//! No decoder takes more memory than it says, whatever its input. Memory is counted for the whole
//! process, so this file has one test only.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use bytes::Bytes;
use common::MessageType;
use common::strategies::{any_message, damaged_message};
use fjord_wire::messages::metadata_request::MetadataRequest;
use fjord_wire::{Decode, DecodeErrorKind, Reader};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What sharing a frame takes, whatever is in it.
const SLACK_BYTES: usize = 1024;

/// The most memory that `run` held at once beyond what was held before.
fn peak_of<T>(run: impl FnOnce() -> T) -> (usize, T) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let value = run();
    (MEMORY.peak_usage().saturating_sub(before), value)
}

fn check_memory(message: MessageType, bytes: &Bytes, version: i16) {
    let (peak, _) = peak_of(|| (message.decode)(bytes, version));
    let bound = Reader::memory_bound(bytes.len()) + SLACK_BYTES;
    let name = message.name;
    assert!(
        peak <= bound,
        "{name} {version}: {peak} bytes, {bound} are allowed"
    );
}

fn many_empty_elements_in_a_large_frame() {
    const COUNT: u32 = 16 * 1024 * 1024;
    let mut frame = COUNT.to_be_bytes().to_vec();
    frame.resize(4 + 2 * COUNT as usize, 0);
    let frame = Bytes::from(frame);
    let (peak, result) = peak_of(|| MetadataRequest::decode(&mut Reader::new(frame), 1));
    assert_eq!(result.unwrap_err().kind, DecodeErrorKind::MemoryLimit);
    assert!(peak < SLACK_BYTES);
}

#[test]
fn memory_is_bounded_by_the_frame() {
    let config = ProptestConfig {
        cases: 5000,
        failure_persistence: None,
        ..<_>::default()
    };
    let random = (any_message(), prop::collection::vec(any::<u8>(), 0..600));
    TestRunner::new(config.clone())
        .run(&random, |((message, version), bytes)| {
            check_memory(message, &Bytes::from(bytes), version);
            Ok(())
        })
        .unwrap();
    TestRunner::new(config)
        .run(&damaged_message(), |(message, version, bytes)| {
            check_memory(message, &bytes, version);
            Ok(())
        })
        .unwrap();
    many_empty_elements_in_a_large_frame();
}
