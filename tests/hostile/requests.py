"""Sound requests of every API and version, filled at random: what the hostile frames are made from."""

import random
import uuid

from harness.batches import batch
from harness.messages import Field, Schema, encode_request, requests

VICTIM = "victim"
"""The topic and the group that hostile requests name. Some of them delete it, as anybody may."""
TARGET = "target"
"""The topic that hostile batches are sent to; no other request names it."""
_TEXTS = (VICTIM, VICTIM, VICTIM, "", "x", "no-such-thing", "with space", "../up", "a" * 249, "ü" * 100)
_NUMBERS = (0, 0, 0, 1, 1, -1, 2, 7, 100, 2**31 - 1, -(2**31))
_SMALL = {"int8": 2**7, "int16": 2**15, "uint16": 2**16, "int32": 2**31, "uint32": 2**32, "int64": 2**63}
_CALM = {
    # Times for which the broker would rightly be silent.
    "MaxWaitMs": 0,
    "RebalanceTimeoutMs": 100,
    "SessionTimeoutMs": 6000,
    "TimeoutMs": 1000,
    "timeoutMs": 1000,
    # A request that gets no answer at all has a place of its own.
    "Acks": -1,
    # One topic with very many partitions is allowed, and costs what it costs.
    "NumPartitions": 2,
    "Count": 3,
    # Configs of the broker itself stay as they are.
    "ResourceType": 2,
}


def any_request(chance: random.Random, only: tuple[str, ...] = ()) -> tuple[Schema, int]:
    """An API and one of its versions."""
    request = chance.choice([each for each in requests() if not only or each.api in only])
    return request, chance.randint(request.versions.first, request.versions.last)


def sound_body(chance: random.Random, request: Schema, version: int) -> dict:
    """A body that decodes; whether it makes sense is another matter."""
    return {each.name: _value(chance, each, version) for each in request.fields if version in each.versions}


def sound_frame(chance: random.Random) -> tuple[Schema, int, bytes]:
    """A request that decodes."""
    request, version = any_request(chance)
    return request, version, encode_request(request.api, version, sound_body(chance, request, version))


def _value(chance: random.Random, each: Field, version: int):
    if each.is_array:
        if version in each.nullable and chance.random() < 0.1:
            return None
        return [_one(chance, each, version) for _ in range(chance.choice((0, 1, 1, 1, 2, 3)))]
    return _one(chance, each, version)


def _one(chance: random.Random, each: Field, version: int):
    if each.name in _CALM:
        return _CALM[each.name]
    if version in each.nullable and not each.is_array and chance.random() < 0.2:
        return None
    if each.fields:
        return {inner.name: _value(chance, inner, version) for inner in each.fields if version in inner.versions}
    if each.type == "string":
        return chance.choice(_TEXTS)
    if each.type == "records":
        return batch([b"hostile"])
    if each.type == "bytes":
        return chance.randbytes(chance.choice((0, 1, 20)))
    if each.type == "uuid":
        return uuid.UUID(int=chance.choice((0, 1, chance.getrandbits(128))))
    if each.type == "bool":
        return chance.random() < 0.5
    if each.type == "float64":
        return chance.choice((0.0, -1.0, 1e300))
    number = chance.choice(_NUMBERS)
    limit = _SMALL[each.type]
    return number % limit if each.type.startswith("u") else max(-limit, min(number, limit - 1))
