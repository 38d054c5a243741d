//! The one thing that the coordinator reads in a consumer's metadata: its topics.
//!
//! The embedded consumer protocol is otherwise a matter between clients. Every version of it
//! begins as version 0 does, so that new versions need no change here.

use bytes::Bytes;

use super::records::{DecodeError, Reader};

/// The protocol type of consumers.
pub const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Reads the topics that a consumer subscribes to.
///
/// # Errors
/// If the metadata is not a consumer's subscription.
pub fn topics(metadata: Bytes) -> Result<Vec<String>, DecodeError> {
    let mut reader = Reader::new(metadata);
    if reader.i16()? < 0 {
        return Err(DecodeError::InvalidLength);
    }
    (0..reader.array_count()?)
        .map(|_| reader.string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::records::hex;
    use super::*;

    #[test]
    fn topics_are_the_prefix_of_every_version() {
        let version_0 = "0000".to_owned() + "00000002" + "000161" + "00026262" + "ffffffff";
        assert_eq!(topics(hex(&version_0)), Ok(vec!["a".into(), "bb".into()]));
        let version_3 =
            "0003".to_owned() + "00000001" + "000161" + "ffffffff" + "00000000" + "00000001";
        assert_eq!(topics(hex(&version_3)), Ok(vec!["a".into()]));
        assert!(topics(hex("00007fffffff")).is_err());
        assert!(topics(hex("ffff00000000")).is_err());
        assert!(topics(Bytes::new()).is_err());
    }
}
