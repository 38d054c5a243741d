"""What machine this is, and which versions are measured: beside the raw numbers, since figures mean little without."""

import os
import platform
import re
import subprocess
import tempfile
from pathlib import Path

from harness.apache_kafka import LIBRARIES
from harness.paths import CACHE, REPOSITORY


def facts() -> dict[str, str]:
    """From what is told to what it is."""
    broker = os.environ.get("FJORD_BROKER", str(REPOSITORY / "target" / "release" / "fjord-broker"))
    memory = int(re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)[1])
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    told = {
        "processor": f"{os.cpu_count()} cores of {model[1] if model else platform.machine()}",
        "memory": f"{memory / (1 << 20):.0f} GiB",
        "disk": _disk(),
        "kernel": f"{platform.system()} {re.match(r'[0-9.]*', platform.release())[0]}",
        "Fjord": _version(broker, "--version"),
        "librdkafka": _version("dpkg-query", "-W", "-f", "${Version}", "librdkafka1"),
        "Java": _version("java", "-version"),
    }
    for jar in LIBRARIES.glob("kafka-clients-*.jar"):
        told["Apache Kafka"] = jar.stem.removeprefix("kafka-clients-")
    nats = CACHE / "bin" / "nats-server"
    return told | ({"NATS": _version(str(nats), "--version")} if nats.exists() else {})


def _version(*command: str) -> str:
    """The version among the first things that a program tells of itself."""
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"\d+(\.\d+)+\S*", done.stdout + done.stderr)
    return found[0].strip('"') if found else "unknown"


def _disk() -> str:
    """The file system and the device where the servers' data are."""
    found = subprocess.run(
        ["df", "--output=fstype,source", tempfile.gettempdir()], capture_output=True, text=True, check=True
    )
    kind, device = found.stdout.splitlines()[1].split()
    return f"{kind} on {device}"
