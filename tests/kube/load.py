"""A load in a pod, with the checker of its history: `harness.load`, started and ended by kubectl."""

import json

from harness.cluster import Pending, wait_for

from .kubectl import Kubectl

STOP = "import os, signal; os.kill(1, signal.SIGTERM)"
MEMORY = "2Gi"


class Load:
    """A producer, a group of consumers, and in the end a verdict."""

    def __init__(self, kubectl: Kubectl, image: str, name: str, bootstrap: str, topics: dict[str, int], **options):
        """`options` are those of `harness.load`; `node` is where the pod runs, if that matters."""
        self._kubectl, self.name = kubectl, name
        node = options.pop("node", None)
        arguments = json.dumps({"bootstrap": bootstrap, "topics": topics, **options})
        kubectl.apply(pod(name, image, ["harness.load", arguments], node))
        kubectl.wait("pod", name, "it runs", lambda found: found["status"]["phase"] == "Running")
        self._wait_read(sum(topics.values()))

    def progress(self) -> dict[str, int]:
        """How many records are acknowledged, consumed and failed so far, and how many partitions are read."""
        lines = self._kubectl.logs(self.name, "--tail", "1").splitlines()
        if not lines:
            raise Pending("it has told nothing yet")
        return json.loads(lines[0])["progress"]

    def _wait_read(self, partitions: int) -> None:
        """Waits until the group reads every partition: what is broken from now on finds it at work.

        A consumer of librdkafka 2.16 that still asks for where to begin may take the late answer, which it calls
        outdated, for a reason to begin again, although it has been given a committed offset since.
        """
        self._wait_progress(f"{self.name} is read", "partitions", partitions)

    def wait_acknowledged(self, more: int, timeout_s: float = 60) -> None:
        """Waits until so many records more are acknowledged than now."""
        wanted = self.progress()["acknowledged"] + more
        self._wait_progress(f"{self.name} goes on", "acknowledged", wanted, timeout_s)

    def _wait_progress(self, what: str, kind: str, wanted: int, timeout_s: float = 60) -> None:
        """Waits until there is so much of one kind of progress."""

        def there() -> bool:
            if (found := self.progress())[kind] < wanted:
                raise Pending(f"{found}, of {wanted} {kind}")
            return True

        wait_for(what, there, timeout_s)

    def finish(self, timeout_s: float = 240) -> dict:
        """Ends the clients, and returns the verdict on everything that they did and saw."""
        self._kubectl.execute(self.name, "/usr/bin/python3", "-c", STOP)
        ended = lambda found: found["status"]["phase"] in ("Succeeded", "Failed")  # noqa: E731
        self._kubectl.wait("pod", self.name, "it ends", ended, timeout_s)
        last = self._kubectl.logs(self.name, "--tail", "1")
        assert last.startswith('{"verdict"'), self._kubectl.logs(self.name, "--tail", "50")
        return json.loads(last)["verdict"]


def pod(name: str, image: str, arguments: list[str], node: str | None = None) -> dict:
    """A pod that runs once, under the restricted Pod Security Standard."""
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "resources": {"limits": {"memory": MEMORY}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "securityContext": security,
        "containers": [container],
    }
    placed = {"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {**spec, **placed}}
