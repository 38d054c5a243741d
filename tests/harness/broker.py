"""The broker under test, as users start it: the built binary with flags."""

import json
import os
import re
import urllib.error
import urllib.request
from pathlib import Path

from .apache_kafka import ApacheKafka
from .paths import REPOSITORY, free_port
from .server import Server, peer_name


class Broker(Server):
    """`fjord-broker` from FJORD_BROKER, or the release build."""

    name = "fjord-broker"
    forbidden_in_log = re.compile(r"panicked at|stack overflow|RUST_BACKTRACE")
    host = "127.0.0.1"
    """The address of its listeners."""

    def __init__(self, directory: Path, settings: dict[str, str] | None = None):
        super().__init__(directory, settings)
        default = REPOSITORY / "target" / "release" / "fjord-broker"
        self.binary = Path(os.environ.get("FJORD_BROKER", default)).absolute()
        self.data = directory / "data"
        self.kafka_port, self.http_port, self.grpc_port = free_port(), free_port(), free_port()

    @property
    def bootstrap(self) -> str:
        return f"{self.host}:{self.kafka_port}"

    @property
    def http(self) -> str:
        """Base address of the HTTP listener: `/healthz`, `/readyz`, `/metrics`."""
        return f"http://{self.host}:{self.http_port}"

    @property
    def grpc(self) -> str:
        """`host:port` of the gRPC listener."""
        return f"{self.host}:{self.grpc_port}"

    def command(self) -> list[str]:
        command = [
            str(self.binary),
            "--data-dir", str(self.data),
            "--listen-kafka", self.bootstrap,
            "--listen-http", f"{self.host}:{self.http_port}",
            "--listen-grpc", self.grpc,
        ]  # fmt: skip
        for key, value in self.settings.items():
            command += ["--set", f"{key}={value}"]
        return command

    def metrics(self, name: str) -> dict[str, float]:
        """The values of a metric, by its first label's value; "" if it has no labels."""
        with urllib.request.urlopen(f"{self.http}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found = re.findall(rf'^{name}(?:{{\w+="([^"]*)"[^}}]*}})? (\S+)$', text, re.MULTILINE)
        values: dict[str, float] = {}
        for label, value in found:
            values[label] = values.get(label, 0) + float(value)
        return values

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        return self.metrics(name)[""]

    def not_ready_because(self) -> dict[str, str]:
        """Why the broker is not ready, by its components; nothing if it is."""
        try:
            with urllib.request.urlopen(f"{self.http}/readyz", timeout=30):
                return {}
        except urllib.error.HTTPError as answer:
            with answer:
                reasons = json.load(answer)["reasons"]
            return {each["component"]: each["reason"] for each in reasons}

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.http}/readyz", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


def new_broker(directory: Path, settings: dict[str, str] | None = None) -> Server:
    """A broker, not yet started, of the kind that FJORD_TEST_PEER asks for."""
    kind = ApacheKafka if peer_name() == "kafka" else Broker
    return kind(directory, settings)
