//! How a member subscribes.

use std::time::Duration;

use fjord_proto::v1::{Position, Subscribe};

use crate::fetcher::millis;

/// How a [`Consumer`](crate::Consumer) subscribes.
#[derive(Debug, Clone)]
pub struct SubscribeOptions {
    /// The group's name.
    pub group: String,
    /// The topics; they may come to be later.
    pub topics: Vec<String>,
    /// Subscribes all topics whose whole name matches this regular expression too; empty for none.
    pub pattern: String,
    /// Makes this a static member (KIP-345); empty for an ordinary one.
    pub instance_id: String,
    /// After so long without a sign of life the member's partitions go to others. 45 seconds unless set.
    pub session_timeout: Duration,
    /// How long members have for joining again in a rebalance. A minute unless set.
    pub rebalance_timeout: Duration,
    /// Where to begin in a partition of which the group has no committed offset. At the end unless set.
    pub start: Position,
    /// How many records the broker may send ahead. 4096 unless set; at least 2.
    pub credit_records: u32,
    /// About the most bytes of records in one message. 1 MiB unless set.
    pub max_bytes: u32,
    /// A name for this client in the descriptions of the group.
    pub client_id: String,
    /// How long is tried again what may succeed later, such as a connection that broke. Two minutes unless set.
    pub retry_for: Duration,
}

impl SubscribeOptions {
    /// Subscribes `topics` in `group`; all else is as its field says.
    #[must_use]
    pub fn new(
        group: impl Into<String>,
        topics: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            group: group.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            pattern: String::new(),
            instance_id: String::new(),
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(60),
            start: Position::Latest,
            credit_records: 4096,
            max_bytes: 1 << 20,
            client_id: "fjord-client".to_owned(),
            retry_for: Duration::from_secs(120),
        }
    }

    /// The first command of the stream.
    pub(super) fn subscribe(&self) -> Subscribe {
        Subscribe {
            group: self.group.clone(),
            topics: self.topics.clone(),
            pattern: self.pattern.clone(),
            instance_id: self.instance_id.clone(),
            session_timeout_ms: millis(self.session_timeout),
            rebalance_timeout_ms: millis(self.rebalance_timeout),
            start: self.start.into(),
            credit_records: Some(self.credit_records),
            max_bytes: self.max_bytes,
            client_id: self.client_id.clone(),
        }
    }
}
