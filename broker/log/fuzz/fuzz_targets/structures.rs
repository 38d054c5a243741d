//! Bytes from a damaged disk as every structure that the log reads.
//!
//! From this folder's parent, with cargo-fuzz installed, on the stable toolchain:
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run structures -- -max_total_time=60 -rss_limit_mb=1024`
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fjord_log::fuzzing::decode_everything(data));
