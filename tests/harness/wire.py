"""A few requests of Kafka's protocol by hand, to see what clients do not show.

Clients hide which codec a stored batch has and which producer wrote it; a raw Fetch shows both.
"""

import socket
import struct
from dataclasses import dataclass

_METADATA, _FETCH = 3, 1
_TIMEOUT_S = 10
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


class WireError(Exception):
    """The broker closed the connection or answered with an error code."""


@dataclass(frozen=True)
class Batch:
    """The header of one stored record batch (format v2)."""

    base_offset: int
    record_count: int
    codec: str
    producer_id: int
    producer_epoch: int
    base_sequence: int


class _Reader:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, form: str):
        values = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return values[0] if len(values) == 1 else values

    def bytes(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def string(self) -> str | None:
        size = self.take("h")
        return None if size < 0 else self.bytes(size).decode()


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()


def _ask(host: str, port: int, api_key: int, version: int, body: bytes) -> _Reader:
    """Sends one request with a version 1 header and returns the response's body."""
    request = struct.pack(">hhi", api_key, version, 1) + _string("fjord-tests") + body
    with socket.create_connection((host, port), timeout=_TIMEOUT_S) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        stream = connection.makefile("rb")
        head = stream.read(4)
        if len(head) < 4:
            raise WireError("the broker closed the connection without an answer")
        (size,) = struct.unpack(">i", head)
        frame = stream.read(size)
    if len(frame) < size:
        raise WireError("the broker closed the connection inside an answer")
    reader = _Reader(frame)
    reader.take("i")
    return reader


def advertised_brokers(host: str, port: int) -> list[tuple[str, int]]:
    """Host and port of every broker that Metadata (version 1) names."""
    answer = _ask(host, port, _METADATA, 1, struct.pack(">i", 0))
    brokers = []
    for _ in range(answer.take("i")):
        answer.take("i")
        brokers.append((answer.string(), answer.take("i")))
        answer.string()
    return brokers


def stored_batches(bootstrap: str, topic: str, partition: int) -> list[Batch]:
    """The headers of all batches of a partition, in order, by Fetch (version 4) from its start."""
    host, port = bootstrap.split(":")
    batches: list[Batch] = []
    offset = 0
    while True:
        high_watermark, data = _fetch(host, int(port), topic, partition, offset)
        found = list(_batch_headers(data))
        batches += [batch for batch, _ in found]
        if found:
            offset = found[-1][1]
        if not found or offset >= high_watermark:
            return batches


def _fetch(host: str, port: int, topic: str, partition: int, offset: int) -> tuple[int, bytes]:
    limits = struct.pack(">iiiib", -1, 100, 1, 1 << 24, 0)
    target = struct.pack(">i", 1) + _string(topic) + struct.pack(">iiqi", 1, partition, offset, 1 << 20)
    answer = _ask(host, port, _FETCH, 4, limits + target)
    answer.take("ii")
    answer.string()
    answer.take("i")
    _, error, high_watermark, _, aborted = answer.take("ihqqi")
    if error != 0:
        raise WireError(f"fetch of {topic}-{partition} at {offset}: error {error}")
    if aborted > 0:
        answer.bytes(16 * aborted)
    return high_watermark, answer.bytes(answer.take("i"))


def _batch_headers(data: bytes):
    """Yields each whole batch's header and the offset after it; the last batch may be cut off."""
    at = 0
    while at + 61 <= len(data):
        base_offset, size = struct.unpack_from(">qi", data, at)
        if at + 12 + size > len(data):
            return
        attributes, last_delta = struct.unpack_from(">hi", data, at + 21)
        producer_id, epoch, sequence, count = struct.unpack_from(">qhii", data, at + 43)
        codec = CODECS[attributes & 0x07]
        yield Batch(base_offset, count, codec, producer_id, epoch, sequence), base_offset + last_delta + 1
        at += 12 + size
