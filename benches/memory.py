"""What a server's resident memory is while it works, and what the machine's page cache has of its files."""

import os
import statistics
import threading
from pathlib import Path

from harness.server import Server

INTERVAL_S = 0.05


class Watch:
    """Looks at a server's resident memory from time to time while a `with` block runs."""

    def __init__(self, server: Server):
        self._server = server
        self._seen: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._end.wait(INTERVAL_S):
            self._seen.append(self._server.memory_mib())

    def __enter__(self) -> "Watch":
        self._seen.append(self._server.memory_mib())
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._end.set()
        self._thread.join()
        self._seen.append(self._server.memory_mib())

    def median(self) -> float:
        """MiB."""
        return statistics.median(self._seen)

    def peak(self) -> float:
        """MiB."""
        return max(self._seen)


def drop_page_cache(directory: Path) -> None:
    """Has the system forget the content of all files below a directory, so that reading them reads the disk."""
    os.sync()
    for path in (os.path.join(folder, name) for folder, _, names in os.walk(directory) for name in names):
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            # A server may remove a file at any time, and a folder, which is passed over.
            continue
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)
