"""Clients that do the work: Kafka's own Java tools, and the `fjord` command line. `drivers.py` has the others.

Each returns what it reports: values by their names and units. `MB` is what it moved in all, warm-up included.
"""

import json
import os
import re
import subprocess
from dataclasses import dataclass

from harness.paths import REPOSITORY
from java.jvm import LIBS

TIMEOUT_S = 600
JAVA_HEAP = "512m"
WARM_UP = 0.3
"""The share of a Java producer's records that it sends before it measures, for its compiler to be done."""

_PRODUCED = re.compile(
    r"(?P<rate>[\d.]+) records/sec .*?, (?P<mean>[\d.]+) ms avg latency, (?P<max>[\d.]+) ms max latency, "
    r"(?P<p50>\d+) ms 50th, (?P<p95>\d+) ms 95th, (?P<p99>\d+) ms 99th, (?P<p999>\d+) ms 99.9th"
)


@dataclass(frozen=True)
class Load:
    """Records to be produced or consumed."""

    topic: str
    records: int
    size: int
    """Bytes of a value; keys are null."""
    rate: int | None = None
    """Records a second; as many as possible if None."""

    @property
    def megabytes(self) -> float:
        return self.records * self.size / 1e6


class ClientFailed(RuntimeError):
    """A client did not do what it was to do."""


def finish(command: list[str]) -> str:
    """What a command tells; if it fails, its errors are shown."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode != 0:
        raise ClientFailed(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def _java(tool: str, *arguments: str) -> str:
    quiet = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-Xlog:disable"]
    return finish(["java", f"-Xmx{JAVA_HEAP}", *quiet, "-cp", f"{LIBS}/*", f"org.apache.kafka.tools.{tool}", *arguments])


def java_produce(bootstrap: str, load: Load, **properties: str) -> dict[str, float]:
    """Kafka's `ProducerPerformance` with its default settings (acks=all, idempotence) and these over them.

    Its latencies count from when it sent a record, not from when the record was due.
    """
    warm_up = int(load.records * WARM_UP)
    told = _java(
        "ProducerPerformance", "--bootstrap-server", bootstrap, "--topic", load.topic,
        "--num-records", str(load.records + warm_up), "--warmup-records", str(warm_up),
        "--record-size", str(load.size), "--throughput", str(load.rate or -1),
        *(part for name, value in properties.items() for part in ("--command-property", f"{name}={value}")),
    )  # fmt: skip
    # The last line is about the records behind the warm-up.
    lines = list(_PRODUCED.finditer(told))
    if not lines:
        raise ClientFailed(f"ProducerPerformance told nothing: {told[-2000:]}")
    found = {name: float(value) for name, value in lines[-1].groupdict().items()}
    return {
        "MB/s": found["rate"] * load.size / 1e6,
        "p50 ms": found["p50"],
        "p99 ms": found["p99"],
        "p99.9 ms": found["p999"],
        "max ms": found["max"],
        "MB": load.megabytes * (1 + WARM_UP),
    }


def java_consume(bootstrap: str, load: Load) -> dict[str, float]:
    """Kafka's `ConsumerPerformance`; what it takes to join its group does not count."""
    told = _java(
        "ConsumerPerformance", "--bootstrap-server", bootstrap, "--topic", load.topic,
        "--num-records", str(load.records), "--timeout", "60000", "--hide-header",
    )  # fmt: skip
    # start, end, MiB, MiB/s, records, records/s, rebalance ms, fetch ms, fetch MiB/s, fetch records/s
    fields = [field.strip() for field in told.strip().splitlines()[-1].split(",")]
    return {"MB/s": float(fields[9]) * load.size / 1e6, "MB": int(fields[4]) * load.size / 1e6}


def _fjord(address: str, *arguments: str) -> dict:
    binary = os.environ.get("FJORD_CLI", str(REPOSITORY / "target/release/fjord"))
    return json.loads(finish([binary, "--broker", address, "--output", "json", *arguments]))


def create_topic(address: str, topic: str, partitions: int) -> None:
    """Creates a topic through gRPC."""
    _fjord(address, "topic", "create", topic, "--partitions", str(partitions))


def fjord_produce(address: str, load: Load) -> dict[str, float]:
    """`fjord bench produce`: the Rust client. With a rate, latencies count from when a record was due."""
    rate = ["--rate", str(load.rate)] if load.rate else []
    size = ["--record-size", str(load.size)]
    told = _fjord(address, "bench", "produce", "--topic", load.topic, "--count", str(load.records), *size, *rate)
    latency = told["latency_ms"]
    return {
        "MB/s": told["records_per_second"] * load.size / 1e6,
        "p50 ms": latency["p50"],
        "p99 ms": latency["p99"],
        "p99.9 ms": latency["p99.9"],
        "max ms": latency["max"],
        "MB": load.megabytes,
    }


def fjord_consume(address: str, load: Load) -> dict[str, float]:
    """`fjord bench consume`: the Rust client."""
    told = _fjord(address, "bench", "consume", load.topic, "--count", str(load.records))
    return {"MB/s": told["records_per_second"] * load.size / 1e6, "MB": told["records"] * load.size / 1e6}
