"""What clients did and saw, as lines of JSON: each client writes a file of its own, and the test reads all of them.

| Event | Fields | When it is written |
|---|---|---|
| `sent` | `record`, `topic` | before the client is given the record |
| `acknowledged` | `record`, `topic`, `partition`, `offset` | the client says that it is stored |
| `bumped` | | librdkafka took a new producer epoch, under which it sends again what is under way |
| `failed` | `record`, `topic`, `error` | the client gave it up |
| `assigned` | `group`, `topic`, `partitions` | a member is given partitions, before it asks where to go on |
| `consumed` | `group`, `topic`, `partition`, `offset`, `record` | a member was given a record |
| `committed` | `group`, `topic`, `partition`, `offset`, `asked` | a commit was acknowledged; `asked` is when it was sent |

`offset` is null where the client does not know it: librdkafka concludes from the acknowledgement of a later record that an
earlier one is stored too, to which it got no answer, or one that leaves it open.

All have `at`, seconds of the machine's monotonic clock, which is one for all processes, and `client`, a name. A record is
`key:number`; its key belongs to one client, which numbers the records of each key upwards.
"""

import json
import threading
import time
from pathlib import Path

Event = dict


class Writer:
    """Appends events to a file; from any thread."""

    def __init__(self, path: Path, client: str):
        # It is open as long as the process lives.
        self._file = open(path, "a", buffering=1)  # noqa: SIM115
        self._client = client
        self._lock = threading.Lock()

    def write(self, event: str, **fields) -> None:
        """Writes one event of now."""
        line = json.dumps({"at": time.monotonic(), "client": self._client, "event": event, **fields})
        with self._lock:
            self._file.write(line + "\n")


class Reader:
    """The events of a file that grows."""

    def __init__(self, path: Path):
        self._path = path
        self._position = 0
        self.events: list[Event] = []

    def update(self) -> list[Event]:
        """Reads what has been added, but for a line that is not whole yet, and returns all events."""
        if self._path.exists():
            with open(self._path, "rb") as file:
                file.seek(self._position)
                added = file.read()
            whole = added[: added.rfind(b"\n") + 1]
            self._position += len(whole)
            self.events += map(json.loads, whole.splitlines())
        return self.events
