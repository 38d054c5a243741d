//! Variable-length integers of records: zigzag, seven bits a byte, least significant first.

/// A 32-bit value takes at most this many bytes.
pub(super) const MAX_VARINT_BYTES: u32 = 5;

/// A 64-bit value takes at most this many bytes.
pub(super) const MAX_VARLONG_BYTES: u32 = 10;

/// Undoes zigzag.
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Appends a value; 32-bit values look the same as 64-bit ones.
pub(super) fn push(buffer: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        buffer.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    buffer.push(rest.to_le_bytes()[0]);
}
