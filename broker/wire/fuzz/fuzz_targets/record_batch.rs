//! Record data from a hostile producer: cut into batches, validated deeply, iterated over.
//!
//! From this folder's parent, with cargo-fuzz installed, on the stable toolchain:
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run record_batch -- -max_total_time=60 -rss_limit_mb=512`
#![no_main]

use bytes::Bytes;
use fjord_wire::records::{
    BatchBuilder, BatchLimits, Batches, Depth, compute_crc, validate_batch, verify_batch,
};
use libfuzzer_sys::fuzz_target;

const LIMIT_BYTES: usize = 4 * 1024 * 1024;

fuzz_target!(|data: &[u8]| {
    let limits = BatchLimits {
        max_batch_bytes: 1024 * 1024,
        max_decompressed_bytes: LIMIT_BYTES,
        depth: Depth::Deep,
        require_keys: false,
        timestamps: None,
    };
    for batch in Batches::from(Bytes::copy_from_slice(data)).flatten() {
        let _ = verify_batch(&batch.bytes);
        // The fuzzer does not find checksums, so they are set right.
        let mut bytes = batch.bytes.to_vec();
        let crc = compute_crc(&bytes);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let valid = validate_batch(&bytes, &limits).is_ok();
        let Ok(records) = batch.records(LIMIT_BYTES) else {
            assert!(!valid, "a valid batch has to be readable");
            continue;
        };
        let records: Result<Vec<_>, _> = records.collect();
        assert!(
            !valid || records.is_ok(),
            "a valid batch has to be readable"
        );
        // What compaction does with records that are sound.
        if let (Ok(records), Ok(mut builder)) = (records, BatchBuilder::retaining(&batch.header)) {
            for record in records {
                let (key, value) = (record.key.as_deref(), record.value.as_deref());
                let _ =
                    builder.append(record.offset, record.timestamp, key, value, &record.headers);
            }
            let _ = builder.build();
        }
    }
});
