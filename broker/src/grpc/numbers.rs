//! Numbers of the protos as Kafka's requests have them: 0 stands for a default there, and they have no sign.

/// The number that a client gave, or the default if it gave none.
pub fn or_default(given: u32, default: u32) -> i32 {
    signed(if given == 0 { default } else { given })
}

/// The same number with a sign; the greatest there is if it is beyond.
pub fn signed(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// How many there are; the greatest number there is if it is beyond.
pub fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_the_default_and_no_number_becomes_negative() {
        assert_eq!((or_default(0, 7), or_default(3, 7)), (7, 3));
        assert_eq!(signed(u32::MAX), i32::MAX);
    }
}
