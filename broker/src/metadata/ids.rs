//! Random ids: of topics (KIP-516) and of clusters, in the form that Kafka's tools print and take.

use uuid::Uuid;

/// URL-safe base64.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// An id for a new topic. Its base64 form does not begin with a dash, since tools take it as an
/// argument.
pub fn new_topic_id() -> Uuid {
    loop {
        let id = Uuid::new_v4();
        if !to_base64(id).starts_with('-') {
            return id;
        }
    }
}

/// An id for a new cluster: 22 characters of base64.
pub fn new_cluster_id() -> String {
    to_base64(new_topic_id())
}

/// The 128 bits in groups of six, the last two filled up with zeros.
fn to_base64(id: Uuid) -> String {
    let bits = id.as_u128();
    let groups = (0..21).map(|place| (bits >> (122 - 6 * place)) & 0b11_1111);
    let groups = groups.chain([(bits & 0b11) << 4]);
    let letter = |group: u128| {
        let place = usize::try_from(group).expect("six bits");
        char::from(ALPHABET[place])
    };
    groups.map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_kafka() {
        // The first is the text of Kafka's `Uuid.METADATA_TOPIC_ID`.
        assert_eq!(to_base64(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(
            to_base64(Uuid::from_u128(u128::MAX)),
            "_____________________w"
        );
        assert_eq!(new_cluster_id().len(), 22);
        assert!(!new_cluster_id().starts_with('-'));
    }
}
