//! Short names of plans and objects, the same in every release.

/// The FNV-1a hash of a text, as 16 hexadecimal digits. It tells apart what one cluster had over time; nobody gains
/// anything by a collision.
#[must_use]
pub fn hash(text: &str) -> String {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    format!("{:016x}", text.bytes().fold(BASIS, step))
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_fnv() {
        assert_eq!(super::hash("a"), "af63dc4c8601ec8c");
    }
}
