"""The Kubernetes cluster that the tests run on: a rig on this machine, or the one that KUBECONFIG names."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness.cluster import Pending, wait_for

from .kubectl import Kubectl

HERE = Path(__file__).parent
OCCUPIED = 75
"""How `up.sh` ends while another process has a rig on this machine."""
OCCUPIED_S = 1200.0
NODES = 3
CONTROLLERS = {"cpu", "cpuset", "memory", "pids"}


@dataclass(frozen=True)
class Images:
    """The images in the cluster."""

    fjord: str
    next: str
    """The same broker by another image, for rolling updates."""
    clients: str


@dataclass(frozen=True)
class Cluster:
    """A cluster with the images in it."""

    kubectl: Kubectl
    images: Images
    programs: str
    """The folders with kubectl and Helm, as in PATH."""
    state: Path | None
    """Where the rig keeps what it has; None for a cluster that is not one."""

    @property
    def is_rig(self) -> bool:
        """Whether it is on this machine, and the tests may do to its nodes what they like."""
        return self.state is not None

    def program(self, name: str) -> Path:
        """Where kubectl, helm3 or helm4 is."""
        return program(name, self.programs)

    def cut_off(self, node: int) -> None:
        """Takes a node of the rig off the network."""
        subprocess.run(["ip", "link", "set", f"fjk-veth{node}", "down"], check=True)

    def put_back(self, node: int) -> None:
        """Ends that."""
        subprocess.run(["ip", "link", "set", f"fjk-veth{node}", "up"], check=True)

    @contextmanager
    def lost(self, node: int) -> Iterator[None]:
        """A node of the rig dies with all that runs on it, and comes back in the end as one that nobody knows."""
        record = self.state / f"pids/kubelet-{node}"
        kubelet = int(record.read_text())
        command = Path(f"/proc/{kubelet}/cmdline").read_bytes().split(b"\0")[:-1]
        os.kill(kubelet, signal.SIGKILL)
        wait_for(f"all on node {node} is dead", lambda: self._kill_pods(node))
        try:
            yield
        finally:
            inside = ["setsid", "nsenter", f"--net=/run/netns/fjk-{node}"]
            with open(self.state / f"log/kubelet-{node}.log", "ab") as log:
                again = subprocess.Popen([*inside, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            record.write_text(str(again.pid))
            self.kubectl.wait_condition("node", f"node-{node}", "Ready")

    def _kill_pods(self, node: int) -> bool:
        """Kills what runs in a node's pods; there may be more meanwhile."""
        hierarchies = Path("/sys/fs/cgroup")
        groups = [*hierarchies.glob(f"fjk-{node}"), *hierarchies.glob(f"*/fjk-{node}")]
        files = [file for group in groups for file in group.rglob("cgroup.procs")]
        found = {int(pid) for file in files for pid in file.read_text().split()}
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not found


def program(name: str, path: str) -> Path:
    """Finds a program."""
    found = shutil.which(name, path=path)
    assert found, f"{name} is not in {path}"
    return Path(found)


def obstacle() -> str | None:
    """Why there can be no cluster here, in words for whoever runs the tests."""
    if "KUBECONFIG" in os.environ:
        missing = [name for name in ("FJORD_IMAGE", "FJORD_NEXT_IMAGE", "FJORD_CLIENTS_IMAGE") if name not in os.environ]
        return f"KUBECONFIG is given, but not {', '.join(missing)}" if missing else None
    if sys.platform != "linux":
        return "a cluster on this machine takes Linux; KUBECONFIG can name another one"
    if os.geteuid() != 0:
        return "a cluster on this machine takes root; KUBECONFIG can name another one"
    if not shutil.which("apt-get"):
        return "a cluster on this machine takes Debian's packages; KUBECONFIG can name another one"
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists() and not set(unified.read_text().split()) >= CONTROLLERS:
        return f"a cluster on this machine takes the control groups {sorted(CONTROLLERS)}; KUBECONFIG can name another one"
    return None


@contextmanager
def cluster() -> Iterator[Cluster]:
    """The cluster, with its images."""
    if "KUBECONFIG" in os.environ:
        images = Images(*(os.environ[name] for name in ("FJORD_IMAGE", "FJORD_NEXT_IMAGE", "FJORD_CLIENTS_IMAGE")))
        path = os.environ["PATH"]
        kubectl = Kubectl(program("kubectl", path), Path(os.environ["KUBECONFIG"]))
        yield Cluster(kubectl, images, path, state=None)
        return
    programs, archives = (_last_line(HERE / part / "build.sh") for part in ("rig", "image"))
    state = Path(tempfile.mkdtemp(prefix="fjord-rig-"))
    try:
        _up(programs, state)
        subprocess.run([HERE / "rig/import-image.sh", state, *sorted(archives.glob("*.tar"))], check=True)
        images = Images("localhost/fjord:test", "localhost/fjord:next", "localhost/fjord-clients:test")
        kubectl = Kubectl(program("kubectl", str(programs)), state / "admin.kubeconfig")
        yield Cluster(kubectl, images, f"{programs}:{os.environ['PATH']}", state)
    finally:
        subprocess.run([HERE / "rig/down.sh", state], check=True)


def _up(programs: Path, state: Path) -> None:
    """Starts the rig, after that of another process if there is one."""
    environment = {**os.environ, "FJORD_RIG_OWNER": str(os.getpid())}

    def started() -> bool:
        ended = subprocess.run(
            [HERE / "rig/up.sh", programs, state, str(NODES)], env=environment, capture_output=True, text=True
        )
        if ended.returncode == OCCUPIED:
            raise Pending(ended.stderr)
        if ended.returncode != 0:
            raise RuntimeError(f"{ended.stdout}\n{ended.stderr}\n{_log_ends(state)}")
        return True

    wait_for("the machine's only rig", started, OCCUPIED_S)


def _log_ends(state: Path) -> str:
    ends = [f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in sorted((state / "log").glob("*.log"))]
    return "\n".join(ends)


def _last_line(*command: Path) -> Path:
    """The path that a script tells at its end."""
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Path(ended.stdout.splitlines()[-1])
