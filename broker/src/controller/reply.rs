//! What a node's state machine replies to the proposer: whether the proposal was taken.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// The outcome of a proposal that was committed; the same on all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It was applied: there are this many changes now.
    Applied(u64),
    /// The metadata had moved, and nothing was applied. This is the proposal that was applied last.
    Moved(Uuid),
}

const APPLIED: u8 = 0;
const MOVED: u8 = 1;

impl Reply {
    /// As bytes.
    pub fn encode(self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(17);
        match self {
            Reply::Applied(changes) => {
                bytes.put_u8(APPLIED);
                bytes.put_u64(changes);
            }
            Reply::Moved(last) => {
                bytes.put_u8(MOVED);
                bytes.put_slice(last.as_bytes());
            }
        }
        bytes.freeze()
    }

    /// What [`Reply::encode`] wrote; nothing for other bytes.
    pub fn decode(bytes: &[u8]) -> Option<Reply> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            APPLIED => Some(Reply::Applied(u64::from_be_bytes(rest.try_into().ok()?))),
            MOVED => Some(Reply::Moved(Uuid::from_slice(rest).ok()?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for reply in [Reply::Applied(7), Reply::Moved(Uuid::from_u128(9))] {
            let bytes = reply.encode();
            assert_eq!(Reply::decode(&bytes), Some(reply));
            assert_eq!(Reply::decode(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(Reply::decode(&[]), None);
        assert_eq!(Reply::decode(&[2]), None);
    }
}
