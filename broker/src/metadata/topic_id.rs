//! Topic ids: random, as in Kafka (KIP-516).

use uuid::Uuid;

/// An id for a new topic: a random UUID whose base64 form, which tools print and take as an argument,
/// does not begin with a dash.
pub fn new_topic_id() -> Uuid {
    loop {
        let id = Uuid::new_v4();
        // The first six bits make the first character; 62 is the dash of URL-safe base64.
        if id.as_bytes()[0] >> 2 != 62 {
            return id;
        }
    }
}
