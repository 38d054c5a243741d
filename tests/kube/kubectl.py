"""kubectl, with objects as Python has them, and waits that end."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from harness.cluster import Pending, wait_for

CALL_S = 60.0

Object = dict


class KubectlFailed(AssertionError):
    """kubectl ended with an error; what it said."""


class Kubectl:
    """A cluster as one namespace of it sees it."""

    def __init__(self, program: Path, kubeconfig: Path, namespace: str = "default"):
        self.program, self.kubeconfig, self.namespace = program, kubeconfig, namespace

    def within(self, namespace: str) -> "Kubectl":
        """The same for another namespace."""
        return Kubectl(self.program, self.kubeconfig, namespace)

    def __call__(self, *arguments: str, stdin: str | None = None, timeout_s: float = CALL_S) -> str:
        """Runs kubectl, which has to succeed, and returns what it says."""
        command = [str(self.program), "--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace, *arguments]
        ended = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s)
        if ended.returncode != 0:
            raise KubectlFailed(f"kubectl {' '.join(arguments)}: {ended.stderr.strip()}")
        return ended.stdout

    def apply(self, *objects: Object) -> None:
        """Applies objects, on the server's side."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self("apply", "--server-side", "--filename", "-", stdin=text)

    def get(self, kind: str, name: str) -> Object:
        """One object."""
        return json.loads(self("get", kind, name, "--output", "json"))

    def list(self, kind: str, selector: str = "") -> list[Object]:
        """All objects of a kind, or those whose labels the selector asks for."""
        return json.loads(self("get", kind, "--selector", selector, "--output", "json"))["items"]

    def wait(self, kind: str, name: str, what: str, check: Callable[[Object], object], timeout_s: float = 60) -> Object:
        """Waits until the object is there and is as `check` wants it."""

        def fits() -> Object:
            found = self.get(kind, name)
            if not check(found):
                raise Pending(f"{kind} {name} has the status {json.dumps(found.get('status'))}")
            return found

        return wait_for(f"{kind} {name}: {what}", fits, timeout_s)

    def wait_condition(self, kind: str, name: str, condition: str, status: str = "True", timeout_s: float = 60) -> Object:
        """Waits until a condition of the object has this status."""
        fits = lambda found: condition_of(found, condition).get("status") == status  # noqa: E731
        return self.wait(kind, name, f"{condition} is {status}", fits, timeout_s)

    def wait_gone(self, kind: str, name: str, timeout_s: float = 60) -> None:
        """Waits until the object is no more."""
        wait_for(f"{kind} {name} is gone", lambda: not self("get", kind, name, "--ignore-not-found"), timeout_s)

    def delete(self, kind: str, name: str, *, wait: bool = True) -> None:
        """Deletes an object."""
        self("delete", kind, name, f"--wait={str(wait).lower()}", timeout_s=120)

    def logs(self, pod: str, *options: str) -> str:
        """What a pod has written."""
        return self("logs", pod, *options)

    def execute(self, pod: str, *command: str, timeout_s: float = CALL_S) -> str:
        """Runs a command in a pod."""
        return self("exec", pod, "--", *command, timeout_s=timeout_s)

    def story(self) -> str:
        """What a failed test shows of its namespace: objects, events, and the ends of logs."""
        pods = [each["metadata"]["name"] for each in self.list("pods")]
        logs = [f"--- {pod}\n{self._tail(pod)}" for pod in pods]
        events = self("get", "events", "--sort-by", ".metadata.creationTimestamp")
        return "\n".join([self("get", "all,pvc", "--output", "wide"), events, *logs])

    def _tail(self, pod: str) -> str:
        try:
            return self.logs(pod, "--tail", "30", "--all-containers")
        except KubectlFailed as error:
            return str(error)


def condition_of(found: Object, name: str) -> Object:
    """A condition from an object's status; empty if it has none of that name."""
    conditions = found.get("status", {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == name), {})
