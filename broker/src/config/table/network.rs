//! Configs of listeners, connections and requests.

use crate::config::definition::ConfigType::{Int, List, Long, String};
use crate::config::definition::{ConfigDef, Valid};
use crate::config::listeners;

pub(super) const CONFIGS: &[ConfigDef] = &[
    ConfigDef::new(
        "listeners",
        List,
        Some("PLAINTEXT://:9092"),
        Valid::Check("NAME://HOST:PORT,...", listeners::check_listeners),
        "Addresses on which Kafka clients are served. An empty host means every interface, port 0 a \
         free port that the system picks. The default listens everywhere, as Kafka does, so that a \
         broker in a container or on another machine is reached without any configuration; use \
         PLAINTEXT://127.0.0.1:9092 to be reached from this machine only.",
    )
    .high(),
    ConfigDef::new(
        "advertised.listeners",
        List,
        None,
        Valid::Check("NAME://HOST:PORT,...", listeners::check_advertised),
        "Addresses that clients are told to connect to, one for each listener that differs. Unset, it \
         is the listener's own host and port; and where that is every interface, the address that \
         the client has just connected to, which works for every client that is not behind address \
         translation. Port 0 means the port that the listener is bound to.",
    )
    .high(),
    ConfigDef::new(
        "listener.security.protocol.map",
        String,
        Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"),
        Valid::Check("NAME:PROTOCOL,...", listeners::check_protocol_map),
        "Security protocol of each listener name. Listeners can use PLAINTEXT only so far.",
    )
    .low(),
    ConfigDef::new(
        "num.network.threads",
        Int,
        Some("-1"),
        Valid::BetweenOr(1, 1024, -1),
        "Threads that serve connections and run request handlers. They never wait for a disk. -1 \
         means one for every two processors: more of them mostly wake each other, and the log's own \
         threads want processors too.",
    )
    .high(),
    ConfigDef::new(
        "num.io.threads",
        Int,
        Some("8"),
        Valid::AtLeast(1),
        "Threads for work that waits for a disk, such as reads of records that are not in memory.",
    )
    .high(),
    ConfigDef::new(
        "socket.listen.backlog.size",
        Int,
        Some("50"),
        Valid::AtLeast(1),
        "Connections that the system completes before the broker has accepted them.",
    ),
    ConfigDef::new(
        "socket.receive.buffer.bytes",
        Int,
        Some("102400"),
        Valid::AtLeast(-1),
        "Bytes of a connection's receive buffer in the system; -1 leaves it to the system.",
    )
    .high(),
    ConfigDef::new(
        "socket.send.buffer.bytes",
        Int,
        Some("102400"),
        Valid::AtLeast(-1),
        "Bytes of a connection's send buffer in the system; -1 leaves it to the system.",
    )
    .high(),
    ConfigDef::new(
        "socket.request.max.bytes",
        Int,
        Some("104857600"),
        Valid::AtLeast(1),
        "Largest request in bytes; a connection that announces a larger one is closed.",
    )
    .high(),
    ConfigDef::new(
        "queued.max.requests",
        Int,
        Some("500"),
        Valid::AtLeast(1),
        "Requests of one connection that are worked on at the same time; beyond that, nothing more is \
         read from it until one is answered. Requests of all connections together are bounded by \
         queued.max.request.bytes.",
    )
    .high(),
    ConfigDef::new(
        "queued.max.request.bytes",
        Long,
        Some("-1"),
        Valid::AtLeast(-1),
        "Bytes of requests of all connections that are held in memory at the same time; beyond that, \
         nothing more is read from any connection. At least socket.request.max.bytes. With 0 or -1 \
         it is 256 MiB or twice socket.request.max.bytes, whichever is more.",
    ),
    ConfigDef::new(
        "max.connections",
        Int,
        Some("2147483647"),
        Valid::AtLeast(0),
        "Connections from Kafka clients at the same time; one more is closed at once.",
    )
    .dynamic(),
    ConfigDef::new(
        "max.connections.per.ip",
        Int,
        Some("2147483647"),
        Valid::AtLeast(0),
        "Connections from one address at the same time; one more is closed at once.",
    )
    .dynamic(),
    ConfigDef::new(
        "connections.max.idle.ms",
        Long,
        Some("600000"),
        Valid::Any,
        "Milliseconds after which a connection without a request is closed; a negative number means \
         never.",
    ),
    ConfigDef::new(
        "request.timeout.ms",
        Int,
        Some("30000"),
        Valid::AtLeast(1),
        "Milliseconds that a request which names no time limit of its own may wait for other parts \
         of the cluster before it is answered with a timeout.",
    )
    .high(),
    ConfigDef::new(
        "fetch.max.bytes",
        Int,
        Some("57671680"),
        Valid::AtLeast(1024),
        "Most bytes of records in one fetch response, however much the client asks for. A first batch \
         that alone is larger is still returned whole.",
    ),
    ConfigDef::new(
        "max.incremental.fetch.session.cache.slots",
        Int,
        Some("1000"),
        Valid::AtLeast(0),
        "Incremental fetch sessions that are remembered; with all in use, clients send full fetches.",
    ),
    ConfigDef::new(
        "max.request.partition.size.limit",
        Int,
        Some("2000"),
        Valid::AtLeast(1),
        "Most partitions in one DescribeTopicPartitions response.",
    ),
];
