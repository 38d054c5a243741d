"""Kafka Connect 4.3.1: a file's lines go through a topic into another file.

While nothing breaks, and over a worker's restart, each line arrives once and in order. Over a restart of the
broker Connect promises at least once: tasks that stop while the broker is away cannot commit.

Standalone keeps the source's offsets in a file of its own and the sink's in a consumer group; distributed keeps
everything in compacted topics and its workers in a group with the protocol type `connect`.
"""

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from harness.paths import free_port

PATIENCE_S = 120
STOP_TIMEOUT_S = 60
SOURCE = "org.apache.kafka.connect.file.FileStreamSourceConnector"
SINK = "org.apache.kafka.connect.file.FileStreamSinkConnector"
STRINGS = "org.apache.kafka.connect.storage.StringConverter"


class Pipe:
    """A source file, a topic and a sink file, with the connectors between them."""

    def __init__(self, directory, topic):
        self.topic = topic
        self.source, self.sink = directory / "source.txt", directory / "sink.txt"
        self.written = []

    def write(self, count):
        """Appends numbered lines and an empty one; all ASCII, as the source counts its offset in characters."""
        lines = [f"line {number}" for number in range(len(self.written), len(self.written) + count)] + [""]
        with open(self.source, "a", encoding="utf-8") as source:
            source.writelines(f"{line}\n" for line in lines)
        self.written += lines
        return lines

    def received(self):
        return self.sink.read_text("utf-8").split("\n")[:-1] if self.sink.exists() else []

    def connectors(self):
        """The configs of both connectors; the topic is made by Connect with the broker's defaults for replication."""
        creation = {"topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "-1"}
        source = {"connector.class": SOURCE, "topic": self.topic, **creation}
        sink = {"connector.class": SINK, "topics": self.topic}
        return {
            f"{self.topic}-source": {**source, "tasks.max": "1", "file": str(self.source)},
            f"{self.topic}-sink": {**sink, "tasks.max": "1", "file": str(self.sink)},
        }


class Worker:
    """A Connect worker; `files` are properties files as on its command line."""

    def __init__(self, java, mode, directory, *files):
        self.log_path = directory / "connect.log"
        main_class = f"org.apache.kafka.connect.cli.Connect{mode}"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                java.command(main_class, *files, heap_mb=192), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait(self, what, holds):
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            log = f"\n{self.log_path.read_text()[-5000:]}"
            assert self.process.poll() is None, f"Connect ended with {self.process.returncode}{log}"
            assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}{log}"
            time.sleep(0.1)

    def wait_received(self, pipe, lines):
        """Waits for exactly these lines in the sink."""
        self.wait("all lines arrived", lambda: len(pipe.received()) >= len(lines))
        assert pipe.received() == lines

    def wait_none_lost(self, pipe):
        """Waits until everything that was written is in the sink, in order, repeats aside."""
        expected = list(dict.fromkeys(pipe.written))
        self.wait("all lines arrived", lambda: list(dict.fromkeys(pipe.received())) == expected)

    def stop(self):
        """Ends the worker as an operator does; it commits its offsets before it goes."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_TIMEOUT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def properties(path, values):
    path.write_text("".join(f"{key}={value}\n" for key, value in values.items()), "utf-8")
    return path


@pytest.fixture
def rest_port():
    return free_port()


def worker_config(broker, rest_port):
    return {
        "bootstrap.servers": broker.bootstrap,
        "listeners": f"http://127.0.0.1:{rest_port}",
        "key.converter": STRINGS,
        "value.converter": STRINGS,
        "offset.flush.interval.ms": "1000",
        # A sink task that stops while the broker is away cannot leave its group, and is missed after this time.
        "consumer.session.timeout.ms": "6000",
        "plugin.discovery": "service_load",
    }


def test_standalone(java, broker, topic, tmp_path, rest_port):
    pipe = Pipe(tmp_path, topic)
    config = worker_config(broker, rest_port) | {"offset.storage.file.filename": tmp_path / "offsets"}
    files = [properties(tmp_path / "worker.properties", config)]
    for name, connector in pipe.connectors().items():
        files.append(properties(tmp_path / f"{name}.properties", {"name": name, **connector}))

    first = pipe.write(500)
    with Worker(java, "Standalone", tmp_path, *files) as worker:
        worker.wait_received(pipe, first)
        broker.restart()
        pipe.write(500)
        worker.wait_none_lost(pipe)
        worker.stop()
    before = pipe.received()
    last = pipe.write(100)
    with Worker(java, "Standalone", tmp_path, *files) as worker:
        worker.wait_received(pipe, before + last)
        worker.stop()


def test_distributed(java, broker, topic, tmp_path, rest_port):
    pipe = Pipe(tmp_path, topic)
    internal = {kind: f"{topic}-{kind}" for kind in ("config", "offset", "status")}
    config = worker_config(broker, rest_port) | {"group.id": f"{topic}-workers"}
    for kind, name in internal.items():
        config |= {f"{kind}.storage.topic": name, f"{kind}.storage.replication.factor": -1}
    config |= {"offset.storage.partitions": 3, "status.storage.partitions": -1, "scheduled.rebalance.max.delay.ms": 0}
    file = properties(tmp_path / "worker.properties", config)

    def call(path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{rest_port}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def reachable():
        try:
            return call("/connectors") is not None
        except (urllib.error.URLError, OSError):
            return False

    def states():
        statuses = [call(f"/connectors/{name}/status") for name in pipe.connectors()]
        return [part["state"] for status in statuses for part in [status["connector"], *status["tasks"]]]

    first = pipe.write(500)
    with Worker(java, "Distributed", tmp_path, file) as worker:
        worker.wait("the REST interface answers", reachable)
        for name, connector in pipe.connectors().items():
            call(f"/connectors/{name}/config", connector, "PUT")
        worker.wait_received(pipe, first)
        groups = java.tool("org.apache.kafka.tools.GroupsCommand", "--bootstrap-server", broker.bootstrap, "--list")
        (group,) = [line.split() for line in groups.stdout.splitlines() if line.startswith(f"{topic}-workers ")]
        assert group[1:3] == ["Classic", "connect"]
        broker.restart()
        pipe.write(500)
        worker.wait_none_lost(pipe)
        worker.stop()
    before = pipe.received()
    last = pipe.write(100)
    with Worker(java, "Distributed", tmp_path, file) as worker:
        worker.wait_received(pipe, before + last)
        worker.wait("the REST interface answers", reachable)
        worker.wait("everything runs", lambda: states() == ["RUNNING"] * 4)
        worker.stop()
