"""Every request and response of Kafka's protocol, encoded and decoded by the schemas in `broker/wire/schema`.

A message is a dict from the schema's field names to values; a field that is left out has its default. It is a
second implementation of the encoding, so the broker's own is checked against it.
"""

import json
import struct
import uuid
from dataclasses import dataclass, field
from functools import cache

from .paths import REPOSITORY

SCHEMAS = REPOSITORY / "broker" / "wire" / "schema"
API_VERSIONS = 18
_FORMS = {"int8": "b", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "float64": "d", "bool": "?"}
_NO_UUID = uuid.UUID(int=0)
_FOR_EVER = 1 << 15


@dataclass(frozen=True)
class Versions:
    """A range of versions, both ends included; empty where nothing is meant."""

    first: int
    last: int

    @staticmethod
    def parse(text: str | None) -> "Versions":
        if text in (None, "none"):
            return Versions(1, 0)
        first, dash, last = text.partition("-")
        if not dash:
            return Versions(int(first.rstrip("+")), _FOR_EVER if first.endswith("+") else int(first))
        return Versions(int(first), int(last))

    def __contains__(self, version: int) -> bool:
        return self.first <= version <= self.last


@dataclass(frozen=True)
class Field:
    """One field of a message or of a struct in it."""

    name: str
    type: str
    """The type, of an array the type of its elements; of a struct its name."""
    is_array: bool
    versions: Versions
    nullable: Versions
    tagged: Versions
    tag: int
    default: object
    fields: tuple["Field", ...]
    never_flexible: bool

    def default_value(self):
        """What the field has where nothing else is said."""
        if self.default == "null":
            return None
        if self.is_array:
            return []
        if self.fields:
            return {}
        if self.default is not None:
            return {"bool": lambda text: text == "true", "string": str, "float64": float}.get(self.type, _number)(
                self.default
            )
        return {"string": "", "bytes": b"", "records": None, "uuid": _NO_UUID, "bool": False}.get(self.type, 0)


def _number(text) -> int:
    return int(str(text), 0)


@dataclass(frozen=True)
class Schema:
    """One kind of message."""

    name: str
    api_key: int
    versions: Versions
    flexible: Versions
    fields: tuple[Field, ...] = field(repr=False)

    @property
    def api(self) -> str:
        """The API's name, without `Request` or `Response`."""
        return self.name.removesuffix("Request").removesuffix("Response")


def _field(source: dict, structs: dict) -> Field:
    kind = source["type"].removeprefix("[]")
    fields = tuple(_field(inner, structs) for inner in source.get("fields", []))
    if fields:
        structs[kind] = fields
    return Field(
        name=source["name"],
        type=kind,
        is_array=source["type"].startswith("[]"),
        versions=Versions.parse(source["versions"]),
        nullable=Versions.parse(source.get("nullableVersions")),
        tagged=Versions.parse(source.get("taggedVersions")),
        tag=source.get("tag", -1),
        default=source.get("default"),
        fields=fields or structs.get(kind, ()),
        never_flexible=source.get("flexibleVersions") == "none",
    )


@cache
def schema(name: str) -> Schema:
    """The schema of a message, such as `FetchRequest`."""
    source = json.loads((SCHEMAS / f"{name}.json").read_text())
    structs: dict = {}
    for common in source.get("commonStructs", []):
        structs[common["name"]] = tuple(_field(inner, structs) for inner in common["fields"])
    fields = tuple(_field(inner, structs) for inner in source["fields"])
    flexible = Versions.parse(source["flexibleVersions"])
    return Schema(name, source.get("apiKey", -1), Versions.parse(source["validVersions"]), flexible, fields)


@cache
def requests() -> list[Schema]:
    """The schemas of all requests, by API key."""
    found = (schema(path.stem) for path in SCHEMAS.glob("*Request.json"))
    return sorted(found, key=lambda request: request.api_key)


def encode_request(
    name: str,
    version: int,
    body: dict,
    correlation_id: int = 1,
    client_id: str | bytes | None = "fjord-tests",
    lie: "Lie | None" = None,
) -> bytes:
    """A request with its header, without the length in front. `name` is an API's, such as `Fetch`."""
    request = schema(f"{name}Request")
    is_flexible = version in request.flexible
    head = struct.pack(">hhi", request.api_key, version, correlation_id) + _Encoder(version, False, None).string(client_id)
    return head + (b"\0" if is_flexible else b"") + encode(request, version, body, lie)


def decode_response(name: str, version: int, frame: bytes) -> tuple[int, dict]:
    """Correlation id and body of a response without its length. Every byte of it must have been understood."""
    response = schema(f"{name}Response")
    reader = Reader(frame)
    correlation_id = reader.take("i")
    if version in response.flexible and response.api_key != API_VERSIONS:
        reader.tags()
    body = _decode_fields(response.fields, version, version in response.flexible, reader)
    if reader.at != len(frame):
        raise ValueError(f"{len(frame) - reader.at} bytes are left after {name} version {version}")
    return correlation_id, body


class Lie:
    """Has the n-th length in a message, of those of a kind, say something else."""

    def __init__(self, kind: str, index: int, length: int):
        """`kind` is `array`, `string` or `bytes`."""
        self.kind, self.left, self.length = kind, index, length
        self.told = False

    def of(self, kind: str, length: int) -> int:
        """The length to write."""
        if kind != self.kind or self.told:
            return length
        self.left -= 1
        self.told = self.left < 0
        return self.length if self.told else length


def encode(message: Schema, version: int, body: dict, lie: Lie | None = None) -> bytes:
    """A message's body."""
    return _Encoder(version, version in message.flexible, lie).fields(message.fields, body)


class _Encoder:
    def __init__(self, version: int, flexible: bool, lie: Lie | None):
        self.version, self.flexible, self.lie = version, flexible, lie

    def fields(self, fields: tuple[Field, ...], body: dict) -> bytes:
        parts, tagged = [], []
        for each in fields:
            if self.version not in each.versions:
                continue
            value = body.get(each.name, each.default_value())
            if self.version not in each.tagged:
                parts.append(self.value(each, value))
            elif value != each.default_value():
                tagged.append((each.tag, self.value(each, value)))
        if self.flexible:
            parts.append(uvarint(len(tagged)))
            parts += [uvarint(tag) + uvarint(len(encoded)) + encoded for tag, encoded in sorted(tagged)]
        return b"".join(parts)

    def value(self, each: Field, value) -> bytes:
        if not each.is_array:
            return self.one(each, value)
        if value is None:
            return self.length("array", -1)
        return self.length("array", len(value)) + b"".join(self.one(each, item) for item in value)

    def one(self, each: Field, value) -> bytes:
        if each.fields:
            if self.version in each.nullable and not each.is_array:
                return b"\xff" if value is None else b"\x01" + self.fields(each.fields, value)
            return self.fields(each.fields, value)
        if each.type == "string":
            return self.string(value)
        if each.type in ("bytes", "records"):
            return self.length("bytes", -1) if value is None else self.length("bytes", len(value)) + bytes(value)
        if each.type == "uuid":
            return value.bytes
        return struct.pack(">" + _FORMS[each.type], value)

    def string(self, text: str | bytes | None) -> bytes:
        if text is None:
            return self.length("string", -1)
        data = text.encode() if isinstance(text, str) else text
        return self.length("string", len(data)) + data

    def length(self, kind: str, length: int) -> bytes:
        if self.lie is not None:
            length = self.lie.of(kind, length)
        if self.flexible:
            return uvarint(length + 1 & 0xFFFFFFFF)
        return struct.pack(
            ">h" if kind == "string" else ">i", max(-0x8000, min(length, 0x7FFF)) if kind == "string" else length
        )


def uvarint(value: int) -> bytes:
    """An unsigned varint, as flexible versions have it for lengths and tags."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Reader:
    """Takes values off the front of bytes."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, form: str):
        """One number of a `struct` format."""
        (value,) = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return value

    def bytes(self, size: int) -> bytes:
        """So many bytes; it is an error if there are fewer."""
        if self.at + size > len(self.data):
            raise ValueError("a value goes beyond the message's end")
        self.at += size
        return self.data[self.at - size : self.at]

    def uvarint(self) -> int:
        """An unsigned varint."""
        value = shift = 0
        while True:
            byte = self.take("B")
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def length(self, flexible: bool, form: str) -> int:
        """A length; -1 is null."""
        return self.uvarint() - 1 if flexible else self.take(form)

    def tags(self) -> dict[int, bytes]:
        """Tagged fields, undecoded."""
        return {self.uvarint(): self.bytes(self.uvarint()) for _ in range(self.uvarint())}


def _decode_fields(fields: tuple[Field, ...], version: int, flexible: bool, reader: Reader) -> dict:
    body = {}
    tagged = {each.tag: each for each in fields if version in each.versions and version in each.tagged}
    for each in fields:
        if version in each.versions and version not in each.tagged:
            body[each.name] = _decode_value(each, version, flexible, reader)
    if flexible:
        for tag, data in reader.tags().items():
            body[tagged[tag].name] = _decode_value(tagged[tag], version, flexible, Reader(data))
    return body


def _decode_value(each: Field, version: int, flexible: bool, reader: Reader):
    flexible = flexible and not each.never_flexible
    if not each.is_array:
        return _decode_one(each, version, flexible, reader)
    count = reader.length(flexible, "i")
    return None if count < 0 else [_decode_one(each, version, flexible, reader) for _ in range(count)]


def _decode_one(each: Field, version: int, flexible: bool, reader: Reader):
    if each.fields:
        if version in each.nullable and not each.is_array and reader.take("b") < 0:
            return None
        return _decode_fields(each.fields, version, flexible, reader)
    if each.type == "string":
        size = reader.length(flexible, "h")
        return None if size < 0 else reader.bytes(size).decode()
    if each.type in ("bytes", "records"):
        size = reader.length(flexible, "i")
        return None if size < 0 else reader.bytes(size)
    if each.type == "uuid":
        return uuid.UUID(bytes=reader.bytes(16))
    return reader.take(_FORMS[each.type])
