//! Configs that Kafka does not have. Their names begin with `fjord.`.

use crate::config::definition::ConfigType::{Int, Long, String};
use crate::config::definition::{ConfigDef, Valid};
use crate::config::{broker, listeners};

const MIB: i64 = 1024 * 1024;

pub(super) const CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        "fjord.durability",
        String,
        Some("fsync"),
        Valid::OneOf(&["fsync", "os"]),
        "When a record counts as written. 'fsync': once it is on the disk. 'os': once the operating \
         system has it, which survives the end of the broker but not of the machine.",
    )
    .high(),
    ConfigDef::new(
        "fjord.cache.bytes",
        Long,
        Some("16777216"),
        Valid::AtLeast(0),
        "Bytes of the newest records that are kept in memory for consumers at the end of the log.",
    ),
    ConfigDef::new(
        "fjord.replication.catch.up.bytes.per.second",
        Long,
        Some("104857600"),
        Valid::AtLeast(1),
        "Bytes that this broker sends in a second to all replicas that are not in sync, on top of as much as \
         producers write meanwhile, so that a replica always comes nearer to its leader.",
    )
    .dynamic(),
    ConfigDef::new(
        "fjord.page.cache.bytes",
        Long,
        Some("-1"),
        Valid::AtLeast(-1),
        "Bytes of the newest records that stay in the operating system's page cache, for consumers that lag; \
         others are read from disk. -1: as much as the system gives, unless it turns out that memory is dear, \
         as it is where a hypervisor hands it out page by page: then what is there is used again.",
    ),
    ConfigDef::new(
        "fjord.index.cache.bytes",
        Long,
        Some("8388608"),
        Valid::AtLeast(MIB),
        "Bytes of the index that are kept in memory.",
    ),
    ConfigDef::new(
        "fjord.fetch.disk.max.bytes",
        Int,
        Some("4194304"),
        Valid::AtLeast(65_536),
        "Most bytes that one fetch reads from disk; the client comes back for the rest. Small reads stay in the \
         processor's caches and take little memory. More helps clients that are far away, since each answer \
         costs them a round trip. fetch.max.bytes holds too, and a first batch that is larger comes whole.",
    ),
    ConfigDef::new(
        "fjord.log.file.bytes",
        Long,
        Some("268435456"),
        Valid::Between(16 * MIB, 2048 * MIB),
        "Size of a file of the value log in bytes. A record batch must fit in one file.",
    )
    .low(),
    ConfigDef::new(
        "fjord.log.group.bytes",
        Long,
        Some("4194304"),
        Valid::AtLeast(65_536),
        "Most bytes that are written with one sync, unless one batch alone is larger. At most half of \
         fjord.log.file.bytes.",
    )
    .low(),
    ConfigDef::new(
        "fjord.disk.reserve.bytes",
        Long,
        Some("16777216"),
        Valid::AtLeast(0),
        "Free space in bytes below which the broker refuses writes; reading goes on. It leaves room to \
         open, index and compact what is there.",
    ),
    ConfigDef::new(
        "fjord.grpc.listen",
        String,
        Some(":9192"),
        Valid::Check("HOST:PORT or empty", listeners::check_optional_address),
        "Address of the gRPC listener. An empty host means every interface, port 0 a free port, an \
         empty text no listener.",
    ),
    ConfigDef::new(
        "fjord.grpc.message.max.bytes",
        Int,
        Some("16777216"),
        Valid::AtLeast(1 << 16),
        "Largest message that a gRPC client may send, in bytes. A larger one ends its call with INVALID_ARGUMENT and MESSAGE_TOO_LARGE.",
    ),
    ConfigDef::new(
        "fjord.grpc.streams.max",
        Int,
        Some("256"),
        Valid::AtLeast(1),
        "Most calls of one gRPC connection at once, streams included. More wait until others end.",
    )
    .low(),
    ConfigDef::new(
        "fjord.grpc.produce.max.in.flight",
        Int,
        Some("64"),
        Valid::AtLeast(1),
        "Most requests of one ProduceStream that wait for the disk at once. Beyond it the broker reads no more of \
         the stream.",
    )
    .low(),
    ConfigDef::new(
        "fjord.http.listen",
        String,
        Some(":9292"),
        Valid::Check("HOST:PORT or empty", listeners::check_optional_address),
        "Address of the HTTP listener for /healthz, /readyz and /metrics. An empty host means every \
         interface, port 0 a free port, an empty text no listener.",
    ),
    ConfigDef::new(
        "fjord.log.format",
        String,
        Some("text"),
        Valid::OneOf(&["text", "json"]),
        "Form of the broker's own log lines on standard error.",
    ),
    ConfigDef::new(
        "fjord.log.level",
        String,
        Some("info"),
        Valid::Check("LEVEL or MODULE=LEVEL, ...", broker::check_log_level),
        "Least severe log lines that are written: off, error, warn, info, debug or trace, for all or \
         per module, as in info,fjord_broker::net=debug.",
    ),
    ConfigDef::new(
        "fjord.metrics.topics.max",
        Int,
        Some("1000"),
        Valid::AtLeast(0),
        "Most topics with metric series of their own; the rest is counted together.",
    ),
];
