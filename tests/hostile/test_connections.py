"""Connections that are a burden by what they do not do: read, send, or end."""

import contextlib
import socket
import struct
import time

from crash.machine import CrashBroker
from features.simple import wait_until
from harness.batches import batch
from harness.connection import Closed, Connection
from harness.messages import encode_request

from .conftest import create
from .observe import closed, open_connections, settled_memory_mib
from .requests import TARGET

IDLE = 10_000
IDLE_KIB_EACH = 16
"""Most that an idle connection may cost in the broker's own memory."""
SPARE_MIB = 64
LORIS = 200
FRAME_TIMEOUT_S = 30
"""How long the broker waits for the rest of a frame."""
DEAF = 40
DEAF_REQUESTS = 60
FILL_BYTES = 8 << 20
RESPONSE_MEMORY_MIB = 256
"""What all responses that nobody reads may take before their clients are closed."""


def goes_on(load) -> None:
    """The good client gets acknowledgements, now."""
    reached = sum(load.acknowledged) + 50
    wait_until("the good client goes on", lambda: sum(load.acknowledged) >= reached or load.errors)
    assert not load.errors, load.errors[:3]


def test_clients_that_never_read(attacked, good_client):
    """Their responses take a bounded amount of memory, and then they are closed."""
    fill(attacked)
    before, seen = settled_memory_mib(attacked, 3), closed(attacked).get("write_timeout", 0)
    partition = {"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": FILL_BYTES}
    topic = {"Topic": TARGET, "Partitions": [partition]}
    ask = encode_request("Fetch", 4, {"ReplicaId": -1, "MinBytes": 1, "MaxBytes": FILL_BYTES, "Topics": [topic]})
    deaf = [deaf_connection(attacked) for _ in range(DEAF)]
    for connection in deaf:
        send_what_fits(connection, (struct.pack(">i", len(ask)) + ask) * DEAF_REQUESTS)
    peak = before

    def some_are_closed() -> bool:
        nonlocal peak
        peak = max(peak, attacked.memory_mib())
        return closed(attacked).get("write_timeout", 0) > seen

    wait_until("clients that do not read are closed", some_are_closed)
    goes_on(good_client)
    for connection in deaf:
        connection.close()
    after = settled_memory_mib(attacked)
    print(f"{before:.0f} MiB before, {peak:.0f} at the peak, {after:.0f} after")
    assert peak < before + 2 * RESPONSE_MEMORY_MIB, f"{peak:.0f} MiB"
    assert after < before + SPARE_MIB, f"memory grew from {before:.0f} to {after:.0f} MiB"


def fill(broker) -> None:
    """Puts some megabytes into the target, in large batches."""
    records = batch([bytes(500_000)])
    partition = {"Index": 0, "Records": records}
    body = {"Acks": -1, "TimeoutMs": 30_000, "TopicData": [{"Name": TARGET, "PartitionData": [partition]}]}
    with Connection(broker.bootstrap) as connection:
        for _ in range(FILL_BYTES // len(records) + 1):
            answer = connection.ask("Produce", 9, body)
            assert answer["Responses"][0]["PartitionResponses"][0]["ErrorCode"] == 0, answer


def deaf_connection(broker) -> socket.socket:
    """A connection whose end here takes as little as it can."""
    host, port = broker.bootstrap.split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    return connection


def send_what_fits(connection: socket.socket, data: bytes) -> None:
    """Sends until the broker takes no more."""
    connection.settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        connection.sendall(data)


def test_clients_that_send_a_byte_at_a_time(attacked, good_client):
    """A frame that does not come to its end costs the client its connection, not the broker anything."""
    before, seen = settled_memory_mib(attacked, 3), closed(attacked).get("frame_timeout", 0)
    connections = [Connection(attacked.bootstrap) for _ in range(LORIS)]
    begun = time.monotonic()
    for connection in connections:
        connection.send(struct.pack(">i", 50_000_000))
    left = set(connections)
    while left and time.monotonic() < begun + 3 * FRAME_TIMEOUT_S:
        for connection in list(left):
            try:
                connection.send(b"x")
            except Closed:
                left.discard(connection)
        time.sleep(1)
    assert not left, f"{len(left)} of {LORIS} are still open"
    assert closed(attacked).get("frame_timeout", 0) - seen == LORIS, closed(attacked)
    goes_on(good_client)
    after = settled_memory_mib(attacked, 3)
    assert after < before + SPARE_MIB, f"memory grew from {before:.0f} to {after:.0f} MiB"


def test_ten_thousand_idle_connections(attacked, good_client):
    """They are let in, cost little, and give it back."""
    before, others = settled_memory_mib(attacked, 3), open_connections(attacked)
    idle = []
    for number in range(IDLE):
        connection = Connection(attacked.bootstrap)
        idle.append(connection)
        if number % 10 == 0:
            # Some of them have been in use.
            assert connection.ask("ApiVersions", 0, {})["ErrorCode"] == 0
    wait_until("all are accepted", lambda: open_connections(attacked) >= others + IDLE - 10)
    with_them = attacked.memory_mib()
    print(f"{IDLE} idle connections take {(with_them - before) * 1024 / IDLE:.1f} KiB each")
    assert with_them < before + SPARE_MIB + IDLE * IDLE_KIB_EACH / 1024, f"{before:.0f} MiB became {with_them:.0f}"
    goes_on(good_client)
    for connection in idle[::100]:
        assert connection.ask("ApiVersions", 0, {})["ErrorCode"] == 0
    for connection in idle:
        connection.close()
    wait_until("all are closed", lambda: open_connections(attacked) < 100)
    after = settled_memory_mib(attacked)
    print(f"{before:.0f} MiB before, {with_them:.0f} with them, {after:.0f} after")
    assert after < before + SPARE_MIB, f"memory grew from {before:.0f} to {after:.0f} MiB"


def test_more_connections_than_file_descriptors(session_directory):
    """Whoever comes too late is turned away; the log can still open the files that it needs."""
    broker = FewDescriptors(session_directory / "few-descriptors", {"log.retention.check.interval.ms": "500"})
    with broker:
        create(broker, TARGET, 1)
        crowd = []
        for _ in range(FewDescriptors.LIMIT + 200):
            try:
                crowd.append(Connection(broker.bootstrap, 5))
            except OSError:
                break
        wait_until("most are turned away or let in", lambda: decided(broker) >= len(crowd))
        turned_away = [connection for connection in crowd if is_closed(connection)]
        assert len(turned_away) > 100, f"{len(turned_away)} of {len(crowd)} were turned away"
        assert broker.is_ready(), "the broker has no descriptor left for whoever asks whether it is ready"
        broker.check_log()
        for connection in crowd:
            connection.close()
        fill(broker)
        broker.check_log()


def decided(broker) -> float:
    """Connections that were let in or turned away."""
    return sum(sum(broker.metrics(f"fjord_network_connections_{what}_total").values()) for what in ("opened", "refused"))


def is_closed(connection: Connection) -> bool:
    """Whether the broker ended it."""
    connection.socket.setblocking(False)
    try:
        return connection.socket.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


class FewDescriptors(CrashBroker):
    """A broker that may open few files."""

    LIMIT = 1024

    def command(self) -> list[str]:
        return ["prlimit", f"--nofile={self.LIMIT}", *super().command()]
