//! The API keys, their versions and the versions of the headers that go with them.

use std::fmt;
use std::ops::RangeInclusive;

include!(concat!(env!("OUT_DIR"), "/api_keys.rs"));

/// What the schema says about one API.
struct Api {
    key: ApiKey,
    name: &'static str,
    min_version: i16,
    max_version: i16,
    /// `i16::MAX` if no version is flexible.
    first_flexible_version: i16,
}

impl ApiKey {
    /// Every known API, ordered by key.
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// The API of a key from the wire; `None` if it is unknown.
    pub fn from_wire(key: i16) -> Option<Self> {
        let index = ALL.binary_search_by_key(&key, |api| api.code()).ok()?;
        ALL.get(index).copied()
    }

    /// The key as it stands on the wire.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// Kafka's name of the API, such as `OffsetFetch`.
    pub fn name(self) -> &'static str {
        self.api().name
    }

    /// The versions that can be decoded and encoded.
    pub fn valid_versions(self) -> RangeInclusive<i16> {
        let api = self.api();
        api.min_version..=api.max_version
    }

    /// The versions that an `ApiVersions` response lists.
    ///
    /// Produce is listed from version 0 although 0 to 2 are refused: librdkafka takes a broker
    /// without them for one that knows no message format v2 (KAFKA-18659).
    pub fn advertised_versions(self) -> RangeInclusive<i16> {
        match self {
            Self::Produce => 0..=self.api().max_version,
            _ => self.valid_versions(),
        }
    }

    /// The version of the request header in front of a body of this version; also for versions
    /// beyond the valid ones, so that they can be answered.
    pub fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the response header in front of a body of this version.
    ///
    /// An `ApiVersions` response always has version 0, so that a client can read the answer to a
    /// version that the broker does not know (KIP-511).
    pub fn response_header_version(self, version: i16) -> i16 {
        match self {
            Self::ApiVersions => 0,
            _ => i16::from(self.is_flexible(version)),
        }
    }

    fn is_flexible(self, version: i16) -> bool {
        version >= self.api().first_flexible_version
    }

    fn api(self) -> &'static Api {
        APIS.iter()
            .find(|api| api.key == self)
            .expect("the generator emits the enum and the table from one list")
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
