"""Batches that fit the limits while they are compressed, and far exceed them when they are not."""

import gzip
import zlib
from functools import cache

import lz4.frame
import zstandard

from harness.batches import batch_of, varint

_BATCH_BYTES = 1 << 20
_CHUNK = bytes(1 << 20)


@cache
def bombs() -> list[tuple[str, bytes]]:
    """A bomb for each codec. One record claims all that comes."""
    return [
        ("gzip", batch_of(_gzip(200), 1, "gzip")),
        ("gzip in members", batch_of(gzip.compress(_CHUNK * 8) * 30, 1, "gzip")),
        ("lz4", batch_of(_lz4(200), 1, "lz4")),
        ("zstd", batch_of(_zstd(1000), 1, "zstd")),
        ("zstd with a window of 2 GiB", batch_of(b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x02\x00\x00" * 100, 1, "zstd")),
        ("snappy that claims 4 GiB", batch_of(b"\xff\xff\xff\xff\x0f" + b"\x00a" * 50, 1, "snappy")),
        (
            "snappy in blocks that claim 2 GiB",
            batch_of(_XERIAL + b"\x7f\xff\xff\xff" + b"\xff\xff\xff\xff\x07aaaa", 1, "snappy"),
        ),
    ]


_XERIAL = b"\x82SNAPPY\0\0\0\0\1\0\0\0\1"


def _start(mebibytes: int) -> bytes:
    """The first bytes of a record that is as long as what follows."""
    size = mebibytes << 20
    return varint(size) + b"\0\0\0\1" + varint(size - 20)


def _gzip(mebibytes: int) -> bytes:
    packer = zlib.compressobj(6, wbits=31)
    return packer.compress(_start(mebibytes)) + b"".join(packer.compress(_CHUNK) for _ in range(mebibytes)) + packer.flush()


def _lz4(mebibytes: int) -> bytes:
    with lz4.frame.LZ4FrameCompressor(block_size=lz4.frame.BLOCKSIZE_MAX4MB) as packer:
        parts = [packer.begin(), packer.compress(_start(mebibytes))]
        parts += [packer.compress(_CHUNK) for _ in range(mebibytes)]
        return b"".join(parts) + packer.flush()


def _zstd(mebibytes: int) -> bytes:
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    return packer.compress(_start(mebibytes)) + b"".join(packer.compress(_CHUNK) for _ in range(mebibytes)) + packer.flush()
