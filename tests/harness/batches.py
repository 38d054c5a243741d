"""Record batches (format v2) by hand: sound ones, and with any field set to what no client would write."""

import gzip
import struct
import time
from dataclasses import dataclass

import cramjam
import lz4.frame
import zstandard

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
HEADER_BYTES = 61
CRC_AT = 17
_CRC_FROM = 21


def _crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc32c_table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), which is not the one of `zlib`. Slow; meant for small batches."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def varint(value: int) -> bytes:
    """A zigzag varint, as records have it."""
    value = (value << 1) ^ (value >> 63)
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def record(delta: int, key: bytes | None, value: bytes | None) -> bytes:
    """One record without headers."""
    body = b"\0" + varint(0) + varint(delta)
    for data in (key, value):
        body += varint(-1) if data is None else varint(len(data)) + data
    body += varint(0)
    return varint(len(body)) + body


def compress(codec: str, data: bytes) -> bytes:
    """What a client makes of the records of a batch."""
    return {
        "none": lambda: data,
        "gzip": lambda: gzip.compress(data, 1),
        "snappy": lambda: bytes(cramjam.snappy.compress_raw(data)),
        "lz4": lambda: lz4.frame.compress(data),
        "zstd": lambda: zstandard.compress(data),
    }[codec]()


@dataclass
class BatchFields:
    """The fields of a batch's header that are not counted from its records."""

    base_offset: int = 0
    leader_epoch: int = -1
    magic: int = 2
    attributes: int | None = None
    """None: what the codec says."""
    last_offset_delta: int | None = None
    record_count: int | None = None
    producer_id: int = -1
    producer_epoch: int = -1
    base_sequence: int = -1
    length: int | None = None
    crc: int | None = None


def batch(values: list[bytes], codec: str = "none", fields: BatchFields | None = None) -> bytes:
    """A batch of records without keys."""
    records = b"".join(record(delta, None, value) for delta, value in enumerate(values))
    return batch_of(compress(codec, records), len(values), codec, fields)


def batch_of(body: bytes, count: int, codec: str = "none", fields: BatchFields | None = None) -> bytes:
    """A batch around the bytes of its records."""
    fields = fields or BatchFields()
    now = int(time.time() * 1000)
    covered = struct.pack(
        ">hiqqqhii",
        CODECS.index(codec) if fields.attributes is None else fields.attributes,
        count - 1 if fields.last_offset_delta is None else fields.last_offset_delta,
        now,
        now,
        fields.producer_id,
        fields.producer_epoch,
        fields.base_sequence,
        count if fields.record_count is None else fields.record_count,
    )
    covered += body
    crc = crc32c(covered) if fields.crc is None else fields.crc
    length = _CRC_FROM - 12 + len(covered) if fields.length is None else fields.length
    return struct.pack(">qiibI", fields.base_offset, length, fields.leader_epoch, fields.magic, crc) + covered
