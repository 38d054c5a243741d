"""The value log's files as `docs/storage-format.md` has them: enough to aim damage at chosen entries."""

import struct
from dataclasses import dataclass
from pathlib import Path

FILE_HEADER_BYTES = 4096
ENTRY_HEADER_BYTES = 64
METADATA_PARTITION = (1 << 64) - 1
KINDS = {1: "append", 2: "truncate", 3: "log-start", 4: "epoch", 5: "snapshot", 6: "replace", 7: "delete", 8: "create",
         9: "relocate"}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One entry of a file."""

    file: str
    position: int
    kind: str
    partition: int
    base_offset: int
    last_offset: int
    length: int

    @property
    def payload(self) -> int:
        """Where its payload begins."""
        return self.position + ENTRY_HEADER_BYTES

    @property
    def end(self) -> int:
        """Where the next entry begins."""
        return self.payload + (self.length + 7 & ~7)


def entries(path: Path) -> list[Entry]:
    """All entries of a file that nothing has damaged."""
    file_id, data, found = int(path.stem), path.read_bytes(), []
    at = FILE_HEADER_BYTES
    while at + ENTRY_HEADER_BYTES <= len(data):
        length, _, kind, lsn, partition, base, delta = struct.unpack_from("<IIB3xQQQI", data, at + 4)
        if lsn != file_id << 32 | at:
            break
        found.append(Entry(path.name, at, KINDS[kind], partition, base, base + delta, length))
        at = found[-1].end
    return found
