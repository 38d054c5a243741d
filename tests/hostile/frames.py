"""Malformed frames of every kind, each with what the broker may make of it."""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.batches import CRC_AT, BatchFields, batch, batch_of
from harness.messages import API_VERSIONS, Lie, encode_request, requests, uvarint

from .bombs import bombs
from .requests import TARGET, VICTIM, any_request, sound_body, sound_frame

OVERSIZED = 100 * 1024 * 1024 + 1
"""More than the default of socket.request.max.bytes."""

CORRUPT_MESSAGE, MESSAGE_TOO_LARGE, UNSUPPORTED_FORMAT, INVALID_TXN_STATE = 2, 10, 43, 48
INVALID_TIMESTAMP, UNSUPPORTED_COMPRESSION, INVALID_RECORD, UNSUPPORTED_VERSION = 32, 76, 87, 35


@dataclass(frozen=True)
class Hostile:
    """A frame, or what is to pass for one."""

    kind: str
    data: bytes
    """With its length in front."""
    closes: bool = False
    """Whether the connection must be closed without an answer. If not, it may be, unless `errors` is set."""
    errors: tuple[int, ...] = ()
    """The error codes of which the answer must have one."""
    then_end: bool = False
    """Whether the client says that nothing more comes."""
    request: tuple[str, int] | None = None
    """API and version of the answer, where the frame is clear about them."""


def framed(frame: bytes, length: int | None = None) -> bytes:
    """With its length in front, or with another one."""
    return struct.pack(">i", len(frame) if length is None else length) + frame


def hostile_frames(chance: random.Random, count: int) -> Iterator[Hostile]:
    """So many frames, of all kinds in turn."""
    for number in range(count):
        yield KINDS[number % len(KINDS)](chance)


def oversized(chance: random.Random) -> Hostile:
    length = chance.choice((OVERSIZED, OVERSIZED + 1, 2**30, 2**31 - 1))
    return Hostile("oversized", framed(sound_frame(chance)[2], length), closes=True)


def negative(chance: random.Random) -> Hostile:
    return Hostile("negative length", framed(sound_frame(chance)[2], chance.choice((-1, -2, -(2**31)))), closes=True)


def too_small(chance: random.Random) -> Hostile:
    size = chance.randrange(8)
    return Hostile("too small", framed(chance.randbytes(size)), closes=True)


def truncated(chance: random.Random) -> Hostile:
    """The stream ends inside of a frame."""
    data = framed(sound_frame(chance)[2])
    return Hostile("truncated frame", data[: chance.randrange(1, len(data))], closes=True, then_end=True)


def cut_body(chance: random.Random) -> Hostile:
    """The frame is whole, and its message is not."""
    _, _, frame = sound_frame(chance)
    return Hostile(
        "cut message", framed(frame[: chance.randrange(8, len(frame))] if len(frame) > 8 else frame[:7]), closes=True
    )


def lying_length(chance: random.Random) -> Hostile:
    """An array, a string or bytes beyond the end of the frame."""
    while True:
        request, version = any_request(chance)
        kind = chance.choice(("array", "array", "string", "bytes"))
        length = chance.choice((0x7FFFFFFE, 0x10000000, 0x100000)) if kind != "string" else 0x7FFF
        lie = Lie(kind, chance.randrange(4), length)
        frame = encode_request(request.api, version, sound_body(chance, request, version), lie=lie)
        if lie.told:
            return Hostile("length beyond the frame", framed(frame), closes=True)


def negative_length(chance: random.Random) -> Hostile:
    request, version = any_request(chance)
    lie = Lie(chance.choice(("array", "string", "bytes")), chance.randrange(3), chance.choice((-2, -100)))
    frame = encode_request(request.api, version, sound_body(chance, request, version), lie=lie)
    return Hostile("negative length of a field", framed(frame), request=(request.api, version))


def huge_tag_count(chance: random.Random) -> Hostile:
    """More tagged fields than the frame has room for."""
    flexible = [each for each in requests() if each.versions.last in each.flexible]
    request = chance.choice(flexible)
    frame = encode_request(request.api, request.versions.last, sound_body(chance, request, request.versions.last))
    return Hostile("tagged fields beyond the frame", framed(frame[:-1] + uvarint(2**31)), closes=True)


def unknown_api(chance: random.Random) -> Hostile:
    known = {each.api_key for each in requests()}
    key = chance.choice(
        [key for key in (-1, -32768, 4, 5, 6, 7, 99, 1000, 32767, chance.randrange(100, 30_000)) if key not in known]
    )
    frame = struct.pack(">hhi", key, chance.randrange(-1, 20), 1) + b"\0\0" + chance.randbytes(20)
    return Hostile("unknown api", framed(frame), closes=True)


def unknown_version(chance: random.Random) -> Hostile:
    request, version = any_request(chance)
    frame = encode_request(request.api, version, sound_body(chance, request, version))
    wrong = chance.choice(
        (-1, -32768, request.versions.last + 1, 32767, *([request.versions.first - 1] if request.versions.first else []))
    )
    frame = frame[:2] + struct.pack(">h", wrong) + frame[4:]
    if request.api_key == API_VERSIONS:
        return Hostile("unknown version", framed(frame), errors=(UNSUPPORTED_VERSION,), request=("ApiVersions", 0))
    return Hostile("unknown version", framed(frame), closes=True)


def bad_text(chance: random.Random) -> Hostile:
    """Names that are not UTF-8."""
    request, version, frame = sound_frame(chance)
    bad = chance.choice((b"\xff\xfe\xfd\xfc\xfb\xfa", b"\xed\xa0\x80abc", b"\xc0\x80\xc0\x80\xc0\x80"))
    return Hostile("bad UTF-8", framed(frame.replace(VICTIM.encode(), bad)), request=(request.api, version))


def bad_client_id(chance: random.Random) -> Hostile:
    request, version = any_request(chance)
    frame = encode_request(request.api, version, sound_body(chance, request, version), client_id=b"\xff\xfe")
    return Hostile("bad UTF-8 in the header", framed(frame), request=(request.api, version))


def mutated(chance: random.Random) -> Hostile:
    """A sound request with bits flipped, bytes left out, doubled or overwritten."""
    request, version, frame = sound_frame(chance)
    data = bytearray(frame)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = chance.randrange(8, len(data)) if len(data) > 8 else 0
        match chance.randrange(4):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                del data[at : at + chance.randrange(1, 9)]
            case 2:
                data[at:at] = data[at : at + chance.randrange(1, 9)]
            case 3:
                data[at : at + 4] = chance.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", chance.randbytes(4)))
        if len(data) <= 8:
            break
    return Hostile("mutated", framed(bytes(data)), request=(request.api, version))


def nonsense(chance: random.Random) -> Hostile:
    return Hostile("nonsense", framed(chance.randbytes(chance.randrange(8, 2000))))


def other_protocol(chance: random.Random) -> Hostile:
    """What finds the wrong port."""
    data = chance.choice((b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
                          b"SSH-2.0-OpenSSH_9.6\r\n"))  # fmt: skip
    return Hostile("another protocol", data, closes=True)


def bad_batch(chance: random.Random) -> Hostile:
    """A produce request whose batch is not what it says."""
    kind, records, errors = chance.choice(_BAD_BATCHES)
    version = chance.randint(3, 12)
    return Hostile(f"batch: {kind}", framed(produce(version, records())), errors=errors, request=("Produce", version))


def bomb(chance: random.Random) -> Hostile:
    """A batch that becomes very large when it is decompressed; they are few, since each costs its time."""
    if chance.random() > 0.15:
        return bad_batch(chance)
    codec, records = chance.choice(bombs())
    errors = (MESSAGE_TOO_LARGE, CORRUPT_MESSAGE, INVALID_RECORD)
    return Hostile(f"bomb: {codec}", framed(produce(9, records)), errors=errors, request=("Produce", 9))


def produce(version: int, records: bytes | None) -> bytes:
    """A produce request with one batch for the target."""
    partition = {"Index": 0, "Records": records}
    body = {"Acks": -1, "TimeoutMs": 30_000, "TopicData": [{"Name": TARGET, "PartitionData": [partition]}]}
    return encode_request("Produce", version, body)


def _patched(records: bytes, at: int, data: bytes) -> bytes:
    return records[:at] + data + records[at + len(data) :]


_SOUND = batch([b"one", b"two", b"three"])
_TRANSACTION = BatchFields(attributes=0x10, producer_id=1, producer_epoch=0, base_sequence=0)
_MANY = BatchFields(record_count=2**31 - 1, last_offset_delta=2**31 - 2)
_INVALID = (CORRUPT_MESSAGE, INVALID_RECORD)
_BAD_BATCHES: list[tuple[str, Callable[[], bytes | None], tuple[int, ...]]] = [
    ("wrong checksum", lambda: _patched(_SOUND, CRC_AT, b"\1\2\3\4"), (CORRUPT_MESSAGE,)),
    ("flipped byte", lambda: _patched(_SOUND, len(_SOUND) - 3, b"\x7f"), (CORRUPT_MESSAGE,)),
    ("length beyond the request", lambda: batch([b"x"], fields=BatchFields(length=1 << 20)), _INVALID),
    ("negative length", lambda: batch([b"x"], fields=BatchFields(length=-1)), _INVALID),
    ("length of zero", lambda: batch([b"x"], fields=BatchFields(length=0)), _INVALID),
    ("too short", lambda: _SOUND[:40], _INVALID),
    ("empty", lambda: b"", _INVALID),
    ("null", lambda: None, _INVALID),
    ("cut", lambda: _SOUND[:-2], _INVALID),
    ("bytes behind it", lambda: _SOUND + b"\0\0\0", _INVALID),
    ("two batches", lambda: _SOUND + _SOUND, _INVALID),
    ("old format 0", lambda: batch([b"x"], fields=BatchFields(magic=0)), (UNSUPPORTED_FORMAT, *_INVALID)),
    ("old format 1", lambda: batch([b"x"], fields=BatchFields(magic=1)), (UNSUPPORTED_FORMAT, *_INVALID)),
    ("unknown format", lambda: batch([b"x"], fields=BatchFields(magic=3)), (UNSUPPORTED_FORMAT, *_INVALID)),
    ("unknown codec", lambda: batch([b"x"], fields=BatchFields(attributes=7)), (UNSUPPORTED_COMPRESSION, *_INVALID)),
    ("control batch", lambda: batch([b"x"], fields=BatchFields(attributes=0x20)), (INVALID_RECORD,)),
    ("transaction", lambda: batch([b"x"], fields=_TRANSACTION), (INVALID_TXN_STATE,)),
    ("time of the broker", lambda: batch([b"x"], fields=BatchFields(attributes=0x08)), (INVALID_TIMESTAMP, INVALID_RECORD)),
    ("count too large", lambda: batch([b"x"], fields=_MANY), _INVALID),
    ("count of zero", lambda: batch([b"x"], fields=BatchFields(record_count=0)), _INVALID),
    ("negative count", lambda: batch([b"x"], fields=BatchFields(record_count=-1)), _INVALID),
    ("delta and count differ", lambda: batch([b"x"], fields=BatchFields(last_offset_delta=5)), _INVALID),
    ("base offset", lambda: batch([b"x"], fields=BatchFields(base_offset=77)), _INVALID),
    ("producer without sequence", lambda: batch([b"x"], fields=BatchFields(producer_id=5, producer_epoch=0)), _INVALID),
    ("no records", lambda: batch_of(b"", 1), _INVALID),
    ("records of nonsense", lambda: batch_of(b"\xff" * 50, 3), _INVALID),
    ("a record beyond the batch", lambda: batch_of(b"\xfe\xff\xff\xff\x0f" + b"\0" * 20, 1), _INVALID),
    *((f"not {codec}", lambda codec=codec: batch_of(b"not compressed at all", 1, codec), _INVALID)
      for codec in ("gzip", "snappy", "lz4", "zstd")),
    *((f"empty {codec}", lambda codec=codec: batch_of(b"", 1, codec), _INVALID)
      for codec in ("gzip", "snappy", "lz4", "zstd")),
]  # fmt: skip

KINDS: list[Callable[[random.Random], Hostile]] = [
    oversized, negative, too_small, truncated, cut_body, lying_length, lying_length, negative_length, huge_tag_count,
    unknown_api, unknown_version, bad_text, bad_client_id, mutated, mutated, mutated, mutated, nonsense, other_protocol,
    bad_batch, bad_batch, bomb,
]  # fmt: skip
