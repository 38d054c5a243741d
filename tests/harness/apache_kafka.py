"""Apache Kafka in the place of the broker under test: the proof that the tests themselves are right.

`FJORD_TEST_PEER=kafka tests/run clients` runs the same tests against it. A test that fails there
asks for something that Kafka does not do.
"""

import re
import subprocess
from pathlib import Path

from .paths import CACHE, TESTS, free_port
from .server import Server
from .wire import WireError, advertised_brokers

LIBRARIES = CACHE / "apache-kafka"
CLUSTER_ID = "tests-of-another-broke"
"""Any will do; 16 bytes in URL-safe base64."""


class ApacheKafka(Server):
    """One Apache Kafka node, broker and controller in one process, from the jars of Maven Central."""

    name = "apache-kafka"
    forbidden_in_log = re.compile(r"Exiting Kafka|Encountered fatal fault")
    # The Java virtual machine reports the signal that it obeyed.
    clean_exit_codes = (0, 143)

    def __init__(self, directory: Path, settings: dict[str, str] | None = None):
        super().__init__(directory, settings)
        self.kafka_port, self.controller_port = free_port(), free_port()
        self.properties = directory / "server.properties"

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.kafka_port}"

    def command(self) -> list[str]:
        if not self.properties.exists():
            self._format()
        return [
            *["java", "-Xmx1G", "-Xms512M", "-server", "-XX:+UseG1GC"],
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            *["-cp", f"{LIBRARIES}/*", "kafka.Kafka", str(self.properties)],
        ]

    def is_ready(self) -> bool:
        try:
            return advertised_brokers("127.0.0.1", self.kafka_port) == [("127.0.0.1", self.kafka_port)]
        except (WireError, OSError):
            return False

    def _format(self) -> None:
        install_libraries()
        listeners = f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{self.controller_port}"
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": listeners,
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.directory / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            **self.settings,
        }
        self.properties.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        tool = ["java", "-cp", f"{LIBRARIES}/*", "kafka.tools.StorageTool"]
        subprocess.run([*tool, "format", "-t", CLUSTER_ID, "-c", self.properties], check=True, capture_output=True)


def install_libraries() -> None:
    """Fetches the jars through Maven, once."""
    done = LIBRARIES / ".complete"
    if done.exists():
        return
    pom = TESTS / "harness" / "apache-kafka" / "pom.xml"
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={LIBRARIES}"]
    subprocess.run(["mvn", "-q", "-B", "-f", pom, *goal], check=True)
    done.touch()
