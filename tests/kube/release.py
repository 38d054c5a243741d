"""The chart in a cluster: what Helm installs, and where the operator is then."""

import re
import subprocess
import tempfile
from pathlib import Path

import yaml

from harness.cluster import wait_for

from .cluster import Cluster
from .helm import CHART
from .kubectl import Kubectl

NAMESPACE = "fjord-operator"
OPERATORS = "app.kubernetes.io/name=fjord-operator,app.kubernetes.io/component=operator"
CRDS = ("clusters.fjord.dev", "topics.fjord.dev")
HELM_S = 180.0


class Release:
    """A release of the chart that looks after all namespaces."""

    def __init__(self, kube: Cluster, helm: str, name: str = "fjord"):
        self._kube, self._helm, self.name = kube, helm, name
        self.kubectl: Kubectl = kube.kubectl.within(NAMESPACE)

    def helm(self, verb: str, *options) -> str:
        """Runs Helm on the release, which has to succeed."""
        command = [self._kube.program(self._helm), verb, self.name, *options, "--namespace", NAMESPACE]
        command += ["--kubeconfig", self._kube.kubectl.kubeconfig]
        ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=HELM_S)
        assert ended.returncode == 0, f"helm {verb}: {ended.stdout}{ended.stderr}\n{self.kubectl.story()}"
        return ended.stdout

    def install(self, image: str, **values) -> None:
        """Installs it, or changes it to these values."""
        repository, tag = image.rsplit(":", 1)
        values = {"image": {"repository": repository, "tag": tag}, "driftIntervalSeconds": 10, **values}
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "values.yaml"
            file.write_text(yaml.safe_dump(values))
            verb = "upgrade" if self.is_installed() else "install"
            self.helm(verb, CHART, "--create-namespace", "--wait", "--values", file)

    def uninstall(self) -> None:
        """Takes it away."""
        self.helm("uninstall", "--wait")

    def is_installed(self) -> bool:
        """Whether there is one."""
        listed = [self._kube.program(self._helm), "list", "--short", "--namespace", NAMESPACE]
        listed += ["--kubeconfig", self._kube.kubectl.kubeconfig]
        ended = subprocess.run([str(part) for part in listed], capture_output=True, text=True, check=True)
        return self.name in ended.stdout.split()

    def pods(self) -> list[str]:
        """The operators' pods."""
        return [each["metadata"]["name"] for each in self.kubectl.list("pods", OPERATORS)]

    def leader(self) -> str:
        """The pod that leads."""

        def holder() -> str:
            return self.kubectl.get("lease", f"{self.name}-operator")["spec"].get("holderIdentity") or ""

        return wait_for("an operator leads", holder)

    def metric(self, name: str) -> float:
        """A number of the leader's."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{self.leader()}:8080/proxy/metrics"
        found = re.search(rf"^fjord_operator_{name} (\S+)$", self.kubectl("get", "--raw", path), re.MULTILINE)
        assert found, f"the operator has no {name}"
        return float(found[1])

    def restart(self) -> None:
        """Deletes the operators' pods, which come back."""
        self.kubectl("delete", "pods", "--selector", OPERATORS, "--wait=false")
