"""What a process has used: processor time, bytes written to disk. From /proc, for all its threads."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Totals since the process began; `-` of two is what it used in between."""

    cpu_s: float
    written_bytes: int
    """Bytes that it caused to be sent to the disk."""

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(self.cpu_s - earlier.cpu_s, self.written_bytes - earlier.written_bytes)


def usage(pid: int) -> Usage:
    """What the process has used until now."""
    # The fields behind the name, which may have spaces, begin with the third one: proc_pid_stat(5).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    written = re.search(r"^write_bytes: (\d+)", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
    return Usage((user + system) / _TICKS_PER_SECOND, int(written[1]))
