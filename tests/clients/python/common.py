"""What the Python client programs share: arguments, JSON lines, records. See ../README.md."""

import json
import queue
import sys
import threading
from collections.abc import Iterator

IDLE_S = 0.05
"""How often a program that waits for input looks after its client."""


def emit(event: str, **values) -> None:
    """Prints one event."""
    print(json.dumps({"event": event, **values}), flush=True)


def emit_record(partition: int, offset: int, timestamp: int, key, value, headers) -> None:
    """Prints one record; headers is a list of name and value."""
    named = [[name, None if data is None else data.hex()] for name, data in headers or ()]
    emit("record", partition=partition, offset=offset, timestamp=timestamp,
         key=None if key is None else key.hex(), value=None if value is None else value.hex(), headers=named)  # fmt: skip


def decode(record: dict) -> dict:
    """A record from input with its bytes decoded."""
    read = lambda text: None if text is None else bytes.fromhex(text)  # noqa: E731
    headers = [(name, read(value)) for name, value in record["headers"]]
    return {**record, "key": read(record["key"]), "value": read(record["value"]), "headers": headers}


class Input:
    """Standard input, read by a thread so that the program can look after its client meanwhile."""

    def __init__(self):
        self._lines: queue.Queue[str | None] = queue.Queue(maxsize=10_000)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self._lines.put(line)
        self._lines.put(None)

    def messages(self, idle_s: float = IDLE_S) -> Iterator[dict | None]:
        """Yields each message, None whenever none came for a while, and stops at the end of input."""
        while True:
            try:
                line = self._lines.get(timeout=idle_s) if idle_s else self._lines.get_nowait()
            except queue.Empty:
                yield None
                continue
            if line is None:
                return
            yield json.loads(line)

    def command(self) -> str | None:
        """The next command if one has come; the end of input means `stop`."""
        for message in self.messages(idle_s=0):
            return message and message["command"]
        return "stop"


def main(**commands) -> None:
    """Runs the command named by the first argument with the values of the second."""
    commands[sys.argv[1]](**json.loads(sys.argv[2]))
